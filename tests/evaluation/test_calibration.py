"""Calibration measures agree with scikit-learn and with a loop over bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as their_log_loss

from evaluation import calibration
from evaluation.per_user import F64, I64


def honest_rows(n: int = 20_000, seed: int = 1) -> tuple[I64, F64, F64]:
    """Users, labels and the very probabilities the labels were drawn from."""
    rng = np.random.default_rng(seed)
    said = rng.beta(2, 5, n)
    return rng.integers(0, 300, n), (rng.random(n) < said).astype(np.float64), said


def logit(p: F64) -> F64:
    return np.log(p / (1 - p))


def error_by_hand(labels: F64, said: F64, bins: int) -> float:
    """Rows in order of probability, cut into equal parts; for probabilities without ties."""
    parts = np.array_split(np.argsort(said), bins)
    return float(sum(abs(said[part].mean() - labels[part].mean()) * len(part) for part in parts)) / len(said)


def test_reliability_agrees_with_scikit_learns_quantile_curve() -> None:
    _, labels, said = honest_rows(5000)

    found = calibration.reliability(labels, said, bins=10)

    happened, mean_said = calibration_curve(labels, said, n_bins=10, strategy="quantile")
    assert found.happened == pytest.approx(happened, abs=2e-3)
    assert found.said == pytest.approx(mean_said, abs=2e-3)


def test_calibration_error_is_the_gap_averaged_over_equal_bins() -> None:
    _, labels, said = honest_rows(3000)

    assert calibration.calibration_error(labels, said, 10) == pytest.approx(error_by_hand(labels, said, 10))


def test_honest_probabilities_have_almost_no_calibration_error() -> None:
    _, labels, said = honest_rows()

    assert calibration.calibration_error(labels, said) < 0.015
    assert calibration.calibration_error(labels, said * 0.5) > 0.1


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.2, 0.5, 1.0])), min_size=1, max_size=40))
def test_calibration_error_does_not_depend_on_the_order_of_rows(table: list[tuple[int, float]]) -> None:
    labels, said = np.array(table, np.float64).T

    found = calibration.calibration_error(labels[::-1], said[::-1], 5)

    assert found == pytest.approx(calibration.calibration_error(labels, said, 5))


def test_the_interval_of_the_calibration_error_holds_its_value_and_counts_users() -> None:
    users, labels, said = honest_rows(6000)

    found = calibration.calibration_error_interval(users, labels, said * 0.8, np.random.default_rng(0))

    assert found.value == pytest.approx(calibration.calibration_error(labels, said * 0.8))
    assert found.low < found.value < found.high
    assert found.n == 300


def test_log_loss_and_brier_agree_with_scikit_learn() -> None:
    _, labels, said = honest_rows(2000)

    assert calibration.log_loss(labels, said) == pytest.approx(their_log_loss(labels, said))
    assert calibration.brier(labels, said) == pytest.approx(brier_score_loss(labels, said))


def test_a_sure_and_wrong_probability_costs_a_finite_log_loss() -> None:
    assert calibration.log_loss(np.array([1.0]), np.array([0.0])) == pytest.approx(
        -np.log(calibration.SMALLEST)
    )


def test_recalibration_agrees_with_an_unpenalised_logistic_regression() -> None:
    users, labels, said = honest_rows(4000)
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(said)[:, None], labels)

    found = calibration.recalibration(users, labels, said)

    assert found.slope.value == pytest.approx(theirs.coef_[0, 0], abs=1e-4)
    assert found.intercept.value == pytest.approx(theirs.intercept_[0], abs=1e-4)


def test_honest_probabilities_have_slope_one_and_intercept_zero_within_their_intervals() -> None:
    found = calibration.recalibration(*honest_rows())

    assert found.slope.low < 1 < found.slope.high
    assert found.intercept.low < 0 < found.intercept.high


def test_probabilities_twice_too_confident_have_slope_one_half() -> None:
    users, labels, said = honest_rows()
    shouted = 1 / (1 + np.exp(-2 * logit(said)))

    assert calibration.recalibration(users, labels, shouted).slope.value == pytest.approx(0.5, abs=0.03)


def test_rows_repeated_within_users_do_not_narrow_the_interval() -> None:
    users, labels, said = honest_rows(2000)
    once = calibration.recalibration(users, labels, said).slope

    twice = calibration.recalibration(np.tile(users, 2), np.tile(labels, 2), np.tile(said, 2)).slope

    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=1e-6)


def test_constant_probabilities_have_no_slope() -> None:
    found = calibration.recalibration(np.arange(4), np.array([0, 1, 0, 1]), np.full(4, 0.5))

    assert np.isnan(found.slope.value)


@pytest.mark.parametrize("said", [-0.1, 1.1, np.nan])
def test_a_probability_outside_zero_and_one_is_refused(said: float) -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        calibration.log_loss(np.array([1.0]), np.array([said]))
