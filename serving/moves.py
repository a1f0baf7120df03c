"""How a slate came about, slot by slot: told again from what was chosen, when somebody asks.

A slot's worth is value in standard deviations; what the items above cost is taken from it, and the slot is
drawn from what is left. Nothing of this is kept on a request: the values and the choice are enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.candidates import Candidates, Mask
from serving.diversities import Diversity, Likeness, Repetition, Volume, directions
from serving.index import VideoIndex
from serving.policies import Policy
from serving.slots import Doors, standardised
from serving.verbs import Choice

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Move:
    """One slot. Worths are in standard deviations of the candidates' values, NaN where a value is unknown."""

    worth: float
    paid: float
    """What the items above cost it: its worth less `paid` is what it was drawn with."""
    rank: int
    """How many rows that were open had more left; 0 is the greedy choice."""
    runner_up: int | None
    """Row of the best of the others that were open; None if there was no other."""
    runner_up_left: float
    """What the runner-up had left."""
    drawn_from: str


def moves(policy: Policy, index: VideoIndex, table: Candidates, choice: Choice) -> tuple[Move, ...]:
    """Of every slot, top first; `table` has value, topic, creator_id and catalog_row."""
    return tuple(_told(policy, diversity_of(policy, index, table, len(choice.rows)), table, choice))


def diversity_of(policy: Policy, index: VideoIndex, table: Candidates, slots: int) -> Diversity:
    """What the policy's selector takes for earlier items, before it heard of any."""
    if policy.selector == "decay":
        return Repetition(table, policy)
    mine = directions(index.vectors[table["catalog_row"]])
    return (
        Likeness(mine, policy.mmr_penalty)
        if policy.selector == "mmr"
        else Volume(mine, policy.dpp_weight, slots)
    )


def _told(policy: Policy, diversity: Diversity, table: Candidates, choice: Choice) -> Iterator[Move]:
    worth, doors = standardised(table["value"]), Doors(table, policy)
    left = worth.copy()
    for slot, row in enumerate(choice.rows.tolist()):
        drawn_from = choice.drawn_from[slot] if choice.drawn_from else ""
        yield _move(worth, left, doors.opened(slot), row, drawn_from)
        doors.close(row)
        left = left - diversity.cost(row)


def _move(worth: Doubles, left: Doubles, opened: Mask, row: int, drawn_from: str) -> Move:
    others = np.flatnonzero(opened & (np.arange(len(left)) != row))
    runner_up = int(others[np.argmax(left[others])]) if len(others) else None
    return Move(
        worth=_finite(worth[row]),
        paid=_finite(worth[row]) - _finite(left[row]),
        rank=int((left[others] > left[row]).sum()),
        runner_up=runner_up,
        runner_up_left=_finite(left[runner_up]) if runner_up is not None else float("nan"),
        drawn_from=drawn_from,
    )


def _finite(number: float) -> float:
    return float(number) if np.isfinite(number) else float("nan")
