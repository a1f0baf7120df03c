"""Does the fault drill see what it should? Judged by hand-made sights, and run once for real."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest

from feature_repo.places import Run
from labs import drill_faults
from labs.__main__ import main
from labs.drill_faults import Fault, Outcome, Seen


def an_outcome(fault: Fault, recovered_s: float | None = 0.1, **seen: Counter[object]) -> Outcome:
    whole = {"feeds": Counter({200: 100}), "events": Counter({200: 100}), **seen}
    return Outcome(fault, Seen(**whole), recovered_s)  # type: ignore[arg-type]


def a_fault(says: str = "source:two_tower", events: frozenset[int] = drill_faults.STORED) -> Fault:
    return Fault("gone", lambda _: nullcontext(), says, events)


def test_a_fault_that_is_said_and_survived_holds() -> None:
    assert an_outcome(a_fault(), said=Counter({"source:two_tower": 99})).wrong == []


def test_one_feed_answered_5xx_is_a_failure() -> None:
    seen = {"feeds": Counter({200: 100, 500: 1}), "said": Counter({"source:two_tower": 100})}

    assert an_outcome(a_fault(), **seen).wrong == ["1 feeds were answered 5xx"]  # type: ignore[arg-type]


def test_a_loss_that_is_not_said_is_a_failure() -> None:
    assert an_outcome(a_fault(), said=Counter({"source:two_tower": 90})).wrong == [
        "slates did not say 'source:two_tower'"
    ]


def test_a_slate_that_should_be_whole_and_is_not_is_a_failure() -> None:
    assert an_outcome(a_fault(says=""), said=Counter({"source:fresh": 1})).wrong == [
        "slates said ['source:fresh']"
    ]


def test_an_event_stored_on_a_full_disk_is_a_failure() -> None:
    fault = a_fault("journal:served", drill_faults.REFUSED)

    assert an_outcome(fault, said=Counter({"journal:served": 100})).wrong == ["events were answered [200]"]


def test_a_fault_that_outlives_itself_is_a_failure() -> None:
    outcome = an_outcome(a_fault(), recovered_s=None, said=Counter({"source:two_tower": 100}))

    assert outcome.wrong == ["it did not recover"]


def test_nobody_served_is_a_failure() -> None:
    assert "nobody was served" in an_outcome(a_fault(says=""), feeds=Counter({429: 5})).wrong


def test_one_fault_that_was_not_survived_misses_the_bar_of_all() -> None:
    said: Counter[object] = Counter({"source:two_tower": 100})
    good = an_outcome(a_fault(), said=said)
    bad = an_outcome(a_fault(), said=said, feeds=Counter({200: 100, 503: 1}))

    assert [each.met for each in drill_faults.verdicts([good])] == [True, True, True]
    assert not drill_faults.verdicts([good, bad])[0].met


@pytest.mark.slow
def test_the_server_survives_every_fault(
    trained: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (
        ("VAR", str(trained.places.root.parent)),
        ("SCALE", "tiny"),
        ("SEED", str(trained.seed)),
    ):
        monkeypatch.setenv(name, value)

    assert main(["drill-faults", "--seconds", "2"]) == 0, capsys.readouterr().out

    figures = json.loads(Path(trained.places.reports / "drill-faults.json").read_text())["figures"]
    assert set(figures["faults"]) == {fault.name for fault in drill_faults.FAULTS}
    assert all(verdict["met"] for verdict in figures["verdicts"])
