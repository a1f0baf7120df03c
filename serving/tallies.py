"""What one release did, counted as it happens: its newest requests, and what people made of its slates.

People are the unit of the yes-rate: two impressions of one person say less than two of two. Each person's
pair (impressions, yeses) enters five sums, from which rate and spread follow at any moment.
"""

from __future__ import annotations

import math
import threading
from collections import deque

import numpy as np
import numpy.typing as npt

from serving.guardrails import Shown

NEWEST = 1_000
"""Requests that failures and latency are judged on, so that a release which breaks late is noticed too."""
MOST_PEOPLE = 20_000
"""Whoever comes later is not counted."""
Sums = npt.NDArray[np.float64]
"""Over people: impressions, yeses, their squares and their product, in the order of `_powers`."""
TWO_MORE: Sums = np.array([2.0, 1.0, 2.0, 1.0, 1.0])


class Tally:
    """Safe to share between threads; bounded however long the trial."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: deque[tuple[float, bool]] = deque(maxlen=NEWEST)
        self._people: dict[int, tuple[int, int]] = {}
        self._sums = np.zeros(5)

    def requested(self, ms: float, failed: bool) -> None:
        """One request: how long it took, and whether it was degraded or failed."""
        with self._lock:
            self._requests.append((ms, failed))

    def watched(self, user_id: int, yes: bool) -> None:
        """One impression of this release that this person saw."""
        with self._lock:
            if user_id not in self._people and len(self._people) >= MOST_PEOPLE:
                return
            seen, yeses = self._people.get(user_id, (0, 0))
            self._sums += _powers(seen + 1, yeses + yes) - _powers(seen, yeses)
            self._people[user_id] = (seen + 1, yeses + yes)

    def shown(self) -> Shown:
        """Everything so far, as guardrails judge it."""
        with self._lock:
            requests, people, sums = list(self._requests), len(self._people), self._sums.copy()
        rate, spread = _rate(people, sums)
        ms, failed = np.array(requests, np.float64).reshape(-1, 2).T
        return Shown(ms, failed.astype(np.bool_), people, rate, spread)


def _powers(seen: int, yeses: int) -> Sums:
    return np.array([seen, yeses, seen * seen, seen * yeses, yeses * yeses], np.float64)


def _rate(people: int, sums: Sums) -> tuple[float, float]:
    """The ratio of two sums over people, and the spread of one person's say in it (delta method).

    For the spread two people more are thought of, one yes and one no: where all agree so far it is not 0.
    """
    if not people:
        return math.nan, math.nan
    seen, _, seen2, both, yeses2 = sums + TWO_MORE
    rate = (sums[1] + 1) / seen
    squares = yeses2 - 2 * rate * both + rate * rate * seen2
    return float(sums[1] / sums[0]), math.sqrt(max(squares, 0.0) * (people + 2)) / seen
