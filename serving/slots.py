"""A slate, slot by slot, each drawn with a probability that is known exactly.

A slot is a mixture: a share that is uniform over everything open, a share per pool, and the rest a softmax
over worth (Plackett-Luce with exploration). Worth is value in standard deviations, less what the items above
cost. So the propensity of an item at its position given those above it is a sum of few terms, and never below
exploration / candidates. A limited row is closed to the first slots, and to all once the slate has enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from serving.candidates import Candidates, Mask, Query
from serving.diversities import Diversity
from serving.policies import Policy
from serving.pools import Pool, pools
from serving.verbs import Choice

Doubles = npt.NDArray[np.float64]
UNIFORM, VALUE, BEST = "uniform", "value", "best"


@dataclass(frozen=True)
class Drawn:
    """One slot: who fills it, how probable that was, and which part of the mixture drew it."""

    row: int
    propensity: float
    drawn_from: str


def filled(
    query: Query, table: Candidates, policy: Policy, diversity: Diversity, rng: np.random.Generator
) -> Choice:
    """At most `query.limit` rows; fewer when what is left is limited and may not be shown."""
    slots, doors = min(query.limit, len(table)), Doors(table, policy)
    worth = standardised(table["value"])
    promised = pools(query, table, policy) if query.explore else []
    luck: list[list[float]] = rng.random((slots if query.explore else 0, 2)).tolist()
    chosen: list[Drawn] = []
    for slot in range(slots):
        opened = doors.opened(slot)
        if not opened.any():
            break
        drawn = draw(worth, opened, promised, policy, luck[slot]) if query.explore else best(worth, opened)
        doors.close(drawn.row)
        chosen.append(drawn)
        worth -= diversity.cost(drawn.row)
    return _choice(chosen)


class Doors:
    """Which rows may still be chosen. A row of which it is not known whether it is limited is limited."""

    def __init__(self, table: Candidates, policy: Policy) -> None:
        self._left = np.ones(len(table), np.bool_)
        self._limited = ~(table["limited"] == 0) if "limited" in table else ~self._left
        self._limits = bool(self._limited.any())
        self._shown, self._from, self._most = 0, policy.limited_from, policy.most_limited

    def opened(self, slot: int) -> Mask:
        if not self._limits or (slot >= self._from and self._shown < self._most):
            return self._left
        return self._left & ~self._limited

    def close(self, row: int) -> None:
        self._left[row] = False
        self._shown += int(self._limited[row])


def draw(
    worth: Doubles, opened: Mask, promised: Sequence[Pool], policy: Policy, luck: Sequence[float]
) -> Drawn:
    """A row of those opened. `luck` is two numbers in [0, 1): which part of the mixture, and which row."""
    parts: list[Part] = [Even(UNIFORM, policy.exploration, opened)]
    for pool in promised:
        members = pool.members & opened
        if members.any():
            parts.append(Softmax(pool.name, pool.share, *weights(worth, members, policy.temperature)))
    rest = 1.0 - sum(part.share for part in parts)
    parts.append(Softmax(VALUE, rest, *weights(worth, opened, policy.temperature)))
    part = _at(parts, luck[0])
    row = part.drawn(luck[1])
    return Drawn(row, min(1.0, sum([each.chance(row) for each in parts])), part.name)


def best(worth: Doubles, opened: Mask) -> Drawn:
    """The best row opened, for certain; ties, and rows of unknown value, in the order they were found."""
    rows = np.flatnonzero(opened)
    return Drawn(int(rows[np.argmax(worth[rows])]), 1.0, BEST)


class Even:
    """A share of a slot's probability, the same for every row opened."""

    def __init__(self, name: str, share: float, opened: Mask) -> None:
        self.name, self.share, self._opened = name, share, opened
        self._rows = np.count_nonzero(opened)

    def chance(self, row: int) -> float:
        return self.share / self._rows if self._opened[row] else 0.0

    def drawn(self, luck: float) -> int:
        return int(np.flatnonzero(self._opened)[int(luck * self._rows)])


class Softmax:
    """A share of a slot's probability, spread in proportion to weights."""

    def __init__(self, name: str, share: float, weights: Doubles, sums: Doubles) -> None:
        self.name, self.share, self._weights, self._sums = name, share, weights, sums
        self._total = float(self._sums[-1])

    def chance(self, row: int) -> float:
        return self.share * float(self._weights[row]) / self._total

    def drawn(self, luck: float) -> int:
        """A row by inversion; never one of weight 0, whatever rounding does."""
        row = int(self._sums.searchsorted(luck * self._total, side="right"))
        return row if row < len(self._weights) else int(np.flatnonzero(self._weights)[-1])


Part = Even | Softmax


def _at(parts: Sequence[Part], luck: float) -> Part:
    """The part of the mixture that a number in [0, 1) falls into; the last has all that is left."""
    upto = 0.0
    for part in parts[:-1]:
        upto += part.share
        if luck < upto:
            return part
    return parts[-1]


def weights(worth: Doubles, opened: Mask, temperature: float) -> tuple[Doubles, Doubles]:
    """exp(worth / temperature) of the rows opened, the best 1, the others 0, even if all are unknown; and
    their running sums.
    """
    found = np.empty((2, len(worth)))
    _weigh(worth, opened, temperature, found)
    return found[0], found[1]


@njit("void(float64[:], boolean[:], float64, float64[:, :])", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _weigh(worth: Doubles, opened: Mask, temperature: float, found: Doubles) -> None:
    """One pass for the highest, one for the rest; its types are said, so it is compiled at start-up."""
    highest = -np.inf
    for row in range(len(worth)):
        if opened[row] and worth[row] > highest:
            highest = worth[row]
    total = 0.0
    for row in range(len(worth)):
        weight = 0.0
        if opened[row]:
            weight = 1.0 if highest == -np.inf else math.exp((worth[row] - highest) / temperature)
        total += weight
        found[0, row], found[1, row] = weight, total


def standardised(values: Doubles) -> Doubles:
    """Values in standard deviations from their mean, so a temperature means the same for every release.

    Unknown (NaN) becomes -inf: it sorts last.
    """
    unknown = np.isnan(values)
    known = values[~unknown] if unknown.any() else values
    if not len(known):
        return np.full(len(values), -np.inf)
    worth: Doubles = values - known.mean()
    spread = math.sqrt(float(np.square(worth).sum(where=~unknown)) / len(known))
    worth /= spread or 1.0
    worth[unknown] = -np.inf
    return worth


def _choice(chosen: Sequence[Drawn]) -> Choice:
    names = tuple(each.drawn_from for each in chosen)
    return Choice(
        rows=np.array([each.row for each in chosen], np.intp),
        propensities=np.array([each.propensity for each in chosen]),
        explored=np.array([name == UNIFORM for name in names], np.bool_),
        drawn_from=names,
    )
