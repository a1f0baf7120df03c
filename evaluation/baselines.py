"""What a model must beat: five scores a person could write in a minute, and a logistic regression.

Each simple baseline is a function of the named columns of the very matrix the model sees, so it is scored on
the same rows with the same features; an unknown (NaN) is replaced by the mean of the known, never ranked
first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.per_user import F64, I64, Labels, same_length

Matrix = NDArray[np.floating[Any]]
"""[n, columns], float32 as feature_repo.matrix assembles it."""

SIMPLE: Mapping[str, tuple[str, float]] = {
    "popularity": ("video_long_watch_rate_7d", 1.0),  # smoothed share of long watches
    "popularity_3d": ("video_long_watches_3d", 1.0),  # how many long watches: what is big now
    "shortest_first": ("video_duration_s", -1.0),  # what is short is finished most, the bias of watch labels
    "user_topic_rate": ("user_topic_long_watch_rate_14d", 1.0),  # this user's long watches in this topic
}
"""Name: (column of the matrix, sign)."""

PRIOR_IMPRESSIONS = 20.0
"""A rate counts as if this many impressions at the mean had been seen before."""


def baseline_scores(matrix: Matrix, columns: Sequence[str], impression_ids: I64, seed: int) -> dict[str, F64]:
    """Scores of the five simple baselines by name, f64[n] each; higher is shown first."""
    scores = {"random": random_scores(impression_ids, seed)}
    for name, (column, sign) in SIMPLE.items():
        scores[name] = sign * known(column_of(matrix, columns, column))
    return scores


def random_scores(impression_ids: I64, seed: int) -> F64:
    """Uniform in [0, 1) from (impression id, seed) alone: the same impression scores the same in any table.

    The finalizer of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
    """
    mixed = (np.asarray(impression_ids).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.array([seed], np.int64).astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) / np.float64(2**64)


def column_of(matrix: Matrix, columns: Sequence[str], name: str) -> F64:
    """One named column as f64[n]."""
    if name not in columns:
        raise KeyError(f"no column {name!r} in the matrix. Columns: {', '.join(columns)}.")
    return np.asarray(matrix[:, list(columns).index(name)], np.float64)


def known(column: F64) -> F64:
    """The column with its NaNs replaced by the mean of the rest, 0 if there is no rest."""
    missing = np.isnan(column)
    return np.where(missing, column[~missing].mean() if not missing.all() else 0.0, column)


@dataclass(frozen=True)
class Logistic:
    """Logistic regression: P = sigmoid(intercept + weights . (x - means) / scales)."""

    columns: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def score(self, matrix: Matrix) -> F64:
        """Probabilities f64[n] of rows [n, columns] in this object's column order; NaN counts as the mean."""
        rows = standardised(matrix, np.array(self.means), np.array(self.scales))
        return sigmoid(rows @ np.array(self.weights) + self.intercept)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> Logistic:
        fields = json.loads(text)
        rows = {name: tuple(fields[name]) for name in ("columns", "means", "scales", "weights")}
        return Logistic(**rows, intercept=float(fields["intercept"]))


def fitted_logistic(columns: Sequence[str], matrix: Matrix, labels: Labels, l2: float = 1.0) -> Logistic:
    """Maximum likelihood with penalty l2/2 |weights|^2 on standardised columns (intercept free), by Newton's
    method.

    The same optimum as scikit-learn's LogisticRegression(C=1/l2). `matrix` [n, c], `labels` [n] of 0 and 1.
    """
    same_length(matrix=matrix, labels=labels)
    means, scales = moments(matrix)
    design = np.column_stack([standardised(matrix, means, scales), np.ones(len(matrix))])
    truth, penalty = np.asarray(labels, np.float64), np.append(np.full(len(means), l2), 1e-9)
    weights = np.zeros(design.shape[1])
    for _ in range(30):
        said = sigmoid(design @ weights)
        slope = design.T @ (truth - said) - penalty * weights
        curvature = design.T @ (design * (said * (1 - said))[:, None]) + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    fields = (_floats(means), _floats(scales), _floats(weights[:-1]))
    return Logistic(tuple(columns), *fields, intercept=float(weights[-1]))


def moments(matrix: Matrix) -> tuple[F64, F64]:
    """Mean and standard deviation of each column over its known cells; 0 and 1 where they do not exist."""
    missing = np.isnan(matrix)
    counts = np.maximum((~missing).sum(axis=0), 1)
    means = np.where(missing, 0.0, matrix).sum(axis=0, dtype=np.float64) / counts
    spread = np.sqrt((np.where(missing, 0.0, matrix - means) ** 2).sum(axis=0, dtype=np.float64) / counts)
    return means, np.where(spread > 1e-12, spread, 1.0)


def standardised(matrix: Matrix, means: F64, scales: F64) -> F64:
    """(x - mean) / scale with NaN at the mean, f64[n, c]."""
    return np.nan_to_num((np.asarray(matrix, np.float64) - means) / scales, nan=0.0)


def sigmoid(logits: F64) -> F64:
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))


def _floats(values: F64) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


Scorer = Callable[[I64], F64]
"""Item ids i64[n] to scores f64[n]."""


def item_popularity(items: I64, labels: Labels, prior: float = PRIOR_IMPRESSIONS) -> Scorer:
    """Smoothed label rate per item on rows that training may use: (positives + prior * mean) / (rows +
    prior).

    An item never seen there scores the mean: the baseline of the published KuaiRand table.
    """
    same_length(items=items, labels=labels)
    ids, owner = np.unique(items, return_inverse=True)
    truth = np.asarray(labels, np.float64)
    mean = float(truth.mean()) if len(truth) else 0.0
    positives, rows = np.bincount(owner, truth, len(ids)), np.bincount(owner, minlength=len(ids))
    rates = (positives + prior * mean) / (rows + prior)

    def score(asked: I64) -> F64:
        if not len(ids):
            return np.full(len(asked), mean)
        found = np.minimum(np.searchsorted(ids, asked), len(ids) - 1)
        return np.where(ids[found] == asked, rates[found], mean)

    return score
