"""A log is there whole or not at all, is reused by the same world, and yields to another only when told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from feature_repo.clock import INSTANT
from feature_repo.log import EventLog
from feature_repo.places import Places, Run
from simulator import logs, sealed, shadow
from simulator.logs import AnotherWorld, Asked, marker, world_of, written
from simulator.scenarios import BadScenario
from simulator.shadow import MARKER

FOREIGN = "journal-000001"
SCENARIO = """name = "quiet"
[[dial]]
kind = "unit_change"
from = "day 3 06:00"
device = 1
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = a_run(tmp_path_factory.mktemp("var"))
    assert written(found)
    return found


def a_run(var: Path) -> Run:
    return Run("simulated", "tiny", 7, Places(var / "simulated-tiny"))


def a_run_beside(run: Run, var: Path, seed: int = 7) -> Run:
    """The same log and shadow in a place of their own, claiming to be the world of this seed."""
    found = a_run(var)
    shutil.copytree(run.places.root, found.places.root)
    text = json.dumps({**(marker(found.places.log) or {}), "seed": seed})
    for folder in (found.places.log, found.places.shadow):
        (folder / MARKER).write_text(text)
    return found


def content(places: Places) -> dict[str, bytes]:
    """Every file of a log and its shadow but the log's own index."""
    paths = [path for folder in (places.log, places.shadow) for path in folder.rglob("*.parquet")]
    return {str(path.relative_to(places.root)): path.read_bytes() for path in paths}


def names(run: Run) -> set[str]:
    return {path.name for path in run.places.root.iterdir()}


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

    assert written(run) is None
    assert EventLog(run.places.log).digest() == before


def test_the_same_seed_writes_the_same_bytes_for_any_number_of_workers(run: Run, tmp_path: Path) -> None:
    twin = a_run(tmp_path)
    written(twin, Asked(workers=2))

    assert content(twin.places) == content(run.places)


def test_one_thread_of_polars_writes_the_same_bytes_as_many(run: Run, tmp_path: Path) -> None:
    settings = {"SCALE": "tiny", "SEED": "7", "VAR": str(tmp_path), "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-m", "simulator", "logs", "--workers", "1"]
    subprocess.run(command, env={**os.environ, **settings}, check=True, capture_output=True)

    assert content(a_run(tmp_path).places) == content(run.places)


def test_another_worlds_log_is_refused_and_kept(run: Run, tmp_path: Path) -> None:
    other = a_run_beside(run, tmp_path, seed=8)
    before = EventLog(other.places.log).digest()

    with pytest.raises(AnotherWorld, match=r"make train SCALE=tiny SEED=7 VAR=.*--replace"):
        written(other)

    assert EventLog(other.places.log).digest() == before


def test_a_log_without_its_shadow_is_not_reused(run: Run, tmp_path: Path) -> None:
    other = a_run_beside(run, tmp_path)
    shutil.rmtree(other.places.shadow)

    with pytest.raises(AnotherWorld, match="its shadow is gone"):
        written(other)


def test_replacing_a_world_keeps_what_others_appended(run: Run, tmp_path: Path) -> None:
    other = a_run_beside(run, tmp_path, seed=8)
    a_servers_event(EventLog(other.places.log))

    assert written(other, Asked(replace=True))

    assert marker(other.places.log) == marker(run.places.log)
    assert "server-1" in EventLog(other.places.log).read("followed")["event_id"].to_list()
    assert names(other) == {"log", "shadow"}


def test_an_interrupted_run_leaves_the_old_world_and_nothing_else(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = a_run_beside(run, tmp_path, seed=8)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(logs, "live", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(other, Asked(replace=True))

    assert (marker(other.places.log) or {})["seed"] == 8
    assert shadow.is_of(other.places)
    assert names(other) == {"log", "shadow"}


@pytest.mark.parametrize(("moved", "arrived"), [(1, 0), (2, 0), (2, 1)])
def test_what_a_killed_run_moved_aside_comes_back(run: Run, tmp_path: Path, moved: int, arrived: int) -> None:
    other = a_run_beside(run, tmp_path)
    fresh, aside = (other.places.root / f".world.999999999.{state}" for state in ("unfinished", "replaced"))
    aside.mkdir()
    (fresh / "log").mkdir(parents=True)
    for name in ("shadow", "log")[:moved]:
        (other.places.root / name).rename(aside / name)
    for name in ("shadow", "log")[:arrived]:
        (other.places.root / name).mkdir()

    assert written(other) is None

    assert content(other.places) == content(run.places)
    assert names(other) == {"log", "shadow"}


def test_a_swap_that_was_over_when_its_run_was_killed_stays(run: Run, tmp_path: Path) -> None:
    other = a_run_beside(run, tmp_path)
    (other.places.root / ".world.999999999.unfinished").mkdir()
    (other.places.root / ".world.999999999.replaced" / "log").mkdir(parents=True)

    assert written(other) is None

    assert content(other.places) == content(run.places)
    assert names(other) == {"log", "shadow"}


def test_a_bad_scenario_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadScenario, match="no scenario 'sunshine'"):
        written(a_run(tmp_path), Asked(scenarios=("sunshine",)))

    assert not list(tmp_path.iterdir())


def test_the_world_of_a_log_is_the_one_that_was_lived(tmp_path: Path) -> None:
    (tmp_path / "quiet.toml").write_text(SCENARIO)
    other = a_run(tmp_path)
    written(other, Asked(scenarios=(str(tmp_path / "quiet.toml"),), hidden=True, faultless=True))

    found = world_of(other)

    assert [dial.kind for dial in found.scenario.dials] == ["unit_change"]
    assert sealed.digest(found.coefficients) == (marker(other.places.log) or {})["hidden"]
    assert EventLog(other.places.log).audit("watched").repeated == 0
    assert written(other) is None  # what is not asked for may be as it is found


def test_no_coefficient_and_no_dial_can_be_read_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "quiet.toml").write_text(SCENARIO)
    other = a_run(tmp_path)
    written(other, Asked(scenarios=(str(tmp_path / "quiet.toml"),), hidden=True))

    told = (other.places.log / MARKER).read_text()

    assert "unit_change" not in told
    assert set(json.loads(told)) == {"scale", "seed", "world", "scenario", "dials", "hidden", "faults"}


def test_the_world_of_no_log_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make train"):
        world_of(a_run(tmp_path))
