"""A slate, slot by slot, each drawn with a probability that is known exactly.

A slot is a mixture: a share that is uniform over everything open, a share per pool, and the rest a softmax
over worth (Plackett-Luce with exploration). Worth is value in standard deviations, less what the items above
cost. So the propensity of an item at its position given those above it is a sum of few terms, and never below
exploration / candidates. A limited row is closed to the first slots, and to all once the slate has enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import types

from feature_repo.compiling import compiled_for
from feature_repo.pairwise import pairwise_sum
from feature_repo.videos import IDS
from serving.candidates import Candidates, Ids, Mask, Query, Rows
from serving.diversities import Diversity, Repetition, repeated
from serving.mixtures import UNIFORM, Mixture, draw, mixture_of
from serving.policies import Policy
from serving.verbs import Choice

Doubles = npt.NDArray[np.float64]
BEST = "best"
F8, I8, B1 = types.float64, types.int64, types.boolean


def filled(
    query: Query, table: Candidates, policy: Policy, diversity: Diversity, rng: np.random.Generator
) -> Choice:
    """At most `query.limit` rows; fewer when what is left is limited and may not be shown."""
    slots, doors = min(query.limit, len(table)), Doors(table, policy)
    if not query.explore:
        return slate_of_the_best(slots, table, doors, diversity)
    mixture, luck = mixture_of(query, table, policy), rng.random((slots, 2))
    if isinstance(diversity, Repetition):
        return drawn_at_once(table, doors, mixture, diversity, luck)
    return drawn_in_turn(table, doors, mixture, diversity, luck)


class Doors:
    """Which rows may still be chosen. A row of which it is not known whether it is limited is limited."""

    def __init__(self, table: Candidates, policy: Policy) -> None:
        self.left = np.ones(len(table), np.bool_)
        self.limited = ~(table["limited"] == 0) if "limited" in table else ~self.left
        self.limited_from, self.most_limited, self._shown = policy.limited_from, policy.most_limited, 0

    def opened(self, slot: int) -> Mask:
        if slot >= self.limited_from and self._shown < self.most_limited:
            return self.left
        return self.left & ~self.limited

    def close(self, row: int) -> None:
        self.left[row] = False
        self._shown += int(self.limited[row])


def slate_of_the_best(slots: int, table: Candidates, doors: Doors, diversity: Diversity) -> Choice:
    """The best row opened, for certain; ties, and rows of unknown value, in the order they were found."""
    worth, chosen = standardised(table["value"]), []
    for slot in range(slots):
        rows = np.flatnonzero(doors.opened(slot))
        if not len(rows):
            break
        row = int(rows[np.argmax(worth[rows])])
        chosen.append(row)
        doors.close(row)
        worth -= diversity.cost(row)
    return _choice(np.array(chosen, np.intp), np.ones(len(chosen)), [BEST] * len(chosen))


def drawn_in_turn(
    table: Candidates, doors: Doors, mixture: Mixture, diversity: Diversity, luck: Doubles
) -> Choice:
    """Two numbers in [0, 1) per slot; whatever a row costs the others is asked after every one."""
    worth, chosen = standardised(table["value"]), []
    for slot, (which, who) in enumerate(luck.tolist()):
        row, propensity, part = mixture.drawn(worth, doors.opened(slot), which, who)
        if row < 0:
            break
        chosen.append((row, propensity, mixture.names[part]))
        doors.close(row)
        worth -= diversity.cost(row)
    rows, propensities, names = zip(*chosen, strict=True) if chosen else ((), (), ())
    return _choice(np.array(rows, np.intp), np.array(propensities), names)


def drawn_at_once(
    table: Candidates, doors: Doors, mixture: Mixture, repetition: Repetition, luck: Doubles
) -> Choice:
    """The same under repetition, of which nobody need ask what a row costs: all slots in one go."""
    penalties, limits = repetition.penalties, (doors.limited_from, doors.most_limited)
    rows, propensities, parts = _draw_all(
        standardised(table["value"]),
        doors.left,
        doors.limited,
        limits,
        mixture.shares,
        mixture.members,
        mixture.temperature,
        luck,
        repetition.topics,
        repetition.creators,
        penalties,
    )
    return _choice(rows, propensities, [mixture.names[part] for part in parts.tolist()])


@compiled_for(
    types.Tuple((I8[::1], F8[::1], I8[::1]))(
        *(F8[::1], B1[::1], B1[::1], types.UniTuple(I8, 2), F8[::1], B1[:, ::1]),
        *(F8, F8[:, ::1], IDS, IDS, types.UniTuple(F8, 2)),
    )
)
def _draw_all(
    worth: Doubles,
    left: Mask,
    limited: Mask,
    limits: tuple[int, int],
    shares: Doubles,
    members: Mask,
    temperature: float,
    luck: Doubles,
    topics: Ids,
    creators: Ids,
    penalties: tuple[float, float],
) -> tuple[Ids, Doubles, Ids]:
    """Row, propensity and part of every slot, as far as a row is open."""
    slots, shown = len(luck), 0
    rows, propensities, parts = np.empty(slots, np.int64), np.empty(slots), np.empty(slots, np.int64)
    for slot in range(slots):
        opened = left if slot >= limits[0] and shown < limits[1] else left & ~limited
        row, propensity, part = draw(
            worth, opened, shares, members, temperature, luck[slot, 0], luck[slot, 1]
        )
        if row < 0:
            return rows[:slot], propensities[:slot], parts[:slot]
        rows[slot], propensities[slot], parts[slot] = row, propensity, part
        left[row] = False
        shown += limited[row]
        worth -= repeated(topics, creators, row, penalties[0], penalties[1])
    return rows, propensities, parts


@compiled_for(types.float64[::1](types.Array(types.float64, 1, "A", readonly=True)))
def standardised(values: Doubles) -> Doubles:
    """Values in standard deviations from their mean, so a temperature means the same for every release.

    Unknown (NaN) becomes -inf: it sorts last.
    """
    known, worth = values[~np.isnan(values)], np.full(len(values), -np.inf)
    if len(known):
        mean = pairwise_sum(known) / len(known)
        spread = math.sqrt(pairwise_sum((known - mean) ** 2) / len(known)) or 1.0
        for row in range(len(values)):
            if not math.isnan(values[row]):
                worth[row] = (values[row] - mean) / spread
    return worth


def _choice(rows: Rows, propensities: Doubles, names: Sequence[str]) -> Choice:
    explored = np.array([name == UNIFORM for name in names], np.bool_)
    return Choice(rows, propensities, explored, tuple(names))
