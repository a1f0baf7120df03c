"""Calibration: probabilities that come true, in the order the head gave them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.calibration import calibration_error
from evaluation.ranking import auc
from pipelines.calibrate import blocks, calibrator
from serving.calibrators import IDENTITY


def overconfident(n: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that say 3 times the true log-odds, and what happened."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 1, n)
    return 1 / (1 + np.exp(-3 * logits)), (rng.random(n) < 1 / (1 + np.exp(-logits))).astype(np.float64)


def test_what_is_said_comes_true_after_calibration() -> None:
    scores, labels = overconfident()
    fresh, happened = overconfident(seed=1)

    calibrated = calibrator(scores, labels)(fresh)

    assert calibration_error(happened, fresh) > 0.1
    assert calibration_error(happened, calibrated) < 0.015


def test_calibration_does_not_change_the_auc() -> None:
    scores, labels = overconfident()

    assert abs(auc(labels, calibrator(scores, labels)(scores)) - auc(labels, scores)) < 1e-4


def test_few_positives_leave_the_head_as_it_was() -> None:
    assert calibrator(np.linspace(0, 1, 100), np.zeros(100)) == IDENTITY


def test_a_head_that_says_one_thing_is_left_alone() -> None:
    assert calibrator(np.full(100, 0.3), np.ones(100)) == IDENTITY


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), min_size=2, max_size=12))
@settings(max_examples=50)
def test_blocks_rise_and_keep_the_mean(told: list[tuple[int, int]]) -> None:
    mean, rows = (np.array(column, np.float64) for column in zip(*told, strict=True))
    raw = np.arange(len(told), dtype=np.float64)

    centres, levels = blocks(raw, mean, rows)

    assert (np.diff(centres) > 0).all()
    assert (np.diff(levels) > 0).all()
    assert levels.min() >= mean.min()
