"""What a list of latencies says: its median, its tail, and the ratio of two arms measured side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from evaluation.intervals import Interval, percentiles

RESAMPLES = 1_000


@dataclass(frozen=True)
class Latency:
    """Quantiles of one arm in milliseconds, and how many requests they rest on."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    requests: int

    def figures(self) -> dict[str, float]:
        return asdict(self)


def latency(samples_ms: Sequence[float]) -> Latency:
    """The quantiles of these samples; NaN when there are none."""
    if not samples_ms:
        return Latency(np.nan, np.nan, np.nan, 0)
    p50, p90, p99 = (float(q) for q in np.quantile(samples_ms, [0.5, 0.9, 0.99]))
    return Latency(p50, p90, p99, len(samples_ms))


def quantile_at(quantile: float, samples_ms: Sequence[float], rng: np.random.Generator) -> Interval:
    """One quantile of these samples with its interval; NaN when there are none."""
    samples = np.array(samples_ms, np.float64)
    if not len(samples):
        return Interval(np.nan, np.nan, np.nan, 0)
    picks = rng.integers(0, len(samples), (RESAMPLES, len(samples)))
    found = np.quantile(samples[picks], quantile, axis=1)
    return Interval(float(np.quantile(samples, quantile)), *percentiles(found), len(samples))


def ratio_at_p50(slow_ms: Sequence[float], fast_ms: Sequence[float], rng: np.random.Generator) -> Interval:
    """How many times faster at the median; i-th samples are of the same person and are resampled together."""
    return ratio_at(0.5, slow_ms, fast_ms, rng)


def ratio_at(
    quantile: float, slow_ms: Sequence[float], fast_ms: Sequence[float], rng: np.random.Generator
) -> Interval:
    """The same at another quantile."""
    if len(slow_ms) != len(fast_ms):
        raise ValueError(
            f"{len(slow_ms)} and {len(fast_ms)} samples; a paired ratio needs one of each per person."
        )
    pairs = np.column_stack([slow_ms, fast_ms])
    picks = rng.integers(0, len(pairs), (RESAMPLES, len(pairs)))
    slow, fast = np.quantile(pairs[picks], quantile, axis=1).T
    whole = np.quantile(pairs, quantile, axis=0)
    return Interval(float(whole[0] / whole[1]), *percentiles(slow / fast), len(pairs))
