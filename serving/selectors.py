"""Which of the scored candidates make the slate, and with which probability each got its place.

Slot by slot, a softmax over value, less what earlier items of the same topic or creator cost, mixed with a
share that is uniform over everything left (Plackett-Luce with exploration). So the propensity of an item at
its position given those above it is exact, and never below exploration / candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.candidates import Candidates, Mask, Query
from serving.policies import Policy
from serving.verbs import Choice

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DiverseTopK:
    """A slate of good items that do not repeat each other."""

    policy: Policy
    name: str = "diverse_top_k"

    def choose(self, query: Query, table: Candidates, rng: np.random.Generator) -> Choice:
        worth = standardised(table["value"])
        left = np.ones(len(table), np.bool_)
        slots = min(query.limit, len(table))
        rows, propensities, explored = np.empty(slots, np.intp), np.ones(slots), np.zeros(slots, np.bool_)
        for slot in range(slots):
            if query.explore:
                rows[slot], propensities[slot], explored[slot] = self._drawn(worth, left, rng)
            else:
                rows[slot] = _best(worth, left)
            left[rows[slot]] = False
            worth = worth - self._cost(table, rows[slot])
        return Choice(rows, propensities, explored)

    def _drawn(self, worth: Doubles, left: Mask, rng: np.random.Generator) -> tuple[int, float, bool]:
        greedy, uniform = softmax(worth, left, self.policy.temperature), left / left.sum()
        explores = bool(rng.random() < self.policy.exploration)
        row = _draw(uniform if explores else greedy, rng)
        share = self.policy.exploration
        return row, min(1.0, float((1 - share) * greedy[row] + share * uniform[row])), explores

    def _cost(self, table: Candidates, row: int) -> Doubles:
        """What having this item in the slate costs every other; unknown topics are not the same topic."""
        topics, creators = table["topic"], table["creator_id"]
        same_topic = (topics == topics[row]) & (topics >= 0)
        same_creator = (creators == creators[row]) & (creators >= 0)
        cost: Doubles = self.policy.topic_penalty * same_topic + self.policy.creator_penalty * same_creator
        return cost


def standardised(values: Doubles) -> Doubles:
    """Values in standard deviations from their mean, so a temperature means the same for every release.

    Unknown (NaN) becomes -inf: it sorts last.
    """
    known = ~np.isnan(values)
    if not known.any():
        return np.full(len(values), -np.inf)
    spread = float(values[known].std()) or 1.0
    return np.where(known, (values - values[known].mean()) / spread, -np.inf)


def softmax(worth: Doubles, left: Mask, temperature: float) -> Doubles:
    """Probabilities over the rows left, proportional to exp(worth / temperature); uniform if all unknown."""
    open_worth = np.where(left, worth, -np.inf)
    best = open_worth.max()
    if best == -np.inf:
        return np.asarray(left / left.sum())
    weights = np.exp((open_worth - best) / temperature)
    return np.asarray(weights / weights.sum())


def _best(worth: Doubles, left: Mask) -> int:
    """The best row left; ties, and rows of unknown value, in the order they were found."""
    rows = np.flatnonzero(left)
    return int(rows[np.argmax(worth[rows])])


def _draw(probabilities: Doubles, rng: np.random.Generator) -> int:
    """A row drawn by inversion; never one of probability 0."""
    sums = np.cumsum(probabilities)
    return int(
        np.searchsorted(sums, rng.random() * sums[-1], side="right").clip(
            0, np.flatnonzero(probabilities)[-1]
        )
    )
