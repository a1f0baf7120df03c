"""What every column promises, counted: its range, and how much of it may be unknown.

Law: a value below `low` or above `high` of its catalogue feature is a violation, and so is an infinity,
whatever the range; NaN or null is unknown, which a feature may be on at most `most_unknown` of the rows.
Counting changes no value and leaves no row out: whoever asks decides what a breach costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import Feature, feature_named
from feature_repo.compiling import compiled
from feature_repo.matrix import COLUMNS

Counts = NDArray[np.int64]
Ends = NDArray[np.float32]

CONTRACT = tuple(feature_named(name) for name in COLUMNS)
"""The features of a matrix, in order of its columns."""

LARGEST = np.finfo(np.float32).max

_LOW, _HIGH = (
    np.clip(np.array([getattr(f, end) for f in CONTRACT], np.float32), -LARGEST, LARGEST)
    for end in ("low", "high")
)


@dataclass(frozen=True)
class Breach:
    """One promise a column broke: values out of range (any is too many), or too large a share unknown."""

    feature: Feature
    promise: str
    found: float
    most: float

    def __str__(self) -> str:
        name, owner = self.feature.name, self.feature.owner
        return f"{name}: {self.promise} {self.found:g}, must be at most {self.most:g}; ask {owner}"


@dataclass(frozen=True)
class Violations:
    """Per feature, over `rows` rows: values below its range, above it, and unknown, i64[features] each."""

    features: tuple[Feature, ...]
    rows: int
    below: Counts
    above: Counts
    unknown: Counts

    def __add__(self, other: Violations) -> Violations:
        """The counts of both batches of rows, so that many requests add up to one rate."""
        if self.features != other.features:
            raise ValueError("violations of different features do not add up; count the same columns twice.")
        sums = (self.below + other.below, self.above + other.above, self.unknown + other.unknown)
        return Violations(self.features, self.rows + other.rows, *sums)

    @property
    def outside(self) -> Counts:
        """Values out of range, whichever side."""
        return self.below + self.above

    @property
    def unknown_shares(self) -> NDArray[np.float64]:
        """Of each feature, the share of rows on which it is unknown; 0 of no rows."""
        return self.unknown / max(1, self.rows)

    def breaches(self) -> tuple[Breach, ...]:
        """Every broken promise, in order of the features. A share says little of few rows: add batches up."""
        found = []
        for feature, outside, share in zip(self.features, self.outside, self.unknown_shares, strict=True):
            if outside:
                found.append(Breach(feature, "values out of range", float(outside), 0.0))
            if share > feature.most_unknown:
                found.append(Breach(feature, "share unknown", float(share), feature.most_unknown))
        return tuple(found)

    def as_figure(self) -> dict[str, Any]:
        """The shape in which reports keep the counts: only columns that have any."""
        counted = (each.tolist() for each in (self.below, self.above, self.unknown))
        told = zip(self.features, *counted, strict=True)
        counts = {f.name: {"below": b, "above": a, "unknown": u} for f, b, a, u in told if b or a or u}
        return {"rows": self.rows, "columns": counts, "breaches": [str(each) for each in self.breaches()]}


def violations(matrix: NDArray[np.float32]) -> Violations:
    """Counts of f32[n, COLUMNS]; fast enough to be asked of every request."""
    if matrix.ndim != 2 or matrix.shape[1] != len(COLUMNS):
        raise ValueError(f"the matrix is {matrix.shape}, must be [n, {len(COLUMNS)}] in order of COLUMNS.")
    counts = np.zeros((3, len(COLUMNS)), np.int64)
    _count(np.ascontiguousarray(matrix, np.float32), _LOW, _HIGH, counts)
    return Violations(CONTRACT, len(matrix), *counts)


@compiled
def _count(matrix: NDArray[np.float32], low: Ends, high: Ends, counts: Counts) -> None:
    """Below, above and unknown, in one pass; NaN is neither below nor above."""
    for row in range(len(matrix)):
        for column in range(len(low)):
            value = matrix[row, column]
            counts[0, column] += value < low[column]
            counts[1, column] += value > high[column]
            counts[2, column] += value != value


def table_violations(table: pl.DataFrame, features: Sequence[Feature] = CONTRACT) -> Violations:
    """The same counts of a table's columns: step tables (a view's features), training sets (the matrix)."""
    missing = [feature.name for feature in features if feature.name not in table.columns]
    if missing:
        raise KeyError(f"no column {', '.join(missing)}; the contract needs {len(features)} columns.")
    asked = [count for feature in features for count in _counts_of(feature, table.schema[feature.name])]
    found = table.select(asked).to_numpy().reshape(len(features), 3).astype(np.int64)
    return Violations(tuple(features), len(table), found[:, 0], found[:, 1], found[:, 2])


def _counts_of(feature: Feature, dtype: pl.DataType) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """(below, above, unknown) of one column. Polars orders NaN above every number, so NaN becomes null."""
    column = pl.col(feature.name)
    known = column.fill_nan(None) if dtype.is_float() else column
    infinite = known.is_infinite() if dtype.is_float() else pl.lit(False)
    wrong = (
        (known < feature.low) | (infinite & (known < 0)),
        (known > feature.high) | (infinite & (known > 0)),
        known.is_null(),
    )
    ends = ("below", "above", "unknown")
    counted = (each.sum().alias(f"{feature.name} {end}") for each, end in zip(wrong, ends, strict=True))
    below, above, unknown = counted
    return below, above, unknown
