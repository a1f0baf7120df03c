"""The slow twins of the selectors: a slate's probabilities from the definitions, one number at a time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from serving.candidates import Candidates
from serving.diversities import RIDGE
from serving.policies import Policy
from serving.verbs import Choice

Cost = Callable[[int, Sequence[int]], float]
"""What a row loses to those chosen above it."""


def decay(table: Candidates, policy: Policy) -> Cost:
    def cost(row: int, above: Sequence[int]) -> float:
        topics = sum(table["topic"][row] == table["topic"][each] for each in above)
        creators = sum(table["creator_id"][row] == table["creator_id"][each] for each in above)
        return float(policy.topic_penalty * topics + policy.creator_penalty * creators)

    return cost


def cosines(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1)
    return np.asarray(vectors @ vectors.T / np.outer(lengths, lengths), np.float64)


def mmr(vectors: np.ndarray, policy: Policy) -> Cost:
    like = cosines(vectors)
    return lambda row, above: policy.mmr_penalty * max([0.0, *(float(like[row, each]) for each in above)])


def dpp(vectors: np.ndarray, policy: Policy) -> Cost:
    """By determinants: what log det grows less by than it would for a row unlike all others."""
    kernel = (1 - RIDGE) * cosines(vectors) + RIDGE * np.eye(len(vectors))

    def log_volume(rows: Sequence[int]) -> float:
        return float(np.linalg.slogdet(kernel[np.ix_(rows, rows)])[1]) if rows else 0.0

    return lambda row, above: policy.dpp_weight * (log_volume([*above]) - log_volume([*above, row]))


@dataclass(frozen=True)
class ByHand:
    """A policy over one table of known values."""

    table: Candidates
    policy: Policy
    cost: Cost
    pools: tuple[tuple[float, frozenset[int]], ...] = ()

    def probabilities(self, slate: Sequence[int]) -> list[float]:
        """Each item's probability given those above it."""
        return [self._at(slate[place], slate[:place]) for place in range(len(slate))]

    def _at(self, chosen: int, above: Sequence[int]) -> float:
        left = [row for row in range(len(self.table)) if row not in above]
        open_pools = [(share, members & {*left}) for share, members in self.pools if members & {*left}]
        rest = 1 - self.policy.exploration - sum(share for share, _ in open_pools)
        found = self.policy.exploration / len(left) + rest * self._softmax(chosen, left, above)
        for share, members in open_pools:
            found += share * self._softmax(chosen, sorted(members), above)
        return found

    def _softmax(self, chosen: int, rows: Sequence[int], above: Sequence[int]) -> float:
        values = self.table["value"]
        worth = {row: (values[row] - values.mean()) / values.std() - self.cost(row, above) for row in rows}
        weighed = {row: np.exp(of / self.policy.temperature) for row, of in worth.items()}
        return float(weighed[chosen] / sum(weighed.values())) if chosen in weighed else 0.0


def surely_as_often(by_hand: ByHand, drawn: Sequence[Choice], slots: int) -> bool:
    """Do slates occur as often as their probabilities say? Chi-square over all of them, at 99.9 %."""
    slates = list(itertools.permutations(range(len(by_hand.table)), slots))
    chances = np.array([np.prod(by_hand.probabilities(slate)) for slate in slates])
    assert abs(chances.sum() - 1) < 1e-9
    counted = Counter(tuple(choice.rows.tolist()) for choice in drawn)
    expected = chances * len(drawn)
    return float(stats.chisquare([counted[slate] for slate in slates], expected).pvalue) > 0.001
