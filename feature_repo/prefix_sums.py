"""What facts that are all known sum to, in a few reads per key, however many facts it has.

Law: the same as `windows.sums_now`, at any moment. Once the newest of the facts is known, a fact counts until
its window has left it: of a key's facts in order of event those that count are the last. The first of them is
searched for, and their sum is the difference of two running sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_repo.catalogue import View
from feature_repo.compiling import compiled
from feature_repo.facts import EVENTS, Amounts, Facts, Ints
from feature_repo.formulas import formula
from feature_repo.orders import ascending
from feature_repo.windows import Sums, count_now

NO_ROWS = np.zeros(0, np.int64)
EVERY = 16
"""Of so many running sums one is kept; the facts behind it are added one by one."""
WIDTH = len(EVENTS)
"""A constant where it is compiled, so that a fact's amounts are added at once."""


@dataclass(frozen=True)
class PrefixSums:
    """Facts of one view in order of (key, event): `starts[i]` is the first of the i-th key."""

    view: View
    known_us: int  # of the fact that was known last
    keys: Ints  # distinct, ascending
    starts: Ints  # one more for the end
    rows: NDArray[np.int32]  # where each is among the facts given
    event_us: Ints
    before: Ints  # int64[facts / EVERY + 1, EVENTS]: the sum of all facts before each of those
    heard_us: Ints  # by key: from when the last known of its facts that ever count may count

    @classmethod
    def of(cls, facts: Facts, view: View, rows: Ints, keys: Ints) -> PrefixSums:
        """Of these rows, in order of event, all of which count in the view; and their keys."""
        order = ascending(keys)
        keys, ordered, known_us = keys[order], rows[order].astype(np.int32), facts.known_for(view)
        starts = np.flatnonzero(np.diff(keys, prepend=-2, append=-1))
        before = np.zeros((len(rows) // EVERY + 1, WIDTH), np.int64)
        _sum(ordered, facts.amounts, before)
        event_us, known_us, heard_us = facts.event_us[ordered], known_us[ordered], np.zeros_like(starts[1:])
        _hear(ordered, event_us, known_us, starts, facts.amounts, *formula(view.name).asked, heard_us)
        newest_us = int(known_us.max(initial=0))
        return cls(view, newest_us, keys[starts[:-1]], starts, ordered, event_us, before, heard_us)

    def rows_of(self, keys: Ints) -> tuple[Ints, Ints]:
        """The facts of each key, and where those of each begin."""
        code = np.searchsorted(self.keys, (keys, keys + 1))
        parts = [self.rows[first:end] for first, end in self.starts[code].T]
        return np.concatenate([NO_ROWS, *parts]), np.cumsum([0, *map(len, parts)])

    def count(self, found: Sums, facts: Facts, keys: Ints, now_us: int) -> None:
        """Add what the facts of each key sum to at a moment; `facts` are those given, or more."""
        if not len(self.rows):
            return
        if now_us <= self.known_us:  # not all are known yet
            count_now(found, facts, self.view, *self.rows_of(keys), now_us)
            return
        _count(keys, now_us, self.keys, self.starts, self.rows, self.event_us, self.before, self.heard_us,
               facts.known_for(self.view), facts.amounts, *formula(self.view.name).asked, *found)  # fmt: skip


@compiled
def _counts(
    amounts: Amounts, fact: int, known_us: int, event_us: int, window: int, window_us: int, wanted: Ints
) -> bool:
    """Whether a fact, known since then, is in a sum of this window at some moment."""
    if known_us >= event_us + window_us:
        return False
    for pair in range(len(wanted)):  # noqa: SIM110
        if wanted[pair, 0] == window and amounts[fact, wanted[pair, 1]]:
            return True
    return False


@compiled
def _sum(rows: NDArray[np.int32], amounts: Amounts, before: Ints) -> None:
    """The running sums that are kept."""
    so_far = np.zeros(WIDTH, np.int64)
    for place in range(len(rows)):
        for event in range(WIDTH):
            so_far[event] += amounts[rows[place], event]
        if (place + 1) % EVERY == 0:
            for event in range(WIDTH):
                before[(place + 1) // EVERY, event] = so_far[event]


@compiled
def _hear(
    rows: NDArray[np.int32],
    event_us: Ints,
    known_us: Ints,
    starts: Ints,
    amounts: Amounts,
    windows: Ints,
    wanted: Ints,
    heard_us: Ints,
) -> None:
    """From when the facts of each key may count: the newest come first, so that few are known later."""
    for code in range(len(heard_us)):
        for place in range(starts[code + 1] - 1, starts[code] - 1, -1):
            fact, known, event = rows[place], known_us[place], event_us[place]
            if known < heard_us[code]:
                continue
            for window in range(len(windows)):
                if _counts(amounts, fact, known, event, window, windows[window], wanted):
                    heard_us[code] = known + 1
                    break


@compiled
def _before(place: int, event: int, before: Ints, rows: NDArray[np.int32], amounts: Amounts) -> int:
    """The running sum of one event up to a place."""
    found: int = before[place // EVERY, event]
    for each in range(place - place % EVERY, place):
        found += amounts[rows[each], event]
    return found


@compiled
def _count(
    asked: Ints,
    now_us: int,
    keys: Ints,
    starts: Ints,
    rows: NDArray[np.int32],
    event_us: Ints,
    before: Ints,
    heard_us: Ints,
    known_us: Ints,
    amounts: Amounts,
    windows: Ints,
    wanted: Ints,
    sums: Ints,
    since_us: Ints,
    until_us: Ints,
) -> None:
    """For each key and window, the shortest first: from the first fact still inside on, facts are summed; the
    last that left may be the last change, the first inside will be the next. Windows look no further back or
    ahead than the change that is known by then.
    """
    for n in range(len(asked)):
        code = np.searchsorted(keys, asked[n])
        if code == len(keys) or keys[code] != asked[n]:
            continue
        start, end = starts[code], starts[code + 1]
        since, until, inside = max(since_us[n], heard_us[code]), until_us[n], end
        for window in range(len(windows)):
            window_us = windows[window]
            inside = start + np.searchsorted(event_us[start:inside], now_us - window_us)
            for pair in range(len(wanted)):
                if wanted[pair, 0] == window:
                    event = wanted[pair, 1]
                    sums[n, pair] += _before(end, event, before, rows, amounts)
                    sums[n, pair] -= _before(inside, event, before, rows, amounts)
            place = inside - 1
            while place >= start and event_us[place] + window_us + 1 > since:
                fact = rows[place]
                if _counts(amounts, fact, known_us[fact], event_us[place], window, window_us, wanted):
                    since = event_us[place] + window_us + 1
                place -= 1
            place = inside
            while place < end and event_us[place] + window_us + 1 < until:
                fact = rows[place]
                if _counts(amounts, fact, known_us[fact], event_us[place], window, window_us, wanted):
                    until = event_us[place] + window_us + 1
                place += 1
        since_us[n], until_us[n] = since, until
