"""Nothing honest beats the true odds; a model that read the label does, and is reported."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.intervals import Interval
from evaluation.leakage import FEWEST
from feature_repo.places import Run
from labs.leakage_ceiling import HEADS, answered, judged, leaky, main

Floats = NDArray[np.float64]
N = 6_000


def odds(rate: float) -> Floats:
    centre = math.log(rate / (1 - rate))
    return np.asarray(1 / (1 + np.exp(-np.random.default_rng(1).normal(centre, 1.2, N))))


def rows_of(rate: float = 0.2) -> tuple[NDArray[np.int64], Floats, Floats]:
    """(users, labels, true odds) of a world where labels are drawn from the odds."""
    p = odds(rate)
    return np.arange(N) % 200, (np.random.default_rng(2).random(N) < p).astype(np.float64), p


def test_an_honest_model_is_below_the_true_odds_and_the_control_is_above() -> None:
    users, labels, p = rows_of()
    blurred = p * np.random.default_rng(3).uniform(0.5, 1.0, N)

    found = judged(users, labels, blurred, p, np.random.default_rng(0))

    assert found.verdict == "clean"
    assert found.auc.value < found.ceiling.value
    assert found.control.low > 0


def test_the_true_odds_themselves_do_not_leak() -> None:
    users, labels, p = rows_of()

    assert judged(users, labels, p, p, np.random.default_rng(0)).verdict == "clean"


def test_a_model_that_read_the_label_is_above_the_ceiling_and_reported() -> None:
    users, labels, p = rows_of()
    read = 1 / (1 + np.exp(-leaky(p, labels, np.random.default_rng(4))))

    found = judged(users, labels, read, p, np.random.default_rng(0))

    assert found.verdict == "LEAKS"
    assert found.auc.low > found.ceiling.high
    assert found.figures()["verdict"] == "LEAKS"


def test_a_label_too_rare_to_tell_is_not_judged() -> None:
    users, labels, p = rows_of(rate=0.0003)
    labels[0] = 1

    found = judged(users, labels, labels, p, np.random.default_rng(0))

    assert 0 < found.positives < FEWEST
    assert found.verdict == "not judged"


def test_where_the_odds_are_near_certain_no_leak_could_be_seen() -> None:
    users, labels, _ = rows_of()
    certain = np.where(labels > 0, 0.999, 0.001)

    found = judged(users, labels, certain, certain, np.random.default_rng(0))

    assert not found.control.is_above(0.0)
    assert found.verdict == "not judged"


@pytest.mark.slow
def test_the_champion_of_a_trained_world_leaks_nothing_and_the_check_can_tell(trained: Run) -> None:
    found = answered(trained, version=1)

    assert set(found) == set(HEADS)
    assert found["long_watch"].verdict == "clean"
    assert all(each.verdict != "LEAKS" for each in found.values())
    assert isinstance(found["like"].above, Interval)


@pytest.mark.slow
def test_the_report_has_every_head_with_its_ceiling(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("VAR", trained.places.root.parent), ("SCALE", "tiny"), ("SEED", trained.seed)):
        monkeypatch.setenv(name, str(value))

    assert main(["--version", "1"]) == 0

    figures = json.loads((trained.places.reports / "leakage-ceiling.json").read_text())["figures"]
    assert {
        set(figures[head]) == {"auc", "ceiling", "above", "control", "positives", "verdict"} for head in HEADS
    } == {True}


def test_nobody_knows_the_odds_of_real_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGS", "kuairand")

    assert main([]) == 2
