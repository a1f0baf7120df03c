"""Fit a calibrator on rows no tree has seen: centred isotonic regression.

Scores are pooled into bins of equal mass, bins into blocks that rise (pool adjacent violators), and each
block gives one knot at its mean score and mean label (Oron & Flournoy 2017): joining block centres by lines
keeps every order, where the usual step function would tie whole blocks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from serving.calibrators import IDENTITY, Calibrator

Doubles = npt.NDArray[np.float64]

BINS = 100
FEWEST_ROWS = 50
"""Rows per bin at least."""
BIN_POSITIVES = 20
"""Positives per bin at least, on average: a rate of fewer is off by a quarter or more."""
FEWEST_POSITIVES = 100
"""With fewer positives a curve would be noise: the head keeps its own probabilities."""


def calibrator(scores: Doubles, labels: Doubles) -> Calibrator:
    """The rising curve from score to mean label; the identity where too little is known."""
    if labels.sum() < FEWEST_POSITIVES or len(np.unique(scores)) < 2:
        return IDENTITY
    raw, mean, rows = binned(scores, labels)
    return through(*blocks(raw, mean, rows))


def binned(scores: Doubles, labels: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Mean score, mean label and rows of equal-mass bins, by rising score."""
    order = np.argsort(scores, kind="stable")
    bins = max(2, min(BINS, len(scores) // FEWEST_ROWS, int(labels.sum()) // BIN_POSITIVES))
    groups = np.minimum(np.arange(len(scores)) * bins // len(scores), bins - 1)
    rows = np.bincount(groups).astype(np.float64)
    return np.bincount(groups, scores[order]) / rows, np.bincount(groups, labels[order]) / rows, rows


def blocks(raw: Doubles, mean: Doubles, rows: Doubles) -> tuple[Doubles, Doubles]:
    """Centres of the blocks pool-adjacent-violators leaves."""
    from scipy.optimize import isotonic_regression

    starts = np.asarray(isotonic_regression(mean, weights=rows).blocks)[:-1]
    weight = np.add.reduceat(rows, starts)
    return np.add.reduceat(raw * rows, starts) / weight, np.add.reduceat(mean * rows, starts) / weight


def through(raw: Doubles, mean: Doubles) -> Calibrator:
    """The curve through the centres, from (0, 0) and to (1, 1) so that the ends keep their order too."""
    inside = np.concatenate([[True], np.diff(raw) > 0]) & (raw > 0) & (raw < 1)
    knots = np.concatenate([[0.0], raw[inside], [1.0]]), np.concatenate([[0.0], mean[inside], [1.0]])
    return Calibrator(
        tuple(float(x) for x in knots[0]), tuple(float(y) for y in np.maximum.accumulate(knots[1]))
    )
