"""One slot of a slate: which row fills it, and how probable that was.

Law: the propensity of a row is the sum over all parts of the mixture, whichever drew it: each part's share
times the row's chance in it, which is one among those open or its weight among those of the members open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import types

from feature_repo.compiling import compiled, compiled_for
from serving.candidates import Candidates, Mask, Query
from serving.policies import Policy
from serving.pools import pools

Doubles = npt.NDArray[np.float64]
UNIFORM, VALUE = "uniform", "value"
F8, B1 = types.float64, types.boolean


@dataclass(frozen=True)
class Mixture:
    """The parts of a slot's probability: even over what is open, by worth in each pool, by worth alone."""

    names: tuple[str, ...]
    shares: Doubles
    """Of every part but the last, which has what the others leave."""
    members: npt.NDArray[np.bool_]
    """[parts - 1, rows], of every part but the first; everybody is in the last."""
    temperature: float

    def drawn(self, worth: Doubles, opened: Mask, which: float, who: float) -> tuple[int, float, int]:
        """A row of those opened (-1: there is none), its propensity, and the part that drew it. Two numbers
        in [0, 1) say which part draws, and which row.
        """
        found: tuple[int, float, int] = draw(
            worth, opened, self.shares, self.members, self.temperature, which, who
        )
        return found


def mixture_of(query: Query, table: Candidates, policy: Policy) -> Mixture:
    """A policy's parts over the candidates of a request."""
    promised = pools(query, table, policy)
    members = np.ones((len(promised) + 1, len(table)), np.bool_)
    for place, pool in enumerate(promised):
        members[place] = pool.members
    names, shares = [pool.name for pool in promised], [pool.share for pool in promised]
    return Mixture(
        (UNIFORM, *names, VALUE), np.array([policy.exploration, *shares]), members, policy.temperature
    )


@compiled
def _weigh(worth: Doubles, opened: Mask, members: Mask, temperature: float, found: Doubles) -> float:
    """exp(worth / temperature) of the members opened, the best 1, the others 0, even if all are unknown; and
    their running sums. One pass for the highest, one for the rest.
    """
    highest = -np.inf
    for row in range(len(worth)):
        if opened[row] and members[row] and worth[row] > highest:
            highest = worth[row]
    total = 0.0
    for row in range(len(worth)):
        weight = 0.0
        if opened[row] and members[row]:
            weight = 1.0 if highest == -np.inf else math.exp((worth[row] - highest) / temperature)
        total += weight
        found[0, row], found[1, row] = weight, total
    return total


@compiled
def _row_at(found: Doubles, luck: float) -> int:
    """A row by inversion of the running sums; never one of weight 0, whatever rounding does."""
    row = np.searchsorted(found[1], luck * found[1, -1], side="right")
    return int(row if row < found.shape[1] else np.flatnonzero(found[0])[-1])


@compiled_for(types.Tuple((types.int64, F8, types.int64))(F8[::1], B1[::1], F8[::1], B1[:, ::1], F8, F8, F8))
def draw(
    worth: Doubles, opened: Mask, shares: Doubles, members: Mask, temperature: float, which: float, who: float
) -> tuple[int, float, int]:
    """A row (-1: none is open), its propensity, and the part into whose share `which` falls, which draws it;
    every other part that could have adds its chance. A pool of whom nobody is open leaves its share.
    """
    rows, pools, upto = np.count_nonzero(opened), len(members), shares[0]
    if rows == 0:
        return -1, 0.0, 0
    part, share, found = 0, np.zeros(pools), np.empty((pools, 2, len(worth)))
    for pool in range(pools):
        if _weigh(worth, opened, members[pool], temperature, found[pool]) > 0:
            part = pool + 1 if which >= upto else part
            share[pool] = shares[pool + 1] if pool < pools - 1 else 1.0 - upto
            upto += share[pool]
    row = _row_at(found[part - 1], who) if part else np.flatnonzero(opened)[int(who * rows)]
    propensity = shares[0] / rows
    for pool in range(pools):
        propensity += share[pool] * found[pool, 0, row] / max(found[pool, 1, -1], 1.0)
    return row, min(1.0, propensity), part
