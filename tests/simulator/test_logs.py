"""A log is there whole or not at all, is reused by the same world, and yields to another only when told."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from feature_repo.clock import INSTANT
from feature_repo.log import EventLog
from feature_repo.places import Places, Run
from simulator import logs
from simulator.logs import MARKER, AnotherWorld, marker, written

FOREIGN = "journal-000001"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = Run("simulated", "tiny", 7, Places(tmp_path_factory.mktemp("var") / "simulated-tiny"))
    assert written(found)
    return found


def a_run_beside(run: Run, tmp_path: Path, seed: int = 7) -> Run:
    """The same log in a place of its own, claiming to be the world of this seed."""
    import shutil

    shutil.copytree(run.places.log, tmp_path / "log")
    found = marker(tmp_path / "log")
    (tmp_path / "log" / MARKER).write_text(json.dumps({**(found or {}), "seed": seed}))
    return Run("simulated", "tiny", 7, Places(tmp_path))


def a_servers_event(log: EventLog) -> None:
    moment = pl.Series([log.end_us()]).cast(INSTANT)
    row = {"event_id": ["server-1"], "impression_id": [None], "user_id": [1], "creator_id": [1_000_001]}
    frame = pl.DataFrame(row, schema_overrides={"impression_id": pl.Int64})
    clocks = frame.with_columns(event_time=moment, known_time=moment)
    log.append(
        "followed",
        clocks.select("event_id", "event_time", "known_time", "impression_id", "user_id", "creator_id"),
        FOREIGN,
    )


def test_the_same_world_is_reused(run: Run) -> None:
    before = EventLog(run.places.log).digest()

    assert written(run) is False
    assert EventLog(run.places.log).digest() == before


def test_the_same_seed_writes_the_same_log(run: Run, tmp_path: Path) -> None:
    twin = Run("simulated", "tiny", 7, Places(tmp_path))
    written(twin)

    assert EventLog(twin.places.log).digest() == EventLog(run.places.log).digest()


def test_another_worlds_log_is_refused_and_kept(run: Run, tmp_path: Path) -> None:
    other = a_run_beside(run, tmp_path, seed=8)
    before = EventLog(other.places.log).digest()

    with pytest.raises(AnotherWorld, match=r"make train SCALE=tiny SEED=7 VAR=.*--replace"):
        written(other)

    assert EventLog(other.places.log).digest() == before


def test_replacing_a_world_keeps_what_others_appended(run: Run, tmp_path: Path) -> None:
    other = a_run_beside(run, tmp_path, seed=8)
    a_servers_event(EventLog(other.places.log))

    assert written(other, replace=True)

    assert marker(other.places.log) == marker(run.places.log)
    assert "server-1" in EventLog(other.places.log).read("followed")["event_id"].to_list()


def test_an_interrupted_run_leaves_the_old_log_and_nothing_else(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = a_run_beside(run, tmp_path, seed=8)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(logs, "_live", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(other, replace=True)

    assert (marker(other.places.log) or {})["seed"] == 8
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_what_a_killed_run_left_is_cleared_and_the_log_it_moved_comes_back(run: Run, tmp_path: Path) -> None:
    other = a_run_beside(run, tmp_path)
    other.places.log.rename(tmp_path / ".log.999999999.replaced")
    (tmp_path / ".log.999999999.unfinished").mkdir()

    assert written(other) is False

    assert [path.name for path in tmp_path.iterdir()] == ["log"]
