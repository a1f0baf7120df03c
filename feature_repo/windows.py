"""Sums over sliding windows at every moment of a grid, exactly and in one pass.

Law: at snapshot s a fact counts iff known_time < s and event_time >= s - window. So a fact enters at the
first snapshot after it was known and leaves at the first whose window starts after it happened: +amount here,
-amount there, and a running sum over the grid. Amounts are whole numbers, so nothing is left behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import HOUR_US

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Facts:
    """What is summed: whose it is (a dense code), when it happened, when it was known, how much it is."""

    codes: Ints
    event_us: Ints
    known_us: Ints
    amounts: Ints

    @classmethod
    def sorted(cls, codes: Ints, event_us: Ints, known_us: Ints, amounts: Ints) -> Facts:
        """In order of code, so that a range of codes is a slice."""
        order = np.argsort(codes, kind="stable")
        return cls(codes[order], event_us[order], known_us[order], amounts[order])

    def between(self, low: int, high: int) -> Facts:
        """Facts of codes in [low, high), renumbered from 0."""
        mine = slice(*np.searchsorted(self.codes, (low, high)))
        return Facts(self.codes[mine] - low, self.event_us[mine], self.known_us[mine], self.amounts[mine])


def grid(start_us: int, until_us: int, every_us: int, extra: tuple[int, ...] = ()) -> Ints:
    """Multiples of `every` after start and before until, the extra moments among them, and until itself."""
    if every_us % HOUR_US:
        raise ValueError(f"snapshots every {every_us} us, must be whole hours: other clocks rely on it.")
    aligned = np.arange((start_us // every_us + 1) * every_us, until_us, every_us, dtype=np.int64)
    kept = [moment for moment in extra if start_us < moment < until_us]
    return np.unique(np.concatenate([aligned, np.asarray([*kept, until_us], np.int64)]))


def window_sums(facts: Facts, moments: Ints, window_us: int, entities: int) -> Ints:
    """[entities, moments] sums of amounts; see the law above."""
    enters = np.searchsorted(moments, facts.known_us, side="right")
    leaves = np.searchsorted(moments, facts.event_us + window_us, side="right")
    counts = enters < leaves
    steps = len(moments) + 1
    changes = np.zeros(entities * steps, np.int64)
    row = facts.codes[counts] * steps
    np.add.at(changes, row + enters[counts], facts.amounts[counts])
    np.subtract.at(changes, row + leaves[counts], facts.amounts[counts])
    return changes.reshape(entities, steps)[:, :-1].cumsum(axis=1)
