"""Does the benchmark of the feature plane judge its bars, and would it notice a wrong answer?"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_repo.catalogue import USER_STATS, VIDEO_STATS
from feature_repo.facts import Facts, Ints
from feature_repo.packed_rows import rows_of_columns
from feature_repo.packed_tables import PackedTables, open_packed
from feature_repo.places import Run
from labs.bench import bench_features
from labs.bench.bench_features import PARTS, main, show
from labs.bench.feature_bars import Bar, Line, differing, lines
from labs.bench.freshness import (
    NEVER_READ_S,
    STATISTICS,
    WATCHED_FEATURE,
    Load,
    age_ms,
    batches_of,
    quiet_people,
    seen_changed,
)
from labs.bench.freshness import measure as freshness_of
from labs.bench.window_sums import ARMS, WANTED, WINDOWS_US, Size, by_hand, facts_of, measure, ours

SMALL = Size(events=3_000, users=40, videos=60, days=9, rounds=1, compared=400, asked=50)


@pytest.fixture(scope="module")
def window_figures() -> dict[str, Any]:
    return measure(7, SMALL)


def one_wrong(facts: Facts, view: Any) -> Ints:
    """Counts an event among those before it: the leak the window's end must keep out."""
    found = ours(facts, view)
    found[:, 0] += 1
    return found


def hour_of(tables: PackedTables, person: int, impressions: float) -> None:
    columns = {name: [impressions if name == WATCHED_FEATURE else 0.0] for name in USER_STATS.names}
    tables.write(STATISTICS, [[person]], rows_of_columns(STATISTICS, columns, [1]))


def online_figures(p50_ms: float) -> dict[str, Any]:
    latency = {"p50_ms": p50_ms, "p99_ms": 2.5, "requests": 10}
    times = {"value": 100.0 / p50_ms, "low": 1.0, "high": 9.0, "n": 10}
    reads = {
        "ours": latency,
        "feast": {"p50_ms": 100.0, "p99_ms": 120.0, "requests": 10},
        "differing_cells": 0,
    }
    loads = {"packed_per_s": 5e5, "feast_per_s": 1e3, "entities": 10, "packed_loads": 1}
    return {"reads": {**reads, "times_faster_at_p50": times}, "materialize": loads}


def test_every_arm_sums_what_the_law_says(window_figures: dict[str, Any]) -> None:
    for found in window_figures["keys"].values():
        assert list(found["arms"]) == ["ours", "polars", "pandas"]
        assert {arm["differing_cells"] for arm in found["arms"].values()} == {0}
        assert {arm["compared_cells"] for arm in found["arms"].values()} == {400 * len(WANTED)}
        assert found["times_ours"]["ours"] == 1.0


def test_the_stream_says_the_same_of_every_person_asked(window_figures: dict[str, Any]) -> None:
    stream = window_figures["stream"]

    assert (stream["differing_cells"], stream["compared_cells"]) == (0, 50 * len(USER_STATS.names))
    assert stream["n"] == 50
    assert 0 < stream["p50_us"] <= stream["p99_us"]


def test_an_arm_that_counts_the_event_itself_is_caught() -> None:
    figures = {"windows": measure(7, SMALL, {**ARMS, "ours": one_wrong})}

    assert differing(figures) == {"windows user ours": 400, "windows video ours": 400}


def test_a_sum_by_hand_ends_strictly_before_and_holds_its_first_moment() -> None:
    facts = facts_of(np.random.default_rng(3), replace(SMALL, events=2, users=1))
    first, second = np.sort(facts.event_us).tolist()
    later = first + WINDOWS_US[0]
    asked = np.array([first, first + 1, later, later + 1])

    found = by_hand(facts, USER_STATS, WINDOWS_US, WANTED[:1], np.zeros(4, np.int64), asked)

    assert second > later + 1
    assert found[:, 0].tolist() == [0, 1, 1, 0]


def test_facts_lie_unsorted_at_distinct_moments_and_few_videos_have_most() -> None:
    facts = facts_of(np.random.default_rng(3), SMALL)
    watches = np.sort(np.bincount(facts.keys_for(VIDEO_STATS)))[::-1]

    assert len(np.unique(facts.event_us)) == len(facts)
    assert (np.diff(facts.event_us) < 0).any()
    assert watches[0] > 5 * np.median(watches)


def test_a_bar_is_judged_on_the_figure_or_on_the_ratio() -> None:
    assert Line("speed", "3", 2.1e6, bar=Bar(2e6)).met
    assert not Line("age", "3", 1_200.0, bar=Bar(1_000.0, at_most=True)).met
    assert not Line("speed", "3", 9e9, 3e9, 3.0, Bar(5.0), True).met
    assert Line("told", "3", 1.0).met is None


def test_the_table_names_a_missed_bar(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines({"online": online_figures(p50_ms=2.0)})
    show(found)

    missed = [line.what for line in found if line.met is False]
    assert missed == ["1 user + 500 videos, p50 ms"]
    (printed,) = [line for line in capsys.readouterr().out.splitlines() if "MISSED" in line]
    assert "1 user + 500 videos, p50 ms" in printed
    assert "<= 1.5" in printed


def test_who_has_been_here_this_hour_is_not_watched(tmp_path: Path) -> None:
    tables = open_packed(tmp_path / "packed.db", "p")
    hour_of(tables, 3, 2.0)
    hour_of(tables, 5, 0.0)

    assert quiet_people(tables, [3, 5, 8, 9, 11, 12]).tolist() == [5, 8, 9]


def test_each_watched_person_is_in_one_batch_and_no_batch_has_anybody_twice() -> None:
    quiet, rest = np.array([1, 2, 3]), np.arange(100, 140)
    batches = list(batches_of(Load(batches=12), quiet, rest, np.array([7, 8]), now_us=5))

    people = [[event["user_id"] for event in batch.events] for batch in batches]
    assert [batch.person for batch in batches if batch.person is not None] == [1, 2, 3]
    assert all(len(set(who)) == len(who) == 10 for who in people)
    assert sorted(each for who in people for each in who if each < 100) == [1, 2, 3]
    assert len({event["event_id"] for batch in batches for event in batch.events}) == 120


def test_a_change_is_seen_when_it_is_written_and_one_that_never_is_ends(tmp_path: Path) -> None:
    tables = open_packed(tmp_path / "packed.db", "p")
    hour_of(tables, 3, 0.0)
    writer = threading.Thread(target=hour_of, args=(tables, 3, 1.0))
    writer.start()
    seen = seen_changed(tables, 3)
    writer.join()

    assert seen is not None
    assert seen_changed(tables, 4, within_s=0.0) is None


def test_a_change_seen_before_the_answer_is_of_age_zero_and_one_never_seen_is_not_left_out() -> None:
    assert age_ms(answered_s=5.0, seen_s=4.0) == 0.0
    assert age_ms(answered_s=5.0, seen_s=5.25) == 250.0
    assert age_ms(answered_s=5.0, seen_s=None) == NEVER_READ_S * 1000


def environment_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"VAR": str(run.places.root.parent), "SCALE": run.scale, "SEED": str(run.seed), "LOGS": run.logs}
    for name, value in asked.items():
        monkeypatch.setenv(name, value)


def standing_in(figures: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that answers these figures at once."""
    parts = {**PARTS, "online": ("figures given", lambda _: dict(figures))}
    monkeypatch.setattr(bench_features, "PARTS", parts)


@pytest.mark.parametrize(("cells", "code"), [(0, 0), (3, 1)])
def test_a_missed_bar_is_a_measurement_and_a_wrong_answer_a_failure(
    cells: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = online_figures(p50_ms=2.0)
    figures["reads"]["differing_cells"] = cells
    monkeypatch.setenv("VAR", str(tmp_path))
    standing_in(figures, monkeypatch)

    assert main(["--parts", "online"]) == code

    printed = capsys.readouterr()
    report = json.loads(next(tmp_path.rglob("bench-features.json")).read_text())["figures"]
    assert [line["met"] for line in report["lines"]] == [False, True, True, True]
    assert "load_average" in report
    assert "1 of 1: online" in printed.out
    assert ("3 cells differ" in printed.err) == bool(cells)


def test_without_a_champion_the_command_to_run_is_named_before_anything_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAR", str(tmp_path))

    assert main([]) == 1
    assert "make train" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--parts", "joins"], ["--sizes", "0"], ["--sizes", "many"]])
def test_what_cannot_be_measured_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(argv)

    assert "bench-features: error" in capsys.readouterr().err


@pytest.mark.slow
def test_over_http_every_watched_change_is_seen(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    environment_of(trained, monkeypatch)

    figures = freshness_of(trained, Load(batches=20))

    assert (figures["events"], figures["answer"]["n"], figures["sent_late"]["n"]) == (200, 20, 20)
    assert (figures["age"]["n"], figures["never_seen"]) == (20, 0)
    assert lines({"freshness": figures})[0].n == "20 people"
