"""What a model must beat: five scores a person could write in a minute, and a logistic regression.

Each simple baseline is a function of the named columns of the very matrix the model sees, so it is scored on
the same rows with the same features; an unknown (NaN) is replaced by the mean of the known, never ranked
first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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

BLOCK_ROWS = 16_384
"""Rows of a design held in float64 at a time: 10 MB at 80 inputs."""
NEWTON_STEP = 1e-6
"""Largest change of a weight at which the search ends; Newton's next step would be its square."""

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


Levels = Mapping[str, tuple[float, ...]]
"""Column of codes: the codes that get an indicator."""


@dataclass(frozen=True)
class Logistic:
    """Logistic regression: P = sigmoid(intercept + weights . (x - means) / scales).

    x is the row with every column of codes replaced by one indicator per code seen in training, so that a
    code is a name and not a quantity; of an unknown or unseen code all indicators are 0.
    """

    columns: tuple[str, ...]
    levels: Levels
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def score(self, matrix: Matrix) -> F64:
        """Probabilities f64[n] of rows [n, columns] in this object's column order; NaN counts as the mean."""
        means, scales = np.array(self.means), np.array(self.scales)
        weights, said = np.array(self.weights), np.empty(len(matrix))
        for block in blocks(len(matrix)):
            rows = standardised(encoded(matrix[block], self.columns, self.levels), means, scales)
            said[block] = sigmoid(rows @ weights + self.intercept)
        return said

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> Logistic:
        fields = json.loads(text)
        rows = {name: tuple(fields[name]) for name in ("columns", "means", "scales", "weights")}
        levels = {name: tuple(codes) for name, codes in fields["levels"].items()}
        return Logistic(**rows, levels=levels, intercept=float(fields["intercept"]))


def fitted_logistic(
    columns: Sequence[str], matrix: Matrix, labels: Labels, codes: Collection[str] = (), l2: float = 1.0
) -> Logistic:
    """Maximum likelihood with penalty l2/2 |weights|^2 on standardised columns (intercept free), by Newton's
    method.

    The same optimum as scikit-learn's LogisticRegression(C=1/l2). `matrix` [n, c], `labels` [n] of 0 and 1;
    columns named in `codes` enter as indicators, neither centred nor scaled: a rare code is held back.
    """
    same_length(matrix=matrix, labels=labels)
    levels = levels_of(columns, matrix, codes)
    means, scales = _moments_of_inputs(columns, matrix, levels)
    design = np.ones((len(matrix), len(means) + 1), np.float32)
    for block in blocks(len(matrix)):
        design[block, :-1] = standardised(encoded(matrix[block], columns, levels), means, scales)
    weights = _newton(design, np.asarray(labels, np.float64), np.append(np.full(len(means), l2), 1e-9))
    fields = (_floats(means), _floats(scales), _floats(weights[:-1]))
    return Logistic(tuple(columns), levels, *fields, intercept=float(weights[-1]))


def levels_of(columns: Sequence[str], matrix: Matrix, codes: Collection[str]) -> Levels:
    """The codes found in each column of codes, ascending; NaN is no code."""
    found = {name: np.unique(column_of(matrix, columns, name)) for name in columns if name in codes}
    return {name: _floats(values[~np.isnan(values)]) for name, values in found.items()}


def encoded(matrix: Matrix, columns: Sequence[str], levels: Levels) -> F64:
    """The other columns in their order, then an indicator per code: f64[n, inputs]."""
    plain = [place for place, name in enumerate(columns) if name not in levels]
    indicators = [
        column_of(matrix, columns, name)[:, None] == np.array(codes)[None, :]
        for name, codes in levels.items()
    ]
    return np.column_stack([np.asarray(matrix[:, plain], np.float64), *indicators])


def _moments_of_inputs(columns: Sequence[str], matrix: Matrix, levels: Levels) -> tuple[F64, F64]:
    """Moments of the plain columns; indicators stay as they are."""
    plain = [place for place, name in enumerate(columns) if name not in levels]
    means, scales = moments(matrix[:, plain])
    indicators = sum(map(len, levels.values()))
    return np.append(means, np.zeros(indicators)), np.append(scales, np.ones(indicators))


def _newton(design: NDArray[np.float32], truth: F64, penalty: F64) -> F64:
    """Weights where the penalised likelihood is flat; sums in float64, block by block."""
    weights = np.zeros(design.shape[1])
    for _ in range(30):
        slope, curvature = -penalty * weights, np.diag(penalty)
        for block in blocks(len(design)):
            rows = design[block].astype(np.float64)
            said = sigmoid(rows @ weights)
            slope += rows.T @ (truth[block] - said)
            curvature += rows.T @ (rows * (said * (1 - said))[:, None])
        step = np.linalg.solve(curvature, slope)
        weights = weights + step
        if np.abs(step).max() < NEWTON_STEP:
            break
    return weights


def blocks(n: int) -> Iterator[slice]:
    """Consecutive pieces of n rows."""
    return (slice(start, start + BLOCK_ROWS) for start in range(0, n, BLOCK_ROWS))


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
