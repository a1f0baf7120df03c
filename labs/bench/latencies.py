"""What a list of latencies says: its median, its tail, and the ratio of two arms measured side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1_000


@dataclass(frozen=True)
class Latency:
    """Quantiles of one arm in milliseconds, and how many requests they rest on."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    requests: int

    def figures(self) -> dict[str, float]:
        return {"p50_ms": self.p50_ms, "p90_ms": self.p90_ms, "p99_ms": self.p99_ms, "requests": self.requests}


def latency(samples_ms: list[float]) -> Latency:
    """The quantiles of these samples; NaN when there are none."""
    if not samples_ms:
        return Latency(np.nan, np.nan, np.nan, 0)
    p50, p90, p99 = (float(q) for q in np.quantile(samples_ms, [0.5, 0.9, 0.99]))
    return Latency(p50, p90, p99, len(samples_ms))


def _medians(samples: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    picks = rng.integers(0, len(samples), (RESAMPLES, len(samples)))
    medians: NDArray[np.float64] = np.median(samples[picks], axis=1)
    return medians


def ratio_at_p50(slow_ms: list[float], fast_ms: list[float], rng: np.random.Generator) -> tuple[float, float, float]:
    """How many times faster at the median, with a 95 % bootstrap interval: (ratio, low, high)."""
    slow, fast = np.asarray(slow_ms), np.asarray(fast_ms)
    ratios = _medians(slow, rng) / _medians(fast, rng)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(np.median(slow) / np.median(fast)), float(low), float(high)
