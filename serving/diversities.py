"""What one more item in the slate costs the others, in standard deviations of value.

Three answers, one shape: told which row was chosen, a diversity says what every row is worth less from now
on. A slot is drawn from what is left of the worths, so its propensity is exact under any of them.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
from numba import types

from feature_repo.compiling import compiled_for
from feature_repo.videos import IDS
from serving.candidates import Candidates, Ids
from serving.policies import Policy

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

RIDGE = 0.05
"""Of the DPP's kernel: how much of each video is its own. It keeps the volume of a slate of more items than a
vector has numbers above 0, and the gain of a copy finite."""


class Diversity(Protocol):
    """Hears what is chosen, in order."""

    def cost(self, row: int, /) -> Doubles: ...


class Repetition:
    """So much per earlier item of the same topic, and of the same creator; unknown is never the same."""

    def __init__(self, table: Candidates, policy: Policy) -> None:
        self.topics, self.creators = (
            np.ascontiguousarray(table[name], np.int64) for name in ("topic", "creator_id")
        )
        self.penalties = float(policy.topic_penalty), float(policy.creator_penalty)

    def cost(self, row: int) -> Doubles:
        return repeated(self.topics, self.creators, row, *self.penalties)


@compiled_for(types.float64[::1](IDS, IDS, types.int64, types.float64, types.float64))
def repeated(topics: Ids, creators: Ids, row: int, of_topic: float, of_creator: float) -> Doubles:
    topic, creator, cost = topics[row], creators[row], np.zeros(len(topics))
    for other in range(len(cost)):
        if topics[other] == topic >= 0:
            cost[other] += of_topic
        if creators[other] == creator >= 0:
            cost[other] += of_creator
    return cost


class Likeness:
    """Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): the cosine with the closest item of the
    slate, priced. Pointing away from all of them costs nothing and earns nothing.
    """

    def __init__(self, directions: Floats, penalty: float) -> None:
        self._directions, self._penalty = directions, penalty
        self._closest = np.zeros(len(directions))

    def cost(self, row: int) -> Doubles:
        closest = np.maximum(self._closest, self._directions @ self._directions[row])
        cost: Doubles = self._penalty * (closest - self._closest)
        self._closest = closest
        return cost


class Volume:
    """A determinantal point process, greedily: what the slate's volume grows less by, on a log scale.

    The kernel is exp(worth_i / 2w) S_ij exp(worth_j / 2w), so that log det of a slate is the sum of its
    worths over w plus log det S of it. One row of a Cholesky factor per chosen item gives every gain (Chen,
    Zhang & Zhou, NeurIPS 2018, algorithm 1).
    """

    def __init__(self, directions: Floats, weight: float, slots: int) -> None:
        self._directions, self._weight = directions, weight
        self._factor = np.empty((slots, len(directions)))
        self._chosen = 0
        self._gains = np.ones(len(directions))

    def cost(self, row: int) -> Doubles:
        above, k = self._factor[: self._chosen], self._chosen
        likeness = (1 - RIDGE) * (self._directions @ self._directions[row]).astype(np.float64)
        likeness[row] += RIDGE
        self._factor[k] = (likeness - above[:, row] @ above) / np.sqrt(self._gains[row])
        gains = np.maximum(self._gains - self._factor[k] ** 2, RIDGE)
        cost: Doubles = self._weight * np.log(self._gains / gains)
        self._chosen, self._gains = k + 1, gains
        return cost


def directions(vectors: Floats) -> Floats:
    """Rows of length 1; a vector of zeros stays one, and is like nothing."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)
