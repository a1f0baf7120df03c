"""Is what serving reads what training would have joined at the same moment, value by value in float32?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.catalogue import CREATOR_STATS, USER_TOPIC_STATS, VIDEO_STATS, VIEWS
from feature_repo.clock import DAY_US, HOUR_US, INSTANT
from feature_repo.events import TOPICS
from feature_repo.log import EventLog
from feature_repo.materialization import materialize, newest, read_loaded, schema_of, write_online
from feature_repo.online import MirrorReader, OnlineUsers, VideoMirror, _tell
from feature_repo.online_writer import OnlineWriter
from feature_repo.packed_rows import Keys, Rows, Schema, encode, joined, rows_of_columns
from feature_repo.packed_tables import PackedTables
from feature_repo.places import Places
from feature_repo.steps import write_steps
from feature_repo.store import open_tables, training_features
from feature_repo.streams import FeatureStream
from feature_repo.videos import VideoCatalog
from tests.feature_repo.builders import Story
from tests.feature_repo.conftest import LAST

USERS, VIDEOS, CODES = range(11), range(15), range(5)
LATER = [0, 1, HOUR_US, HOUR_US + 1, 5 * HOUR_US, DAY_US, 3 * DAY_US + 1, 7 * DAY_US, 30 * DAY_US]
"""Windows and TTLs end at some of these, one microsecond before the next."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, busy: Story) -> Places:
    """A run of its own, materialised at the end of its log."""
    found = Places(Path(tmp_path_factory.mktemp("online")))
    write_steps(busy.log(found.log), found.features, LAST)
    materialize(found, LAST)
    return found


def joined_at(places: Places, moment: int) -> pl.DataFrame:
    """Every user with every video as the training join sees them at one moment."""
    catalog = VideoCatalog.from_log(EventLog(places.log))
    pairs = pl.DataFrame({"user_id": list(USERS)}).join(pl.DataFrame({"video_id": list(VIDEOS)}), how="cross")
    videos = pairs["video_id"].to_numpy()
    return training_features(
        places,
        pairs.with_row_index("impression_id").with_columns(
            pl.Series("creator_id", catalog.creators_of(videos)),
            pl.Series("topic", catalog.topics_of(videos)),
            pl.lit(moment).cast(INSTANT).alias("event_time"),
        ),
    )


def served_at(places: Places, moment: int, stream: FeatureStream | None = None) -> dict[str, np.ndarray]:
    """The same pairs as serving reads them."""
    catalog, tables = VideoCatalog.from_log(EventLog(places.log)), open_tables(places)
    videos = MirrorReader(tables, list(VIDEOS), catalog.creators_of(list(VIDEOS))).read(moment)
    reader = OnlineUsers(tables, stream)
    people = [reader.read(user, CODES, moment) for user in USERS]
    columns = {name: np.tile(column, len(USERS)) for name, column in videos.columns.items()}
    for name in people[0][0]:
        columns[name] = np.repeat([person[name] for person, _ in people], len(VIDEOS))
    topics = catalog.topics_of(list(VIDEOS))
    for place, feature in enumerate(USER_TOPIC_STATS.features):
        known = [np.where(topics >= 0, matrix[topics, place], feature.default) for _, matrix in people]
        columns[feature.name] = np.concatenate(known)
    return columns


def a_loaded_run(root: Path, story: Story) -> tuple[Places, EventLog]:
    """A run and its log, the online store loaded at the last moment of it."""
    places = Places(root)
    log = story.log(places.log)
    write_steps(log, places.features, LAST)
    materialize(places, LAST)
    return places, log


def a_reader(tables: PackedTables) -> MirrorReader:
    """Of every video, made by two creators in turn."""
    return MirrorReader(tables, list(VIDEOS), [video % 2 for video in VIDEOS])


def assert_same(found: VideoMirror, expected: VideoMirror) -> None:
    assert found.columns.keys() == expected.columns.keys()
    for name, column in expected.columns.items():
        np.testing.assert_array_equal(found.columns[name], column, name)


def assert_served_as_joined(joined: pl.DataFrame, served: dict[str, np.ndarray]) -> None:
    for feature in (f for view in VIEWS for f in view.features):
        dtype = np.float64 if feature.integer else np.float32
        expected = joined[feature.name].to_numpy().astype(dtype)
        np.testing.assert_array_equal(served[feature.name].astype(dtype), expected, feature.name)


@pytest.mark.parametrize("later_us", LATER)
def test_served_equals_joined_at_any_moment_once_what_changed_is_written(
    tmp_path: Path, busy: Story, later_us: int
) -> None:
    places, log = a_loaded_run(tmp_path, busy)
    writer = OnlineWriter.from_log(places, log, LAST)

    writer.write(writer.changes(LAST + later_us))

    assert_served_as_joined(joined_at(places, LAST + later_us), served_at(places, LAST + later_us))


@pytest.mark.parametrize("later_us", LATER)
def test_people_are_served_as_joined_though_nothing_was_written_since(loaded: Places, later_us: int) -> None:
    stream = FeatureStream.from_log(EventLog(loaded.log), LAST, LAST)
    served, joined = served_at(loaded, LAST + later_us, stream), joined_at(loaded, LAST + later_us)

    for name in (f.name for view in VIEWS for f in view.features if f.entity.startswith("user")):
        np.testing.assert_array_equal(served[name], joined[name].to_numpy(), name)


@given(st.lists(st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6), st.integers(0, 9))
def test_rows_are_told_in_one_pass_as_column_by_column(
    spans: list[tuple[int, int] | None], now_us: int
) -> None:
    """Each row is missing, or holds since and until a moment; those older than now - 4 have expired."""
    schema, places = schema_of(USER_TOPIC_STATS), np.arange(len(spans))[::-1].copy()
    since, until = np.array([span or (0, 0) for span in spans], np.int64).reshape(-1, 2).T
    there = np.array([span is not None for span in spans], np.bool_)
    numbers = {name: np.arange(len(spans)) + place for place, name in enumerate(schema.names)}
    encoded = encode(schema, rows_of_columns(schema, numbers, since, until))
    whole, _ = joined(schema, [row if each else None for row, each in zip(encoded, there, strict=True)])
    values = np.full((len(spans), len(schema.names)), -1, np.float32)
    since_us, behind = np.empty(len(spans), np.int64), np.empty(len(spans), np.bool_)

    over = _tell(whole, now_us - 4, now_us, places, values, since_us, behind)

    wide = np.array(list(numbers.values()), np.float32).T
    expected = np.where((there & (since >= now_us - 4))[:, None], wide, np.float32(-1))
    np.testing.assert_array_equal(values[places], expected)
    np.testing.assert_array_equal(since_us, since)
    np.testing.assert_array_equal(behind, ~there | (until <= now_us) | (since > now_us))
    assert over == (there & (until <= now_us)).sum()


def test_a_row_that_outlived_its_moment_is_counted_where_no_stream_can_tell_better(loaded: Places) -> None:
    reader = OnlineUsers(open_tables(loaded))

    reader.read(1, CODES, LAST)
    fresh = reader.outlived
    reader.read(1, CODES, LAST + 2 * DAY_US)

    assert (fresh, reader.outlived > 0) == (0, True)


def test_a_row_older_than_its_ttl_is_the_defaults(loaded: Places) -> None:
    person, topics = OnlineUsers(open_tables(loaded)).read(1, CODES, LAST + 15 * DAY_US)

    assert person["user_impressions_7d"] == 0
    assert (topics == np.array([f.default for f in USER_TOPIC_STATS.features], np.float32)).all()


def test_a_new_person_has_defaults_and_no_error(loaded: Places) -> None:
    person, topics = OnlineUsers(open_tables(loaded)).read(10**12, range(TOPICS), LAST)

    assert person["user_impressions_7d"] == 0
    assert np.isnan(person["user_country"])
    assert (topics == np.array([f.default for f in USER_TOPIC_STATS.features], np.float32)).all()


def test_a_catalog_without_topics_asks_for_none(loaded: Places) -> None:
    _, topics = OnlineUsers(open_tables(loaded)).read(1, [], LAST)

    assert topics.shape == (TOPICS, len(USER_TOPIC_STATS.features))


def test_the_mirror_answers_in_the_order_asked_and_unknown_videos_have_defaults(loaded: Places) -> None:
    found = MirrorReader(open_tables(loaded), [7, 3, 5], [0, 1, 0]).read(LAST)

    assert found.video_ids.tolist() == [3, 5, 7]
    taken = found.take(found.rows_of([7, 99]))
    assert taken["video_impressions_7d"].tolist() == [found.columns["video_impressions_7d"][2], 0.0]
    assert np.isnan(taken["video_duration_s"][1])


def test_creators_are_aligned_with_their_videos(loaded: Places) -> None:
    rows = newest(loaded, CREATOR_STATS, LAST)
    followers = dict(zip(rows["creator_id"], rows["creator_followers"], strict=True))

    found = MirrorReader(open_tables(loaded), [5, 3, 9], [1, 0, 1]).read(LAST)

    assert found.columns["creator_followers"].tolist() == [followers[0], followers[1], followers[1]]


def test_an_empty_mirror_has_every_column(loaded: Places) -> None:
    found = MirrorReader(open_tables(loaded), [], []).read(LAST)

    assert isinstance(found, VideoMirror)
    assert found.take(found.rows_of([1]))["creator_uploads_7d"].tolist() == [0.0]


def test_the_next_mirror_has_what_was_written_and_the_one_before_stays_as_it_was(
    tmp_path: Path, busy: Story
) -> None:
    places, log = a_loaded_run(tmp_path, busy)
    reader = MirrorReader(open_tables(places), list(VIDEOS), [0] * len(VIDEOS))
    before = reader.read(LAST)
    kept = {name: column.copy() for name, column in before.columns.items()}

    writer = OnlineWriter.from_log(places, log, LAST)
    writer.write(writer.changes(LAST + DAY_US))
    after = reader.read(LAST + DAY_US)

    assert (after.columns["video_impressions_24h"] == 0).all()
    for name, column in kept.items():
        np.testing.assert_array_equal(before.columns[name], column, name)


@pytest.mark.parametrize("later_us", LATER)
def test_a_mirror_made_from_the_one_before_is_the_mirror_read_anew(
    tmp_path: Path, busy: Story, later_us: int
) -> None:
    places, log = a_loaded_run(tmp_path, busy)
    reader = a_reader(open_tables(places))
    reader.read(LAST)

    expired = reader.read(LAST + later_us)  # nothing was written
    assert_same(expired, a_reader(open_tables(places)).read(LAST + later_us))
    writer = OnlineWriter.from_log(places, log, LAST)
    writer.write(writer.changes(LAST + later_us))

    assert_same(reader.read(LAST + later_us), a_reader(open_tables(places)).read(LAST + later_us))


def test_what_was_heard_before_the_store_failed_is_told_by_the_next_mirror(loaded: Places) -> None:
    tables = open_tables(loaded)
    reader, asked = a_reader(tables), tables.changed_since

    def gone_for_creators(schema: Schema, version: int) -> tuple[Keys, Rows, int]:
        if schema.view == CREATOR_STATS.name:
            raise OSError("gone")
        return asked(schema, version)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "changed_since", gone_for_creators)
        with pytest.raises(OSError, match="gone"):
            reader.read(LAST)

    assert_same(reader.read(LAST), a_reader(open_tables(loaded)).read(LAST))


def test_columns_put_in_the_place_of_a_mirrors_own_are_what_it_tells(loaded: Places) -> None:
    found = a_reader(open_tables(loaded)).read(LAST)
    doubled = {**found.columns, "video_impressions_7d": found.columns["video_impressions_7d"] * 2}

    rows = np.array([2, -1])
    told, before = replace(found, columns=doubled).take(rows), found.take(rows)

    assert told["video_impressions_7d"].tolist() == [2 * before["video_impressions_7d"][0], 0.0]
    assert before["video_impressions_7d"][0] > 0
    for name in before.keys() - {"video_impressions_7d"}:
        np.testing.assert_array_equal(told[name], before[name], name)


def test_only_the_columns_named_are_taken_and_in_that_order(loaded: Places) -> None:
    found = a_reader(open_tables(loaded)).read(LAST)

    taken = found.take(np.array([3]), ["creator_uploads_7d", "video_uploaded_us"])

    assert list(taken) == ["creator_uploads_7d", "video_uploaded_us"]
    assert taken["video_uploaded_us"].tolist() == [found.columns["video_uploaded_us"][3]]


@given(st.lists(st.tuples(st.integers(-2, 12), st.integers(-3, 12)), max_size=6))
def test_a_guess_never_changes_which_rows_are_found(asked: list[tuple[int, int]]) -> None:
    mirror = VideoMirror(np.array([1, 2, 5, 9]), {}, LAST)
    ids, guesses = np.array(asked, np.int64).reshape(-1, 2).T
    rows = mirror.rows_of(ids)

    assert mirror.rows_of(ids, guesses).tolist() == rows.tolist()
    assert mirror.rows_of(ids, rows).tolist() == rows.tolist()


def test_an_older_value_never_replaces_a_newer_one(loaded: Places) -> None:
    before = served_at(loaded, LAST)

    written = write_online(open_tables(loaded), VIDEO_STATS, newest(loaded, VIDEO_STATS, LAST - 2 * DAY_US))

    assert written < len(newest(loaded, VIDEO_STATS, LAST - 2 * DAY_US))
    np.testing.assert_array_equal(
        served_at(loaded, LAST)["video_impressions_7d"], before["video_impressions_7d"]
    )


def test_materializing_again_changes_nothing_but_the_count_of_loads(loaded: Places) -> None:
    before, loads = served_at(loaded, LAST), read_loaded(loaded)

    materialize(loaded, LAST)

    again = read_loaded(loaded)
    assert loads is not None
    assert again is not None
    assert (again.until_us, again.loads) == (loads.until_us, loads.loads + 1)
    for name, column in served_at(loaded, LAST).items():
        np.testing.assert_array_equal(column, before[name], name)


def test_a_newer_value_replaces_an_older_one(tmp_path: Path, busy: Story) -> None:
    found = Places(tmp_path)
    log = busy.log(found.log)
    for end in (LAST - DAY_US, LAST):
        write_steps(log, found.features, end)
        materialize(found, end)

    joined, served = joined_at(found, LAST), served_at(found, LAST)
    np.testing.assert_array_equal(served["video_like_rate_7d"], joined["video_like_rate_7d"].to_numpy())


def test_feast_reads_the_same_rows(loaded: Places) -> None:
    from feature_repo.store import open_store

    features = ["user_stats:user_impressions_7d", "user_profile:user_joined_us"]
    found = open_store(loaded).get_online_features(features, [{"user_id": user} for user in USERS]).to_dict()

    people = [OnlineUsers(open_tables(loaded)).read(user, CODES, LAST)[0] for user in USERS]
    known = [person["user_impressions_7d"] for person in people]
    assert [value or 0.0 for value in found["user_impressions_7d"]] == known
    joined = [None if np.isnan(each["user_joined_us"]) else each["user_joined_us"] for each in people]
    assert found["user_joined_us"] == joined
