"""What is inferred: every figure with its 95 % interval, by resampling users.

Percentile bootstrap over users (Efron & Tibshirani 1993, ch. 13); differences are paired, the same resampled
users on both sides. The generator of chance is an argument, so the same seed prints the same interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evaluation.per_user import F64, PerUser

LEVEL = 0.95
RESAMPLES = 1000
Z = 1.959963984540054
"""The 97.5 % point of the standard normal."""


@dataclass(frozen=True)
class Interval:
    """An estimate with the two ends of its 95 % interval and the number of independent units behind it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def as_figure(self) -> dict[str, float | int]:
        """The shape in which reports keep an estimate."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}

    def is_above(self, bound: float) -> bool:
        """The whole interval lies above the bound; never true of NaN."""
        return self.low > bound


Statistic = Callable[[F64], F64]
"""Column sums f64[r, c] of r resamples to the statistic of each, f64[r]."""


def bootstrap(terms: PerUser, rng: np.random.Generator, resamples: int = RESAMPLES) -> Interval:
    """The metric and its interval; n is the number of users who count."""
    columns = np.column_stack([terms.numerators, terms.denominators])
    return bootstrap_of(columns, _ratio_of_sums, rng, resamples, n=terms.counted)


def difference(
    ours: PerUser, theirs: PerUser, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Interval:
    """ours less theirs on the same users, paired: above zero means ours is better."""
    if not np.array_equal(ours.users, theirs.users):
        raise ValueError(
            f"{len(ours)} and {len(theirs)} users, not the same ones; pair scores of the same rows."
        )
    columns = np.column_stack([ours.numerators, ours.denominators, theirs.numerators, theirs.denominators])
    counted = int(((ours.denominators > 0) | (theirs.denominators > 0)).sum())
    return bootstrap_of(columns, _difference_of_ratios, rng, resamples, n=counted)


def bootstrap_of(
    columns: F64,
    statistic: Statistic,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    n: int | None = None,
) -> Interval:
    """Any statistic of column sums over units; `columns` f64[units, c]. Units are drawn with replacement."""
    units = len(columns)
    value = float(statistic(columns.sum(axis=0, keepdims=True))[0]) if units else float("nan")
    if units < 2:
        return Interval(value, float("nan"), float("nan"), units if n is None else n)
    low, high = percentiles(statistic(resampled_sums(columns, rng, resamples)))
    return Interval(value, low, high, units if n is None else n)


def resampled_sums(columns: F64, rng: np.random.Generator, resamples: int = RESAMPLES) -> F64:
    """Column sums of each resample, f64[resamples, c]: how often each unit was drawn, times its row."""
    units, sums = len(columns), np.empty((resamples, columns.shape[1]))
    for resample in range(resamples):
        times = np.bincount(rng.integers(0, units, units), minlength=units)
        sums[resample] = times @ columns
    return sums


def percentiles(values: F64) -> tuple[float, float]:
    """The central 95 % of the values that are numbers; NaN, NaN if none is."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _ratio_of_sums(sums: F64) -> F64:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[:, 0] / sums[:, 1], np.float64)


def _difference_of_ratios(sums: F64) -> F64:
    return np.asarray(_ratio_of_sums(sums[:, :2]) - _ratio_of_sums(sums[:, 2:]), np.float64)


def wilson(successes: int, trials: int) -> Interval:
    """A share of independent trials with Wilson's score interval (JASA 1927, 22:209), honest near 0, 1."""
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials, must be between 0 and the trials.")
    if trials == 0:
        return Interval(float("nan"), 0.0, 1.0, 0)
    share, spread = successes / trials, Z * Z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = Z * np.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), trials)


def normal(value: float, standard_error: float, n: int) -> Interval:
    """value +- 1.96 standard errors."""
    return Interval(value, value - Z * standard_error, value + Z * standard_error, n)


def mean_of(values: F64, rng: np.random.Generator, resamples: int = RESAMPLES) -> Interval:
    """The mean of one value per independent unit, f64[units]; NaNs have no say."""
    known = values[np.isfinite(values)]
    terms = PerUser(np.arange(len(known)), known.astype(np.float64), np.ones(len(known)))
    return bootstrap(terms, rng, resamples)
