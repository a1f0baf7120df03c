"""Of each key's rows the newest at a moment: rows lie key after key, and every question is one search.

Law: a row may answer from when it was known until a newer event of its key is known, and never when its event
is more than TTL older than the question. Equal events: the last created, then the last written.

A counting sort brings the keys together, and each key's few rows are sorted only where they are not in order;
a question then looks at log2(rows of its key) of them. So questions may come in any order and number.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])

NOTHING = -1
"""The number of a key without rows, and of the row that such a key finds."""

THREADS = os.cpu_count() or 1
WORTH_A_THREAD = 100_000
"""Questions; fewer are searched for where they are."""


@dataclass(frozen=True)
class Timelines:
    """The rows of key k are `rows[starts[k]:starts[k + 1]]`, in the order in which they become answers."""

    starts: Ints
    rows: Ints  # which row of the source each is
    known_us: Ints
    event_us: Ints

    @classmethod
    def of(cls, keys: Ints, count: int, clocks: Sequence[Ints]) -> Timelines:
        """From each row's key, a number below `count`, and its clocks: when known, of when, when created.

        Rows are ordered by the first clock, then the next, then as they were written; a row that became known
        after a newer event of its key is left out.
        """
        starts, rows = np.zeros(count + 1, np.int64), np.empty(len(keys), np.int64)
        _by_key(keys, starts, rows)
        for clock in reversed(clocks):
            _sort_each(starts, rows, clock)
        known_us, event_us = clocks[0], clocks[min(1, len(clocks) - 1)]
        kept = _records(starts, rows, event_us)
        rows = rows[:kept]
        return cls(starts, rows, known_us[rows], event_us[rows])

    def newest(self, keys: Ints, moments_us: Ints, ttl_us: int) -> Ints:
        """int64[m]: the row that each (key, moment) finds, or NOTHING; a key may be NOTHING."""
        found = np.empty(len(keys), np.int64)

        def search(part: slice) -> None:
            asked = keys[part], moments_us[part], ttl_us
            _newest(self.starts, self.rows, self.known_us, self.event_us, *asked, found[part])

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(search, _parts(len(keys))))
        return found


def _parts(n: int) -> list[slice]:
    """The questions in as many pieces as are worth it."""
    pieces = min(THREADS, 1 + n // WORTH_A_THREAD)
    edges = [n * piece // pieces for piece in range(pieces + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(edges)]


def _compiled(function: Function) -> Function:
    """The same function as machine code, kept on disk; it lets other threads run meanwhile."""
    made: Function = njit(cache=True, nogil=True)(function)
    return made


@_compiled
def _by_key(keys: Ints, starts: Ints, rows: Ints) -> None:
    """Count the rows of each key, then put every row behind those of its key that came before it."""
    for key in keys:
        starts[key + 1] += 1
    for key in range(len(starts) - 1):
        starts[key + 1] += starts[key]
    ends = starts[:-1].copy()
    for row in range(len(keys)):
        rows[ends[keys[row]]] = row
        ends[keys[row]] += 1


@_compiled
def _sort_each(starts: Ints, rows: Ints, clock: Ints) -> None:
    """Each key's rows by one clock; equal ones stay as they were."""
    for key in range(len(starts) - 1):
        mine = rows[starts[key] : starts[key + 1]]
        for place in range(1, len(mine)):
            if clock[mine[place]] < clock[mine[place - 1]]:
                mine[:] = mine[np.argsort(clock[mine], kind="mergesort")]
                break


@_compiled
def _records(starts: Ints, rows: Ints, event_us: Ints) -> int:
    """Close the gaps that rows leave whose event is older than one before them; how many rows remain."""
    kept = 0
    for key in range(len(starts) - 1):
        first, starts[key] = starts[key], kept
        for place in range(first, starts[key + 1]):
            row = rows[place]
            if kept == starts[key] or event_us[row] >= event_us[rows[kept - 1]]:
                rows[kept] = row
                kept += 1
    starts[-1] = kept
    return kept


@_compiled
def _newest(
    starts: Ints,
    rows: Ints,
    known_us: Ints,
    event_us: Ints,
    keys: Ints,
    moments_us: Ints,
    ttl_us: int,
    found: Ints,
) -> None:
    """The last row of the key that was known at the moment, by halving; NOTHING if it is too old by then."""
    for question in range(len(keys)):
        found[question] = -1
        key, now_us = keys[question], moments_us[question]
        if key < 0:
            continue
        low, high = starts[key], starts[key + 1]
        while low < high:
            middle = (low + high) // 2
            if known_us[middle] <= now_us:
                low = middle + 1
            else:
                high = middle
        if low > starts[key] and now_us - event_us[low - 1] <= ttl_us:
            found[question] = rows[low - 1]
