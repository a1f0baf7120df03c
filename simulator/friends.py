"""Who is a friend of whom: an undirected graph with a log-normal number of friends, told apart from follows.

Shares travel along it (nights.py), which is how a change for some people reaches others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

FRIENDS_MEDIAN, FRIENDS_SD, MOST_FRIENDS = 4.0, 1.0, 50


@dataclass(frozen=True)
class Friends:
    """The friends of the person in row i are rows[starts[i]:starts[i + 1]], ascending."""

    starts: Ints  # [people + 1]
    rows: Ints

    def of(self, person: int) -> Ints:
        return self.rows[self.starts[person] : self.starts[person + 1]]


def draw_friends(people: int, rng: np.random.Generator) -> Friends:
    """Wanted numbers of friends, paired at random: the configuration model (Molloy and Reed, 1995).

    Nobody is their own friend, or anybody's twice: such pairs are dropped, and a few have fewer than wanted.
    """
    wanted = np.rint(FRIENDS_MEDIAN * np.exp(FRIENDS_SD * rng.normal(size=people))).astype(np.int64)
    hands = rng.permutation(np.repeat(np.arange(people), np.minimum(wanted, MOST_FRIENDS)))
    one, other = hands[: len(hands) // 2], hands[len(hands) // 2 :][: len(hands) // 2]
    apart = one != other
    low, high = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
    pairs = np.unique(low * people + high)
    low, high = pairs // max(people, 1), pairs % max(people, 1)
    return _both_ways(people, low, high)


def side_by_side(here: Friends, there: Friends) -> Friends:
    """Two graphs as one without an edge between them; the second's people stand behind the first's."""
    people = len(here.starts) - 1
    starts = np.concatenate([here.starts, len(here.rows) + there.starts[1:]])
    return Friends(starts, np.concatenate([here.rows, people + there.rows]))


def _both_ways(people: int, low: Ints, high: Ints) -> Friends:
    source, target = np.concatenate([low, high]), np.concatenate([high, low])
    order = np.lexsort((target, source))
    return Friends(np.searchsorted(source[order], np.arange(people + 1)), target[order])
