"""Has a training table seen what it is asked to predict? Checks on tables and arrays; no truth is needed.

A finding is a number beside its bound and the rows it rests on; above the bound, the column leaks. What the
checks prove, each for itself:

recomputed   the column is, row by row, what was known strictly before the row was asked about
named        no column carries the name of an outcome
copies       no column is an outcome again, stretched, mirrored or with a few rows flipped
implausible  no column alone orders a label better than columns honestly can
beyond       no moment of one split lies in the next, labels' windows included

An honest column passes all of them; a leak must pass all of them to go unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.per_user import F64, I64

F32 = NDArray[np.float32]
Verdict = Literal["clean", "LEAKS", "not judged"]

FEWEST = 30
"""Rows of each class, or rows in all, below which a column is not judged: one odd person would decide."""

COPY = 0.99
"""Separation or correlation above which a column is an outcome again: a copy with a thousandth of its rows
flipped has a separation of .998, whatever the label's rate.
"""

IMPLAUSIBLE = 0.9
"""AUC no single column reaches by honest means: who knows the true odds of every impression stays below it on
every label (`python -m labs ceilings`).
"""

STANDARD_ERRORS = 4.0
"""How far above its bound an AUC must be: hundreds of pairs are asked, and a person's rows are not
independent.
"""


@dataclass(frozen=True)
class Finding:
    """One column under one check, on n rows (or cells): it leaks where `found` is above `bound`."""

    check: str
    column: str
    found: float
    bound: float
    n: int

    @property
    def verdict(self) -> Verdict:
        """NaN was not judged, which is said and never counted as clean."""
        if not self.n or np.isnan(self.found):
            return "not judged"
        return "LEAKS" if self.found > self.bound else "clean"

    def __str__(self) -> str:
        found = f"{self.shown} on {self.n:,} rows"
        return f"{self.check}: {self.column} has {found}, must be at most {self.bound:g}"

    @property
    def shown(self) -> str:
        """A count in full, anything else to four digits."""
        return f"{self.found:,.0f}" if self.found.is_integer() else f"{self.found:.4g}"

    def as_figure(self) -> dict[str, object]:
        """The shape in which reports keep a finding."""
        return {**asdict(self), "verdict": self.verdict}


def recomputed(
    check: str, columns: Sequence[str], was: F32, again: F32, tolerances: Mapping[str, float]
) -> list[Finding]:
    """Per column the rows on which f32[n, columns] differ; NaN equals NaN, and no row may differ."""
    if was.shape != again.shape or was.shape[1] != len(columns):
        raise ValueError(
            f"matrices are {was.shape} and {again.shape}, must be the same rows of {len(columns)} columns."
        )
    allowed = np.array([tolerances.get(name, 0.0) for name in columns])
    with np.errstate(invalid="ignore"):
        close = (was == again) | (np.abs(was.astype(np.float64) - again) <= allowed)
    differ = (~(close | (np.isnan(was) & np.isnan(again)))).sum(axis=0)
    return [Finding(check, name, float(d), 0.0, len(was)) for name, d in zip(columns, differ, strict=True)]


def named(columns: Sequence[str], outcomes: Iterable[str]) -> list[Finding]:
    """Per column whether it is called as one of n outcomes is, be it in another case."""
    forbidden = {name.lower() for name in outcomes}
    check, n = "named like an outcome", len(forbidden)
    return [Finding(check, column, float(column.lower() in forbidden), 0.0, n) for column in columns]


def copies(columns: Sequence[str], matrix: F32, outcomes: Mapping[str, F64]) -> list[Finding]:
    """Per column how nearly it is the outcome it is nearest to, in [0, 1].

    Of a yes or no, Kolmogorov and Smirnov's distance between the column's values under yes and under no: 1 is
    a cut that tells them apart without error, whatever the rate. Of a quantity, the larger of Pearson's and
    Spearman's |correlation|. `outcomes` f64[n] are NaN where a row has none.
    """
    return [
        _worst("copy of an outcome", name, COPY, _closeness(Ranked.of(matrix[:, place]), outcomes))
        for place, name in enumerate(columns)
    ]


def implausible(check: str, columns: Sequence[str], matrix: F32, labels: Mapping[str, F64]) -> list[Finding]:
    """Per column the AUC, less its margin of error, on the label it orders best.

    Either direction counts, and NaN is a group of its own, below or above the rest. `labels` f64[n] of 0 and
    1, NaN where a row has none.
    """
    return [
        _worst(check, name, IMPLAUSIBLE, _areas(Ranked.of(matrix[:, place]), labels))
        for place, name in enumerate(columns)
    ]


def beyond(check: str, column: str, moments_us: I64, limit_us: int) -> Finding:
    """How many moments lie after a limit (inclusive limit); none may."""
    return Finding(check, column, float((moments_us > limit_us).sum()), 0.0, len(moments_us))


def leaks(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings above their bound, in order."""
    return tuple(finding for finding in findings if finding.verdict == "LEAKS")


def nearest(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """What a person reads: of each check what leaks, or else the finding nearest to its bound."""
    lines: list[Finding] = []
    for check in dict.fromkeys(finding.check for finding in findings):
        mine = [finding for finding in findings if finding.check == check]
        judged = [finding for finding in mine if finding.verdict != "not judged"]
        lines += leaks(mine) or [max(judged or mine, key=lambda f: f.found - f.bound if judged else 0.0)]
    return tuple(lines)


@dataclass(frozen=True)
class Ranked:
    """A column as places of its distinct values, i64[n], NaN last of all: sorted once for every outcome."""

    values: F64
    places: I64
    distinct: int

    @classmethod
    def of(cls, column: F32) -> Ranked:
        distinct, places = np.unique(column, return_inverse=True)
        return cls(column.astype(np.float64), places.astype(np.int64), len(distinct))

    def split(self, labels: F64, rows: NDArray[np.bool_]) -> tuple[F64, F64]:
        """Positives and negatives at each distinct value, f64[distinct] each."""
        places, hit = self.places[rows], labels[rows]
        positives = np.bincount(places, hit, self.distinct).astype(np.float64)
        return positives, np.bincount(places, 1.0 - hit, self.distinct).astype(np.float64)

    @property
    def has_unknown(self) -> bool:
        return bool(np.isnan(self.values).any())


def separation(positives: F64, negatives: F64) -> float:
    """Largest difference of the two cumulative shares over ordered groups; 1 is told apart without error."""
    gap = np.cumsum(positives) / positives.sum() - np.cumsum(negatives) / negatives.sum()
    return float(np.abs(gap).max())


def area_under(positives: F64, negatives: F64) -> float:
    """AUC of ordered groups, ties one half."""
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / (positives.sum() * negatives.sum()))


def standard_error(area: float, positives: float, negatives: float) -> float:
    """Of an AUC: Hanley & McNeil, Radiology 1982, 143:29, for independent rows."""
    both, neither = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (both - area**2) + (negatives - 1) * (neither - area**2)
    return float(np.sqrt(max(variance, 0.0) / (positives * negatives)))


def _closeness(ranked: Ranked, outcomes: Mapping[str, F64]) -> dict[str, tuple[float, int]]:
    """(how nearly, on how many rows) of every outcome that can be judged."""
    found = {}
    for name, outcome in outcomes.items():
        rows = np.isfinite(outcome)
        if np.isin(outcome[rows], (0.0, 1.0)).all():
            groups = _both_ways(ranked, *ranked.split(outcome, rows))
            near = max((separation(*each) for each in groups), default=float("nan"))
        else:
            rows &= np.isfinite(ranked.values)
            near = _correlation(ranked.values[rows], outcome[rows])
        found[name] = (near, int(rows.sum()))
    return {name: each for name, each in found.items() if not np.isnan(each[0])}


def _both_ways(ranked: Ranked, positives: F64, negatives: F64) -> list[tuple[F64, F64]]:
    """The groups in order with NaN last and, if there is any, first; none if a class has too few rows."""
    if min(positives.sum(), negatives.sum()) < FEWEST:
        return []
    first = [(np.roll(positives, 1), np.roll(negatives, 1))] if ranked.has_unknown else []
    return [(positives, negatives), *first]


def _correlation(values: F64, outcome: F64) -> float:
    """The larger of |Pearson| and |Spearman|; NaN of few rows or of a constant."""
    if len(values) < FEWEST or values.min() == values.max() or outcome.min() == outcome.max():
        return float("nan")
    pairs = ((values, outcome), (_mid_ranks(values), _mid_ranks(outcome)))
    return max(abs(float(np.corrcoef(a, b)[0, 1])) for a, b in pairs)


def _mid_ranks(values: F64) -> F64:
    """Ranks in which equal values share their mean rank."""
    _, places, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(sizes) - (sizes - 1) / 2)[places], np.float64)


def _worst(check: str, column: str, bound: float, near: Mapping[str, tuple[float, int]]) -> Finding:
    if not near:
        return Finding(check, column, float("nan"), bound, 0)
    outcome = max(near, key=lambda name: near[name][0])
    return Finding(check, f"{column} ~ {outcome}", near[outcome][0], bound, near[outcome][1])


def _areas(ranked: Ranked, labels: Mapping[str, F64]) -> dict[str, tuple[float, int]]:
    """(lower end of the AUC in its better direction, rows) of every label with enough of both classes."""
    found = {}
    for name, label in labels.items():
        rows = np.isfinite(label)
        positives, negatives = ranked.split(label, rows)
        areas = [area_under(*each) for each in _both_ways(ranked, positives, negatives)]
        if areas:
            best = max(max(area, 1 - area) for area in areas)
            margin = STANDARD_ERRORS * standard_error(best, float(positives.sum()), float(negatives.sum()))
            found[name] = (best - margin, int(rows.sum()))
    return found
