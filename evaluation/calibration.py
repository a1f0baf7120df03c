"""Do probabilities mean what they say: reliability by bin, expected calibration error, log loss, slope.

Bins hold equal numbers of rows (equal mass), so none is empty and none decides by itself; equal probabilities
always share a bin, so the order of rows never matters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.intervals import RESAMPLES, Interval, normal, percentiles, resampled_sums
from evaluation.per_user import F64, I64, Labels, PerUser, Scores, mean_per_user, ratio, same_length
from evaluation.ranking import binary

BINS = 15
SMALLEST = 1e-7
"""Probabilities are clipped this far from 0 and 1 before a logarithm."""


@dataclass(frozen=True)
class Reliability:
    """One entry per bin, f64[b]: rows, mean probability said, share that happened."""

    rows: F64
    said: F64
    happened: F64

    @property
    def gap(self) -> float:
        """Expected calibration error: |said - happened| averaged over rows, 0 is perfect."""
        return ratio(float((self.rows * np.abs(self.said - self.happened)).sum()), float(self.rows.sum()))


def equal_mass_bins(probabilities: Scores, bins: int = BINS) -> I64:
    """The bin of each row, i64[n]: its rank (the lowest of its ties) times bins over n."""
    lowest_rank = np.searchsorted(np.sort(probabilities), probabilities, "left")
    return (lowest_rank * bins // max(len(probabilities), 1)).astype(np.int64)


def reliability(labels: Labels, probabilities: Scores, bins: int = BINS) -> Reliability:
    """What was said and what happened, per equal-mass bin; bins emptied by ties are left out."""
    truth, said = binary(labels), chances(probabilities)
    same_length(labels=truth, probabilities=said)
    sums = _bin_sums(equal_mass_bins(said, bins), np.column_stack([np.ones(len(said)), said, truth]), bins)
    filled = sums[sums[:, 0] > 0]
    return Reliability(filled[:, 0], filled[:, 1] / filled[:, 0], filled[:, 2] / filled[:, 0])


def calibration_error(labels: Labels, probabilities: Scores, bins: int = BINS) -> float:
    """ECE with equal-mass bins (Naeini et al., AAAI 2015; equal mass: Nguyen & O'Connor, EMNLP 2015)."""
    return reliability(labels, probabilities, bins).gap


def calibration_error_interval(
    users: I64,
    labels: Labels,
    probabilities: Scores,
    rng: np.random.Generator,
    bins: int = BINS,
    resamples: int = RESAMPLES,
) -> Interval:
    """ECE and its interval by user, bins fixed.

    Resampling adds noise to every bin and |x| turns noise into error, so resampled errors lie above the
    estimate; they are shifted back until their median is the estimate, and cut at 0.
    """
    truth, said = binary(labels), chances(probabilities)
    ids, owner = np.unique(users, return_inverse=True)
    cell = owner * bins + equal_mass_bins(said, bins)
    gaps = np.bincount(cell, said - truth, len(ids) * bins).reshape(len(ids), bins)
    rows = np.bincount(owner, minlength=len(ids)).astype(np.float64)
    columns = np.column_stack([gaps, rows])
    value = float(_error_of_sums(columns.sum(axis=0, keepdims=True))[0])
    errors = _error_of_sums(resampled_sums(columns, rng, resamples))
    low, high = percentiles(np.maximum(errors - np.median(errors) + value, 0.0))
    return Interval(value, low, high, len(ids))


def _error_of_sums(sums: F64) -> F64:
    return np.asarray(np.abs(sums[:, :-1]).sum(axis=1) / sums[:, -1], np.float64)


def _bin_sums(bin_of: I64, columns: F64, bins: int) -> F64:
    return np.column_stack([np.bincount(bin_of, column, bins) for column in columns.T])


def log_loss(labels: Labels, probabilities: Scores) -> float:
    """Mean of -log P(what happened), nats per row."""
    return user_log_losses(np.zeros(len(labels), np.int64), labels, probabilities).value


def user_log_losses(users: I64, labels: Labels, probabilities: Scores) -> PerUser:
    """Log loss over rows, resampled by user; lower is better."""
    truth, said = binary(labels), np.clip(chances(probabilities), SMALLEST, 1 - SMALLEST)
    return mean_per_user(users, -np.log(np.where(truth > 0, said, 1 - said)))


def brier(labels: Labels, probabilities: Scores) -> float:
    """Mean squared distance of what was said from what happened (Brier 1950)."""
    return float(np.mean((chances(probabilities) - binary(labels)) ** 2))


@dataclass(frozen=True)
class Recalibration:
    """logit P(label) = intercept + slope * logit(said): perfect is slope 1, intercept 0 (Cox 1958).

    Slope below 1: too confident. Intercept: too low where positive, in log odds.
    """

    slope: Interval
    intercept: Interval


def recalibration(users: I64, labels: Labels, probabilities: Scores) -> Recalibration:
    """Slope and intercept by maximum likelihood; intervals from the sandwich clustered by user (Liang & Zeger
    1986).
    """
    truth, said = binary(labels), np.clip(chances(probabilities), SMALLEST, 1 - SMALLEST)
    design = np.column_stack([np.ones(len(said)), np.log(said / (1 - said))])
    ids, owner = np.unique(users, return_inverse=True)
    if min(truth.sum(), (1 - truth).sum(), np.ptp(design[:, 1]) if len(said) else 0) == 0:
        nothing = Interval(float("nan"), float("nan"), float("nan"), len(ids))
        return Recalibration(nothing, nothing)
    fitted, covariance = _clustered_logistic(design, truth, owner.astype(np.int64), len(ids))
    errors = np.sqrt(np.diag(covariance))
    intercept, slope = (normal(float(b), float(e), len(ids)) for b, e in zip(fitted, errors, strict=True))
    return Recalibration(slope, intercept)


def _clustered_logistic(design: F64, truth: F64, owner: I64, clusters: int) -> tuple[F64, F64]:
    """Newton's method from the identity map, and the cluster-robust covariance at its end."""
    weights = np.array([0.0, 1.0])
    for _ in range(50):
        said = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        bread = np.linalg.pinv(design.T @ (design * (said * (1 - said))[:, None]))
        step = np.clip(bread @ (design.T @ (truth - said)), -2, 2)
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            break
    scores = design * (truth - said)[:, None]
    per_cluster = np.column_stack([np.bincount(owner, column, clusters) for column in scores.T])
    return weights, bread @ (per_cluster.T @ per_cluster) @ bread


def chances(probabilities: Scores) -> F64:
    """Probabilities as f64[n]; one outside [0, 1], or NaN, is refused."""
    said = np.asarray(probabilities, np.float64)
    strange = said[~((said >= 0) & (said <= 1))]
    if len(strange):
        raise ValueError(f"probability {strange[0]} found, must be in [0, 1].")
    return said
