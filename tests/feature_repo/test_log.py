"""Is the log whole, ordered and honest about what it repaired?"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from feature_repo.log import EventLog
from feature_repo.schemas import BadLog
from tests.feature_repo.builders import Story, a_story, at


def test_what_is_appended_is_read_back_in_order_of_event_time(tmp_path: Path) -> None:
    story = a_story()
    log = story.log(tmp_path)

    found = log.read("watched")

    assert found["event_time"].is_sorted()
    assert found.equals(story.frame("watched").sort("event_time", "event_id"))


def test_appending_the_same_part_twice_changes_nothing(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)
    before = log.digest()

    a_story().log(tmp_path)

    assert log.digest() == before
    assert len(log.read("watched")) == 6


def test_a_read_is_bounded_by_event_time_and_by_what_was_known(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)

    assert len(log.read("watched", at(hours=2), at(days=3))) == 1
    assert len(log.read("watched", end_us=at(hours=3), known_before_us=at(hours=9, minutes=1))) == 2
    assert len(log.read("watched", end_us=at(hours=3), known_before_us=at(hours=9, minutes=1, us=1))) == 3


def test_the_log_ends_one_microsecond_after_its_last_event(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)

    assert (log.start_us(), log.end_us()) == (at(), at(days=9, hours=23, minutes=59, us=1))


def test_the_range_of_one_kind_is_its_own(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)

    assert (log.start_us("followed"), log.end_us("followed")) == (at(hours=20), at(hours=20, us=1))


def test_an_unfinished_file_is_never_read(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)
    folder = log.parts("watched")[0].parent
    (folder / ".story.1.unfinished").write_bytes(b"half a file")
    (folder / ".x.parquet").write_bytes(b"half a file")

    assert len(log.read("watched")) == 6


def test_a_repeated_event_is_read_once_and_counted(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)
    log.append("watched", a_story().frame("watched").head(2), "again")

    assert len(log.read("watched")) == 6
    assert log.audit("watched").repeated == 2


def test_a_batch_that_repeats_an_event_is_stored_as_it_is_and_read_once(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    frame = a_story().frame("watched")
    log.append("watched", pl.concat([frame, frame]), "twice")

    assert log.read("watched").equals(frame.sort("event_time", "event_id"))
    assert log.audit("watched").repeated == len(frame)


def test_parts_that_overlap_in_time_are_read_in_one_order(tmp_path: Path) -> None:
    log, frame = EventLog(tmp_path), a_story().frame("watched")
    log.append("watched", frame[1::2], "a")
    log.append("watched", frame[::2], "b")

    assert log.read("watched").equals(frame.sort("event_time", "event_id"))


def test_events_of_one_moment_are_read_by_their_names(tmp_path: Path) -> None:
    log, frame = EventLog(tmp_path), a_story().frame("watched")
    tied = frame.with_columns(event_time=pl.lit(frame["event_time"].min()))
    log.append("watched", tied.tail(3), "first")
    log.append("watched", tied.head(3), "second")

    videos = tied.sort("event_id")["video_id"]
    assert log.read("watched", columns=["video_id"])["video_id"].equals(videos)


def test_late_rows_are_counted(tmp_path: Path) -> None:
    assert a_story().log(tmp_path).audit("watched").late == 1


def test_the_same_id_with_another_body_is_refused_on_reading(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)
    other = a_story().frame("watched").head(1).with_columns(pl.lit(7, pl.Int64).alias("watched_ms"))
    log.append("watched", other, "other")

    with pytest.raises(BadLog, match=r"watched\.event_id: id 'e00006' has two different bodies"):
        log.read("watched")


def test_a_refused_append_stores_nothing(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    bad = a_story().frame("watched").with_columns(pl.lit(-1, pl.Int64).alias("watched_ms"))

    with pytest.raises(BadLog, match=r"watched\.watched_ms: a value must be >= 0"):
        log.append("watched", bad, "bad")

    assert log.is_empty()


def test_a_foreign_file_without_a_column_is_refused_by_name(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)
    path = log.parts("watched")[0].with_name("foreign.parquet")
    a_story().frame("watched").drop("user_id").write_parquet(path)

    with pytest.raises(BadLog, match=r"watched\.user_id: foreign\.parquet"):
        log.read("watched")


def test_a_log_without_events_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BadLog, match="make train"):
        EventLog(tmp_path).end_us()


def test_a_kind_without_events_is_an_empty_table_of_its_schema(tmp_path: Path) -> None:
    log = Story().log(tmp_path)

    assert log.read("followed").columns == a_story().frame("followed").columns


def test_the_digest_changes_with_the_content(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)
    before = log.digest()
    story = Story()
    story.joins(9)
    log.append("joined", story.frame("joined").with_columns(pl.lit("x").alias("event_id")), "more")

    assert log.digest() != before


def test_a_half_written_file_is_refused_by_name(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)
    whole = log.parts("watched")[0]
    whole.with_name("foreign.parquet").write_bytes(whole.read_bytes()[:200])

    with pytest.raises(BadLog, match=r"foreign\.parquet is not a whole parquet file .* remove that file"):
        log.read("watched")


def test_a_foreign_file_with_a_column_too_many_is_refused_by_name(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)
    path = log.parts("watched")[0].with_name("foreign.parquet")
    a_story().frame("watched").with_columns(mood=pl.lit(1)).write_parquet(path)

    with pytest.raises(BadLog, match=r"watched\.mood: foreign\.parquet"):
        log.read("watched")
