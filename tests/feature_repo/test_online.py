"""Is what serving reads what training would have joined at the same moment, value by value in float32?"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_repo.catalogue import CREATOR_STATS, USER_TOPIC_STATS, VIDEO_STATS, VIEWS, view_named
from feature_repo.clock import DAY_US, HOUR_US, INSTANT, SECOND_US
from feature_repo.events import TOPICS
from feature_repo.log import EventLog
from feature_repo.materialization import materialize, newest, write_online
from feature_repo.online import OnlineUsers, VideoMirror, mirror
from feature_repo.places import Places
from feature_repo.snapshots import write_snapshots
from feature_repo.store import open_store, training_features
from feature_repo.videos import VideoCatalog
from tests.feature_repo.builders import Story
from tests.feature_repo.conftest import LAST

USERS, VIDEOS, CODES = range(11), range(15), range(5)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, busy: Story) -> Places:
    """A run of its own, materialised at the end of its log."""
    found = Places(Path(tmp_path_factory.mktemp("online")))
    write_snapshots(busy.log(found.log), found.features, LAST)
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


def served_at(places: Places, moment: int) -> dict[str, np.ndarray]:
    """The same pairs as serving reads them."""
    catalog, store = VideoCatalog.from_log(EventLog(places.log)), open_store(places)
    videos = mirror(store, list(VIDEOS), catalog.creators_of(list(VIDEOS)), moment)
    people = [OnlineUsers(store).read(user, CODES, moment) for user in USERS]
    columns = {name: np.tile(column, len(USERS)) for name, column in videos.columns.items()}
    for name in people[0][0]:
        columns[name] = np.repeat([person[name] for person, _ in people], len(VIDEOS))
    topics = catalog.topics_of(list(VIDEOS))
    for place, feature in enumerate(USER_TOPIC_STATS.features):
        known = [np.where(topics >= 0, matrix[topics, place], feature.default) for _, matrix in people]
        columns[feature.name] = np.concatenate(known)
    return columns


@pytest.mark.parametrize(
    "later_us",
    [
        0,
        1,
        5 * HOUR_US,
        DAY_US,  # the TTL of video stats, inclusive
        DAY_US + 1,
        3 * DAY_US,  # the TTL of people and creators, inclusive
        3 * DAY_US + 1,
        30 * DAY_US,
    ],
)
def test_served_equals_joined_at_the_same_moment(loaded: Places, later_us: int) -> None:
    joined, served = joined_at(loaded, LAST + later_us), served_at(loaded, LAST + later_us)

    for feature in (f for view in VIEWS for f in view.features):
        dtype = np.float64 if feature.integer else np.float32
        expected = joined[feature.name].to_numpy().astype(dtype)
        np.testing.assert_array_equal(served[feature.name].astype(dtype), expected, feature.name)


def test_video_stats_are_fresh_at_their_ttl_and_expired_one_microsecond_later(loaded: Places) -> None:
    store = open_store(loaded)
    alive = newest(loaded, VIDEO_STATS, LAST)["video_id"].to_list()

    fresh, expired = (mirror(store, alive, [0] * len(alive), LAST + age) for age in (DAY_US, DAY_US + 1))

    assert fresh.columns["video_impressions_7d"].max() > 0
    assert (expired.columns["video_impressions_7d"] == 0).all()


def test_a_new_person_has_defaults_and_no_error(loaded: Places) -> None:
    person, topics = OnlineUsers(open_store(loaded)).read(10**12, range(TOPICS), LAST)

    assert person["user_impressions_7d"] == 0
    assert np.isnan(person["user_country"])
    assert (topics == np.array([f.default for f in USER_TOPIC_STATS.features], np.float32)).all()


def test_a_catalog_without_topics_asks_for_none(loaded: Places) -> None:
    _, topics = OnlineUsers(open_store(loaded)).read(1, [], LAST)

    assert topics.shape == (TOPICS, 3)


def test_the_mirror_answers_in_the_order_asked_and_unknown_videos_have_defaults(loaded: Places) -> None:
    found = mirror(open_store(loaded), [7, 3, 5], [0, 1, 0], LAST)

    assert found.video_ids.tolist() == [3, 5, 7]
    taken = found.take(found.rows_of([7, 99]))
    assert taken["video_impressions_7d"].tolist() == [found.columns["video_impressions_7d"][2], 0.0]
    assert np.isnan(taken["video_duration_s"][1])


def test_creators_are_aligned_with_their_videos(loaded: Places) -> None:
    store = open_store(loaded)
    rows = newest(loaded, CREATOR_STATS, LAST)
    followers = dict(zip(rows["creator_id"], rows["creator_followers"], strict=True))

    found = mirror(store, [5, 3, 9], [1, 0, 1], LAST)

    assert found.columns["creator_followers"].tolist() == [followers[0], followers[1], followers[1]]


def test_an_empty_mirror_has_every_column(loaded: Places) -> None:
    found = mirror(open_store(loaded), [], [], LAST)

    assert isinstance(found, VideoMirror)
    assert found.take(found.rows_of([1]))["creator_uploads_7d"].tolist() == [0.0]


def test_an_older_value_never_replaces_a_newer_one(loaded: Places) -> None:
    view, store = view_named("video_stats"), open_store(loaded)
    now = newest(loaded, view, LAST)
    before = served_at(loaded, LAST)

    written = write_online(store, loaded, view, newest(loaded, view, LAST - 2 * DAY_US))

    assert written < len(now)
    after = served_at(loaded, LAST)
    np.testing.assert_array_equal(after["video_impressions_7d"], before["video_impressions_7d"])


def test_materializing_again_changes_nothing(loaded: Places) -> None:
    before = served_at(loaded, LAST)

    materialize(loaded, LAST)

    for name, column in served_at(loaded, LAST).items():
        np.testing.assert_array_equal(column, before[name], name)


def test_a_newer_value_replaces_an_older_one(tmp_path: Path, busy: Story) -> None:
    found = Places(tmp_path)
    log = busy.log(found.log)
    for end in (LAST - DAY_US, LAST):
        write_snapshots(log, found.features, end)
        materialize(found, end)

    joined, served = joined_at(found, LAST), served_at(found, LAST)
    np.testing.assert_array_equal(served["video_like_rate_7d"], joined["video_like_rate_7d"].to_numpy())


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process can be set on POSIX only")
def test_a_machine_that_is_not_on_utc_reads_the_same(loaded: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    before = served_at(loaded, LAST + DAY_US)
    monkeypatch.setitem(os.environ, "TZ", "America/New_York")
    time.tzset()
    try:
        other = Places(loaded.root.parent / "zoned")
        write_snapshots(EventLog(loaded.log), other.features, LAST)
        materialize(other, LAST)
        (other.root / "log").symlink_to(loaded.log)
        np.testing.assert_array_equal(
            served_at(other, LAST + DAY_US)["video_impressions_7d"], before["video_impressions_7d"]
        )
        assert materialize(other, LAST - SECOND_US)["video_stats"] < len(newest(other, VIDEO_STATS, LAST))
    finally:
        monkeypatch.undo()
        time.tzset()
