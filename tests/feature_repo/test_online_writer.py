"""The online store follows the events: the as-of join after every write, and nothing lost between two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from feature_repo.catalogue import (
    CREATOR_STATS,
    DEFAULTS,
    PROJECT,
    STATS,
    USER_STATS,
    VIDEO_STATS,
    View,
)
from feature_repo.clock import DAY_US, HOUR_US, MINUTE_US
from feature_repo.facts import KEY_SPAN, Ints
from feature_repo.materialization import materialize, schema_of
from feature_repo.online_writer import OnlineWriter, tables_of
from feature_repo.packed_rows import Rows, Schema
from feature_repo.packed_tables import PackedTables, open_packed
from feature_repo.places import Places
from feature_repo.steps import source_of, table_keys, write_steps
from feature_repo.streams import FeatureStream
from tests.feature_repo.builders import Story, a_busy_story, at

END = at(days=4)
CUT = at(days=2, hours=3)
MOMENTS = [
    CUT + 1,
    CUT + HOUR_US,
    CUT + 5 * HOUR_US + 1,
    CUT + DAY_US,
    END + HOUR_US,
    END + 3 * DAY_US,
    END + 8 * DAY_US,
]

Values = dict[int, list[float]]


class OftenGone:
    """The packed rows of a project in a store that does not take the next so many writes."""

    def __init__(self, tables: PackedTables, gone: int) -> None:
        self._tables, self.gone = tables, gone

    def write(self, schema: Schema, keys: Any, rows: Rows) -> int:
        if self.gone:
            self.gone -= 1
            raise OSError("the store is gone")
        return self._tables.write(schema, keys, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)


def a_writer(story: Story, folder: Path, gone: int = 0) -> OnlineWriter:
    """A writer that knows the log until the cut, over an empty store; everything in it is due."""
    stream = FeatureStream.from_log(story.log(folder / "log"), CUT, told_us=0)
    tables: Any = OftenGone(open_packed(folder / "online.db", PROJECT), gone)
    return OnlineWriter(stream, tables)


def heard_between(story: Story, low_us: int, high_us: int) -> list[dict[str, Any]]:
    """Events that became known in [low, high), in the order in which they did."""
    events = [event for kind in story.events.values() for event in kind]
    heard = [event for event in events if low_us <= event["known_time_us"] < high_us]
    return sorted(
        heard, key=lambda event: (event["known_time_us"], event["event_time_us"], event["event_id"])
    )


def hear_one_by_one(writer: OnlineWriter, events: Sequence[dict[str, Any]]) -> None:
    for event in events:
        writer.hear([event])


def keys_of(view: View) -> Ints:
    """Every key of a busy story, and one more."""
    first = np.arange(15)
    return first if len(view.keys) == 1 else (first[:, None] * KEY_SPAN + np.arange(5)).ravel()


def stored_at(tables: PackedTables, view: View, now_us: int) -> Values:
    """What a reader of the store gets for each key at a moment: no older than the TTL, else the defaults."""
    keys = keys_of(view)
    rows = tables.read(schema_of(view), np.column_stack(list(table_keys(view, keys).values())))
    wide = np.column_stack([rows.values[name] for name in view.names])
    found = np.where(
        (rows.found & (rows.since_us >= now_us - (view.ttl_us or 0)))[:, None],
        wide,
        np.array([DEFAULTS[name] for name in view.names], np.float32),
    )
    return dict(zip(keys.tolist(), found.tolist(), strict=True))


def joined_at(features: Path, view: View, now_us: int) -> Values:
    """The as-of join of the step files of the whole log."""
    moment = pl.col("event_timestamp").to_physical()
    key = pl.col(view.keys[0]) if len(view.keys) == 1 else pl.col(view.keys[0]) * KEY_SPAN + pl.col("topic")
    held = pl.read_parquet(source_of(features, view)).filter(moment <= now_us).with_columns(key.alias("key"))
    newest = held.unique("key", keep="last", maintain_order=True).filter(
        moment >= now_us - (view.ttl_us or 0)
    )
    found = {row[0]: list(row[1:]) for row in newest.select("key", *view.names).iter_rows()}
    default = np.array([DEFAULTS[name] for name in view.names], np.float32).tolist()
    return {each: found.get(each, default) for each in keys_of(view).tolist()}


def assert_stored_as_joined(writer: OnlineWriter, features: Path, now_us: int) -> None:
    for view in STATS:
        assert stored_at(writer.tables, view, now_us) == joined_at(features, view, now_us), view.name


@pytest.fixture(scope="module")
def story() -> Story:
    return a_busy_story(np.random.default_rng(21), END)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, story: Story) -> Path:
    root = tmp_path_factory.mktemp("whole")
    write_steps(story.log(root / "log"), root / "features", END + 3 * DAY_US)
    return root / "features"


def test_after_each_write_of_what_changed_the_store_is_the_join_for_everybody(
    tmp_path: Path, story: Story, features: Path
) -> None:
    writer, before = a_writer(story, tmp_path), CUT
    for now in MOMENTS:
        hear_one_by_one(writer, heard_between(story, before, now))
        writer.write(writer.changes(now))

        assert_stored_as_joined(writer, features, now)
        before = now
    assert writer.failures == 0


@pytest.mark.parametrize("loaded_us", [at(hours=20), CUT - 7 * HOUR_US, CUT])
def test_what_the_log_heard_after_the_store_was_loaded_is_written_too(
    tmp_path: Path, story: Story, features: Path, loaded_us: int
) -> None:
    places = Places(tmp_path)
    log = story.log(places.log)
    write_steps(log, places.features, loaded_us)
    materialize(places, loaded_us)

    writer = OnlineWriter.from_log(places, log, CUT)
    writer.write(writer.changes(CUT))

    assert_stored_as_joined(writer, features, CUT)


def test_writers_that_take_turns_and_pass_over_each_others_writes_keep_the_store_the_join(
    tmp_path: Path, story: Story, features: Path
) -> None:
    """And write no more than one would."""
    both, one = [a_writer(story, tmp_path) for _ in range(2)], a_writer(story, tmp_path / "one")
    for writer in (*both, one):
        writer.write(writer.changes(CUT))
    written, before = 0, CUT
    for turn, now in enumerate(MOMENTS):
        for writer in (*both, one):
            hear_one_by_one(writer, heard_between(story, before, now))
        mine = both[turn % 2]
        mine.pass_over(before)
        written += mine.write(mine.changes(now)) - one.write(one.changes(now))

        assert_stored_as_joined(mine, features, now)
        before = now
    assert written == 0


def test_what_was_learnt_late_is_not_passed_over(tmp_path: Path) -> None:
    """Of a video that another writer may not know yet."""
    told, later = Story(), Story()
    told.swipes(3, 2, CUT - MINUTE_US)
    later.uploads(2, creator=5, at_us=CUT + MINUTE_US)
    writer = a_writer(told, tmp_path)
    writer.write(writer.changes(CUT))
    hear_one_by_one(writer, later.events["uploaded"])

    writer.pass_over(CUT + 2 * MINUTE_US)

    assert writer.changes(CUT + 2 * MINUTE_US).keys[CREATOR_STATS.name].tolist() == [5]


def test_changes_written_after_later_events_were_heard_are_still_of_their_moment(
    tmp_path: Path, story: Story, features: Path
) -> None:
    writer = a_writer(story, tmp_path)
    hear_one_by_one(writer, heard_between(story, CUT, MOMENTS[1]))
    changes = writer.changes(MOMENTS[1])
    hear_one_by_one(writer, heard_between(story, MOMENTS[1], MOMENTS[3]))

    writer.write(changes)

    assert_stored_as_joined(writer, features, MOMENTS[1])
    writer.write(writer.changes(MOMENTS[3]))
    assert_stored_as_joined(writer, features, MOMENTS[3])


def test_what_did_not_change_is_not_written_again(tmp_path: Path, story: Story) -> None:
    writer = a_writer(story, tmp_path)
    assert writer.write(writer.changes(CUT)) > 0

    assert writer.write(writer.changes(CUT)) == 0
    nothing_happens = [writer.write(writer.changes(CUT + n)) for n in (1, 2, 3)]
    assert sum(nothing_happens) < writer.write(writer.changes(CUT + DAY_US))


def test_nothing_is_written_until_what_changed_is(tmp_path: Path, story: Story) -> None:
    writer = a_writer(story, tmp_path)
    writer.write(writer.changes(CUT))
    told, seven_days = Story(), USER_STATS.names.index("user_impressions_7d")
    told.swipes(3, 2, CUT + MINUTE_US)
    now = CUT + MINUTE_US + 1
    before = stored_at(writer.tables, USER_STATS, now)

    hear_one_by_one(writer, told.events["watched"])

    assert stored_at(writer.tables, USER_STATS, now) == before
    writer.write(writer.changes(now))
    assert stored_at(writer.tables, USER_STATS, now)[3][seven_days] == before[3][seven_days] + 1


@pytest.mark.parametrize("gone", [1, 2, 3, 4, 5, 40])
def test_a_store_that_does_not_take_writes_loses_nothing(
    tmp_path: Path, story: Story, features: Path, gone: int
) -> None:
    writer = a_writer(story, tmp_path)
    writer.write(writer.changes(CUT))
    store: Any = writer.tables
    store.gone = gone
    before = CUT
    for now in MOMENTS[:5]:
        hear_one_by_one(writer, heard_between(story, before, now))
        writer.write(writer.changes(now))
        before = now
    store.gone = 0
    hear_one_by_one(writer, heard_between(story, before, MOMENTS[5]))

    writer.write(writer.changes(MOMENTS[5]))

    assert_stored_as_joined(writer, features, MOMENTS[5])


def test_each_write_the_store_did_not_take_is_counted_and_said(
    tmp_path: Path, story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    writer = a_writer(story, tmp_path, gone=3)

    assert writer.write(writer.changes(CUT)) > 0

    assert writer.failures == 3
    said = [record.getMessage() for record in caplog.records]
    assert [message.split(" of ")[1] for message in said] == [
        f"{view.name}; they stay due" for view in STATS[:3]
    ]


def test_what_was_due_and_has_been_written_is_due_no_more(tmp_path: Path, story: Story) -> None:
    writer = a_writer(story, tmp_path, gone=len(STATS))
    assert writer.write(writer.changes(CUT)) == 0
    assert writer.is_behind

    assert writer.write(writer.changes(CUT)) > 0
    assert writer.write(writer.changes(CUT)) == 0
    assert not writer.is_behind


def test_an_event_is_remembered_by_the_stream_though_the_store_is_gone(tmp_path: Path) -> None:
    writer = a_writer(Story(), tmp_path, gone=100)
    told = Story()
    told.swipes(3, 2, CUT)

    hear_one_by_one(writer, told.events["watched"])
    writer.write(writer.changes(CUT + 1))

    assert writer.failures == len([USER_STATS, VIDEO_STATS])
    assert writer.stream.value(USER_STATS, [3], CUT + 1).values[0, 0] == 1
    assert stored_at(writer.tables, USER_STATS, CUT + 1)[3][0] == 0


def test_a_video_that_reached_the_log_by_another_door_is_stored_with_its_creator(tmp_path: Path) -> None:
    writer = a_writer(Story(), tmp_path)
    story = Story()
    story.uploads(1, creator=5, at_us=CUT - HOUR_US)

    writer.catch_up(story.log(tmp_path / "other"), CUT)
    writer.write(writer.changes(CUT))

    uploads = CREATOR_STATS.names.index("creator_uploads_7d")
    assert stored_at(writer.tables, CREATOR_STATS, CUT)[5][uploads] == 1


def test_an_upload_is_caught_up_with_only_after_it_was_known(tmp_path: Path) -> None:
    writer = a_writer(Story(), tmp_path)
    story = Story()
    story.uploads(1, creator=5, at_us=CUT)
    log, uploads = story.log(tmp_path / "other"), CREATOR_STATS.names.index("creator_uploads_7d")

    counted = []
    for now in (CUT, CUT + 1, CUT + 2):
        writer.catch_up(log, now)
        writer.write(writer.changes(now))
        counted.append(stored_at(writer.tables, CREATOR_STATS, now)[5][uploads])

    assert counted == [0, 1, 1]


def test_events_that_count_for_nothing_make_no_table() -> None:
    story = Story()
    story.removes(1, CUT)
    story.swipes(1, 2, CUT)

    tables = tables_of([event for kind in story.events.values() for event in kind])

    assert sorted(tables) == ["served", "watched"]
    assert list(tables["served"]) == ["impression_id", "video_id"]
