"""Is what was acknowledged durable, stored once, and in the log exactly once whatever is cut short?"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.journal import Acknowledged, ConflictingEvent, Journal, frame_of
from feature_repo.log import EventLog
from feature_repo.schemas import BadLog
from tests.feature_repo.builders import a_slate, a_story, at, watched_event


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


def test_a_retry_is_acknowledged_and_stored_once(journal: Journal) -> None:
    first = journal.append([watched_event()])
    second = journal.append([watched_event(known_time_us=watched_event()["known_time_us"] + 5)])

    assert (first, second) == (Acknowledged(1, 0), Acknowledged(0, 1))
    assert len(journal.events()) == 1


def test_another_body_under_a_known_id_is_a_conflict_and_nothing_of_its_batch_is_stored(
    journal: Journal,
) -> None:
    journal.append([watched_event("w1")])

    with pytest.raises(ConflictingEvent, match="'w1' is already stored with another body"):
        journal.append([watched_event("w2"), watched_event("w1", watched_ms=1)])

    assert [row.event["event_id"] for row in journal.events()] == ["w1"]


def test_a_conflict_within_one_batch_stores_nothing(journal: Journal) -> None:
    with pytest.raises(ConflictingEvent):
        journal.append([watched_event("w1"), watched_event("w1", watched_ms=1)])

    assert journal.events() == []


def test_a_bad_event_stores_nothing_of_its_batch(journal: Journal) -> None:
    with pytest.raises(BadLog, match=r"watched\.watched_ms"):
        journal.append([watched_event("w1"), watched_event("w2", watched_ms=-1)])

    assert journal.events() == []


def test_a_null_left_out_is_the_same_body(journal: Journal) -> None:
    journal.append([watched_event(duration_ms=None)])
    without = {key: value for key, value in watched_event().items() if key != "duration_ms"}

    assert journal.append([without]) == Acknowledged(0, 1)


def test_a_body_is_the_same_whatever_the_order_of_its_keys(journal: Journal) -> None:
    journal.append([watched_event()])

    assert journal.append([dict(reversed(watched_event().items()))]) == Acknowledged(0, 1)


def test_what_is_read_is_what_was_told_nulls_and_clock_included(journal: Journal) -> None:
    told = [watched_event("w1", duration_ms=None), watched_event("w2", known_time_us=at(hours=9))]
    journal.append(told)

    assert [row.event for row in journal.events()] == told


def test_a_retry_of_what_an_older_journal_holds_is_known(tmp_path: Path) -> None:
    """Bodies once stood there as they were told; the hash has always been of the sorted body alone."""
    told = watched_event(duration_ms=None)
    said = {key: told[key] for key in sorted(told) if key not in ("known_time_us", "duration_ms")}
    hashed = hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()
    journal = Journal(tmp_path / "j.db")
    with sqlite3.connect(tmp_path / "j.db") as older:
        row = (told["event_id"], hashed, json.dumps(told))
        older.execute("insert into events (event_id, body_hash, body) values (?, ?, ?)", row)

    assert journal.append([watched_event(duration_ms=None, known_time_us=at(hours=9))]) == Acknowledged(0, 1)
    assert [row.event for row in journal.events()] == [told]


def test_a_batch_of_new_and_repeated_events_tells_how_many_of_each(journal: Journal) -> None:
    journal.append([watched_event("w1"), watched_event("w2")])

    assert journal.append([watched_event(f"w{n}") for n in (3, 1, 4, 2, 3)]) == Acknowledged(2, 3)
    assert [row.event["event_id"] for row in journal.events()] == ["w1", "w2", "w3", "w4"]


def test_events_are_read_after_a_number_in_order_of_arrival(journal: Journal) -> None:
    journal.append([watched_event(f"w{n}") for n in range(4)])

    after = journal.events(after=journal.events()[1].number)

    assert [row.event["event_id"] for row in after] == ["w2", "w3"]


def test_what_is_acknowledged_is_there_for_another_connection(tmp_path: Path) -> None:
    Journal(tmp_path / "j.db").append([watched_event()])

    assert Journal(tmp_path / "j.db").events()[0].event == watched_event()


def test_draining_brings_every_kind_into_the_log_unchanged(tmp_path: Path, journal: Journal) -> None:
    story = a_story()
    for kind in story.events:
        journal.append(story.events[kind])
    log = EventLog(tmp_path / "log")

    assert journal.drain_into(log) == sum(len(events) for events in story.events.values())
    for kind in story.events:
        assert log.read(kind).equals(story.frame(kind).sort("event_time", "event_id"))


def test_draining_again_brings_only_what_is_new(tmp_path: Path, journal: Journal) -> None:
    log = EventLog(tmp_path / "log")
    journal.append([watched_event("w1")])
    journal.drain_into(log)
    journal.append([watched_event("w2")])

    assert [journal.drain_into(log), journal.drain_into(log)] == [1, 0]
    assert log.read("watched")["event_id"].to_list() == ["w1", "w2"]


def test_a_drain_cut_short_before_its_mark_repeats_without_doubling(tmp_path: Path, journal: Journal) -> None:
    log = EventLog(tmp_path / "log")
    journal.append([watched_event("w1")])
    journal.drain_into(log)
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute("delete from drained")
    journal.append([watched_event("w2")])

    journal.drain_into(log)

    assert log.scan("watched").collect()["event_id"].to_list() == ["w1", "w2"]


def test_an_id_the_log_holds_from_elsewhere_keeps_its_first_body(tmp_path: Path, journal: Journal) -> None:
    log = EventLog(tmp_path / "log")
    log.append("watched", frame_of("watched", [watched_event("w1")]), "world")
    journal.append([watched_event("w1", watched_ms=1), watched_event("w2")])

    assert journal.drain_into(log) == 1
    assert log.read("watched")["watched_ms"].to_list() == [5_000, 5_000]


def test_served_features_survive_the_journal_as_float32(tmp_path: Path, journal: Journal) -> None:
    event = {**a_story().events["served"][0], "features": [0.1, None, float("nan")], "features_time_us": 5}
    journal.append([event])
    journal.drain_into(EventLog(tmp_path / "log"))

    found = EventLog(tmp_path / "log").read("served")["features"][0].to_list()

    assert found[0] == pytest.approx(0.1, abs=1e-8)
    assert all(value != value for value in found[1:])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=12))
@settings(max_examples=25, deadline=None)
def test_any_sequence_of_batches_leaves_the_first_body_of_each_id(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, int]]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "j.db")
    first: dict[str, int] = {}
    for number, body in sent:
        name = f"w{number}"
        try:
            journal.append([watched_event(name, watched_ms=body)])
        except ConflictingEvent:
            assert first[name] != body
        assert first.setdefault(name, body) == body or journal.events()

    assert {row.event["event_id"]: row.event["watched_ms"] for row in journal.events()} == first


@pytest.mark.parametrize("stored", ["store([watched_event()])", "note(a_slate([]))"])
def test_what_is_stored_is_there_after_this_process_ends(tmp_path: Path, stored: str) -> None:
    script = (
        "import os, sys; from pathlib import Path; from feature_repo.journal import Journal;"
        "from tests.feature_repo.builders import a_slate, watched_event;"
        f"Journal(Path(sys.argv[1])).{stored}; os.kill(os.getpid(), 9)"
    )

    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "j.db")], check=False)

    assert ended.returncode == -signal.SIGKILL
    assert len(Journal(tmp_path / "j.db").events()) == 1


FAILED = "Invalid argument|could not be synced"


def alone(journal: Path) -> list[str]:
    """The ids in the main file, without what is beside it."""
    copy = journal.with_name("alone.db")
    shutil.copy(journal, copy)
    held = Journal(copy)
    found = [entry.event["event_id"] for entry in held.events()]
    held.close()
    return found


@given(end=st.floats(0, 1), zeros=st.integers(0, 9_000))
@settings(max_examples=40, deadline=None)
def test_whatever_part_of_the_file_of_commits_reached_the_disk_a_beginning_survives(
    tmp_path_factory: pytest.TempPathFactory, end: float, zeros: int
) -> None:
    """The machine stops before a sync: the file is cut anywhere, or filled up with zeros."""
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder / "j.db")
    for n in range(6):
        journal.note(replace(a_slate([]), requested={**a_slate([]).requested, "event_id": f"requested/{n}"}))
        journal.store([watched_event(f"w{n}")])
    written = (folder / "j.db-wal").read_bytes()
    shutil.copy(folder / "j.db", folder / "copy.db")
    (folder / "copy.db-wal").write_bytes(written[: int(end * len(written))] + bytes(zeros))

    whole = [entry.event["event_id"] for entry in journal.events()]
    try:
        found = [entry.event["event_id"] for entry in Journal(folder / "copy.db").events()]
    except sqlite3.DatabaseError:  # not even the tables are there
        found = []

    assert found == whole[: len(found)]
    assert end < 1 or found == whole


def test_what_left_the_file_of_commits_before_a_sync_is_in_the_main_file(tmp_path: Path) -> None:
    journal, other = Journal(tmp_path / "j.db"), Journal(tmp_path / "j.db")
    journal.store([watched_event("w1")])

    assert other.checkpoint()
    other.store([watched_event("w2")])  # written over the place of what was moved
    journal.sync()

    assert alone(tmp_path / "j.db") == ["w1"]


@pytest.fixture
def broken_disk() -> Iterator[int]:
    """A file that cannot be synced."""
    reads, writes = os.pipe()
    yield reads
    os.close(reads)
    os.close(writes)


def test_after_a_sync_that_failed_the_next_one_writes_everything_anew(
    tmp_path: Path, broken_disk: int
) -> None:
    journal = Journal(tmp_path / "j.db")
    sound, journal._commits = journal._commits, broken_disk
    with pytest.raises(OSError, match=FAILED):
        journal.append([watched_event("w1")])
    before = alone(tmp_path / "j.db")
    journal._commits = sound

    again = journal.append([watched_event("w1")])

    assert (before, again) == ([], Acknowledged(0, 1))
    assert alone(tmp_path / "j.db") == ["w1"]


def test_while_somebody_reads_a_journal_that_failed_to_sync_nothing_is_called_durable(
    tmp_path: Path, broken_disk: int
) -> None:
    journal = Journal(tmp_path / "j.db")
    with sqlite3.connect(tmp_path / "j.db", isolation_level=None) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from events").fetchone()
        sound, journal._commits = journal._commits, broken_disk
        for _ in range(2):
            with pytest.raises(OSError, match=FAILED):
                journal.append([watched_event("w1")])
        reader.execute("commit")
    journal._commits = sound

    assert journal.append([watched_event("w1")]) == Acknowledged(0, 1)


def test_a_full_disk_refuses_a_batch_whole_and_takes_the_next_when_there_is_room(journal: Journal) -> None:
    (pages,) = journal._connection.execute("pragma page_count").fetchone()
    journal._connection.execute(f"pragma max_page_count={pages}")
    many = [watched_event(f"w{n}") for n in range(200)]

    with pytest.raises(sqlite3.OperationalError, match="full"):
        journal.append(many)
    assert journal.events() == []
    journal._connection.execute("pragma max_page_count=100000")

    assert journal.append(many) == Acknowledged(200, 0)


def test_a_journal_knows_when_another_one_stored_something(tmp_path: Path) -> None:
    mine, other = Journal(tmp_path / "j.db"), Journal(tmp_path / "j.db")
    mine.moved()

    mine.append([watched_event("w1")])
    own = mine.moved()
    other.append([watched_event("w2")])

    assert (own, mine.moved(), mine.moved()) == (False, True, False)


def test_a_checkpoint_brings_what_was_noted_into_the_main_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    journal.note(a_slate([]))

    assert journal.checkpoint()

    assert alone(tmp_path / "j.db") == ["requested/41"]
