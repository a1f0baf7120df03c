"""What must be summed: a metric over users is a ratio of two sums, and these are its terms, one pair per
user.

A metric is computed once from rows and kept as `PerUser`; every question about it afterwards (its value, its
interval, its difference to another scorer's) needs only these few thousand pairs. A user is the unit that is
resampled, because the rows of one person are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Labels = NDArray[np.generic]
Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class PerUser:
    """numerators f64[u] and denominators f64[u] of the users i64[u], ascending; value = sum / sum."""

    users: I64
    numerators: F64
    denominators: F64

    def __post_init__(self) -> None:
        sizes = {len(self.users), len(self.numerators), len(self.denominators)}
        if len(sizes) != 1:
            raise ValueError(f"users, numerators, denominators have lengths {sorted(sizes)}, must be equal.")

    def __len__(self) -> int:
        return len(self.users)

    @property
    def value(self) -> float:
        """The metric over all users; NaN when no user counts."""
        return ratio(float(self.numerators.sum()), float(self.denominators.sum()))

    @property
    def values(self) -> F64:
        """The metric of each user alone, f64[u]; NaN where the user does not count."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.denominators > 0, self.numerators / self.denominators, np.nan)

    @property
    def counted(self) -> int:
        """How many users have a say."""
        return int((self.denominators > 0).sum())


def ratio(numerator: float, denominator: float) -> float:
    """numerator / denominator, NaN for an empty denominator."""
    return numerator / denominator if denominator else float("nan")


def mean_per_user(users: I64, values: F64, weights: F64 | None = None) -> PerUser:
    """The (weighted) mean over rows, resampled by user: sums of values and of rows of each user.

    `users` i64[n] any order, `values` f64[n], `weights` f64[n] or one each.
    """
    same_length(users=users, values=values)
    ids, row_user = np.unique(users, return_inverse=True)
    weight = np.ones(len(users)) if weights is None else np.asarray(weights, np.float64)
    sums, rows = np.bincount(row_user, weight * values, len(ids)), np.bincount(row_user, weight, len(ids))
    return PerUser(ids.astype(np.int64), sums.astype(np.float64), rows.astype(np.float64))


def same_length(**arrays: NDArray[np.generic]) -> None:
    """Refuse columns that cannot belong to one table."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns have lengths {lengths}, must be one row each.")
