"""Gates: what they ask, when they hold, and that nobody can forget one."""

from __future__ import annotations

import pytest

from evaluation.gates import (
    BEATS_BASELINES,
    GATES,
    NO_COLLAPSE,
    NOT_WORSE_THAN_CHAMPION,
    calibrated,
    refused_by,
    verdicts,
)
from evaluation.intervals import Interval

GOOD = Interval(0.01, 0.005, 0.015, 100)
NAN = float("nan")


def everything_holds() -> dict[str, Interval | None]:
    return {gate.name: Interval(0.001, 0.0005, 0.002, 100) for gate in GATES}


def test_a_release_that_only_seems_better_is_not_better() -> None:
    assert BEATS_BASELINES.verdict(GOOD).holds
    assert not BEATS_BASELINES.verdict(Interval(0.01, -0.001, 0.02, 100)).holds


def test_a_newcomer_may_be_equal_to_the_champion_but_not_worse() -> None:
    assert NOT_WORSE_THAN_CHAMPION.verdict(Interval(0.0, -0.004, 0.004, 100)).holds
    assert not NOT_WORSE_THAN_CHAMPION.verdict(Interval(0.0, -0.006, 0.006, 100)).holds


def test_the_first_release_has_no_champion_to_beat() -> None:
    assert NOT_WORSE_THAN_CHAMPION.verdict(None).holds


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_no_gate_holds_of_what_could_not_be_measured(gate: object) -> None:
    assert not gate.verdict(Interval(NAN, NAN, NAN, 0)).holds  # type: ignore[attr-defined]


def test_everybody_seeing_the_same_slate_is_a_collapse() -> None:
    assert not NO_COLLAPSE.verdict(Interval(1.0, 1.0, 1.0, 100)).holds


def test_a_miscalibrated_head_is_named() -> None:
    found = everything_holds() | {calibrated("like").name: Interval(0.2, 0.19, 0.21, 100)}

    refused = refused_by(verdicts(found))

    assert [verdict.gate.name for verdict in refused] == ["calibrated:like"]
    assert "FAILS" in str(refused[0])


def test_a_gate_nobody_measured_is_an_error_not_a_pass() -> None:
    found = everything_holds()
    del found["no_collapse"]

    with pytest.raises(KeyError, match="no_collapse"):
        verdicts(found)


def test_every_gate_says_metric_rows_and_reason() -> None:
    assert all(gate.metric and gate.rows and gate.why for gate in GATES)
    assert len({gate.name for gate in GATES}) == len(GATES)
