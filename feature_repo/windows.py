"""Sums over sliding windows, exactly, at any moment: the definition, and the one-pass form for whole logs.

Law: at moment t a fact counts in a window iff known_us < t <= event_us + window. `sums_now` says that fact by
fact, for some entities at one moment, and is what serving runs. `sums_at`, `sums_before` and `step_moments`
answer the same for every entity in one pass: a fact enters after it was known and leaves after its window, so
a running sum moves forward with two pointers. Amounts are whole numbers, so what leaves cancels what entered
and nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from feature_repo.catalogue import View
from feature_repo.clock import NEVER_US
from feature_repo.compiling import compiled, compiled_for
from feature_repo.facts import KEY_SPAN, NOBODY, Amounts, Facts
from feature_repo.formulas import formula
from feature_repo.orders import in_order, numbered

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Keyed:
    """Facts of one view in order of (key, known_us): `codes[i]` is the place of its key in `keys`."""

    keys: Ints  # distinct, ascending
    codes: Ints
    rows: Ints  # where each is in `amounts`, and was among the facts given
    event_us: Ints
    known_us: Ints
    amounts: Amounts

    @classmethod
    def of(cls, facts: Facts, view: View) -> Keyed:
        """Facts that have the view's keys and count for one of its events; one that no window ever counts is
        left out.
        """
        ever = facts.known_for(view) < facts.event_us + max(view.windows_us)
        return cls.among(facts, view, np.flatnonzero(ever & counts_in(facts, view)))

    @classmethod
    def among(cls, facts: Facts, view: View, rows: Ints) -> Keyed:
        """The facts of these rows, all of which have the view's keys."""
        distinct, codes = numbered(facts.keys_for(view)[rows])
        known_us = facts.known_for(view)
        order = in_order(codes, known_us[rows], len(distinct))
        rows = rows[order]
        return cls(distinct, codes[order], rows, facts.event_us[rows], known_us[rows], facts.amounts)

    @cached_property
    def by_event(self) -> Ints:
        """The rows in order of (key, event_us)."""
        return in_order(self.codes, self.event_us, len(self.keys))

    @cached_property
    def starts(self) -> Ints:
        """Where each key's rows begin; one more for the end."""
        return np.searchsorted(self.codes, np.arange(len(self.keys) + 1))


def counted_keys(facts: Facts, view: View) -> Ints:
    """The view's key of each fact; NOBODY where it has none, or counts for none of the view's events."""
    columns = [getattr(facts, key) for key in view.keys]
    found = np.empty(len(facts), np.int64)
    _counted_keys(columns[0], columns[-1], facts.amounts, formula(view.name).events,
                  KEY_SPAN if len(columns) == 2 else 0, found)  # fmt: skip
    return found


def counts_in(facts: Facts, view: View) -> NDArray[np.bool_]:
    """Which facts have the view's keys and count for one of its events."""
    return np.asarray(counted_keys(facts, view) != NOBODY)


class Sums(NamedTuple):
    """What some entities' facts sum to, int64[n, pairs] for the view's formula; since when each is what it
    is, and until when if nothing new is heard of.
    """

    sums: Ints
    since_us: Ints
    until_us: Ints


def nothing_counted(view: View, n: int) -> Sums:
    """The sums of n entities before any fact: of all time so far, and for ever."""
    found = np.zeros((n, len(formula(view.name).wanted)), np.int64)
    return Sums(found, np.zeros(n, np.int64), np.full(n, NEVER_US, np.int64))


def count_now(found: Sums, facts: Facts, view: View, rows: Ints, starts: Ints, now_us: int) -> None:
    """Add facts to sums as of a moment; `rows[starts[i]:starts[i + 1]]` are those of the i-th entity."""
    windows, wanted = formula(view.name).asked
    _count_now(facts.event_us, facts.known_for(view), facts.amounts, rows, starts, now_us, windows, wanted,
               *found)  # fmt: skip


def sums_now(facts: Facts, view: View, rows: Ints, starts: Ints, now_us: int) -> Sums:
    """The same from nothing."""
    found = nothing_counted(view, len(starts) - 1)
    count_now(found, facts, view, rows, starts, now_us)
    return found


def sums_at(facts: Keyed, codes: Ints, moments_us: Ints, windows: Sequence[int], wanted: Ints) -> Ints:
    """int64[m, wanted]: the sum of each (window number, event number) at each asked (key code, moment).

    What is asked must be in order of (code, moment).
    """
    asked = np.searchsorted(codes, np.arange(len(facts.keys) + 1))
    found = np.zeros((len(codes), len(wanted)), np.int64)
    _ask(facts, asked, moments_us, np.arange(len(codes)), windows, wanted, found)
    return found


def sums_before(facts: Facts, view: View, windows: Sequence[int], wanted: Ints) -> Ints:
    """int64[n, wanted]: the sums of each fact's own key at its event, as if it asked at that moment.

    A fact without the view's keys has none. Facts in order of event are sorted no second time to ask.
    """
    keyed = Keyed.among(facts, view, np.flatnonzero(facts.keys_for(view) >= 0))
    found = np.zeros((len(facts), len(wanted)), np.int64)
    moments_us, rows = keyed.event_us[keyed.by_event], keyed.rows[keyed.by_event]
    _ask(keyed, keyed.starts, moments_us, rows, windows, wanted, found)
    return found


def _ask(
    facts: Keyed,
    asked: Ints,
    moments_us: Ints,
    places: Ints,
    windows: Sequence[int],
    wanted: Ints,
    found: Ints,
) -> None:
    """Answers to moments `asked[code]` to `asked[code + 1]` of each key, written where `places` says."""
    wide = np.asarray(windows, np.int64)
    events, columns = np.unique(wanted[:, 1], return_inverse=True)
    wanted = np.stack([wanted[:, 0], columns], axis=1)
    _sums_at(facts.starts, facts.event_us, facts.known_us, facts.amounts, facts.rows, facts.by_event, asked,
             moments_us, places, wide, events, wanted, found)  # fmt: skip


def step_moments(facts: Keyed, windows: Sequence[int], horizon_us: int) -> tuple[Ints, Ints]:
    """Every (key code, moment) at which some sum may change, up to a horizon, in order."""
    room = len(facts.codes) * (1 + len(windows))
    codes, moments = np.empty(room, np.int64), np.empty(room, np.int64)
    wide = np.asarray(windows, np.int64)
    n = _step_moments(facts.starts, facts.event_us, facts.known_us, facts.by_event, wide, horizon_us,
                      codes, moments)  # fmt: skip
    return codes[:n], moments[:n]


def changes(codes: Ints, sums: Ints) -> NDArray[np.bool_]:
    """Which moments (of whole keys, in order) have other sums than the one before: the steps."""
    found = np.empty(len(codes), np.bool_)
    _changes(codes, sums, found)
    return found


_COLUMN = types.Array(types.int64, 1, "A", readonly=True)
_TABLE = types.Array(types.int32, 2, "A", readonly=True)


@compiled_for(types.void(_COLUMN, _COLUMN, _TABLE, _COLUMN, types.int64, types.int64[::1]))
def _counted_keys(first: Ints, second: Ints, amounts: Amounts, events: Ints, span: int, found: Ints) -> None:
    """As Facts.keys_for makes them of two columns; of the first alone if the span is 0."""
    for row in range(len(found)):
        found[row] = NOBODY
        if first[row] < 0 or second[row] < 0:
            continue
        for event in events:
            if amounts[row, event]:
                found[row] = first[row] * span + second[row] if span else first[row]
                break


@compiled
def _changes(codes: Ints, sums: Ints, found: Mask) -> None:
    """Where a sum differs from that of the moment before; before a key's first, all sums are zero."""
    for row in range(len(codes)):
        is_first = row == 0 or codes[row] != codes[row - 1]
        found[row] = False
        for place in range(sums.shape[1]):
            before = 0 if is_first else sums[row - 1, place]
            if sums[row, place] != before:
                found[row] = True
                break


@compiled
def _count_now(
    event_us: Ints,
    known_us: Ints,
    amounts: Amounts,
    rows: Ints,
    starts: Ints,
    now_us: int,
    windows: Ints,
    wanted: Ints,
    sums: Ints,
    since_us: Ints,
    until_us: Ints,
) -> None:
    """The law, fact by fact: it counts from known + 1 until it leaves at event + window + 1. The newest come
    first: what left every window before the last change changes nothing any more.
    """
    longest = windows.max()
    for n in range(len(starts) - 1):
        since, until = since_us[n], until_us[n]
        for fact in rows[starts[n] : starts[n + 1]][::-1]:
            event = event_us[fact]
            if event + longest < since:
                continue
            enters = known_us[fact] + 1
            if enters > now_us:
                continue
            for place in range(len(wanted)):
                amount = amounts[fact, wanted[place, 1]]
                leaves = event + windows[wanted[place, 0]] + 1
                if amount == 0 or enters >= leaves:
                    continue
                if now_us < leaves:
                    sums[n, place] += amount
                    since, until = max(since, enters), min(until, leaves)
                else:
                    since = max(since, leaves)
        since_us[n], until_us[n] = since, until


@compiled
def _sums_at(
    starts: Ints,
    event_us: Ints,
    known_us: Ints,
    amounts: Amounts,
    rows: Ints,
    by_event: Ints,
    asked: Ints,
    moments_us: Ints,
    places: Ints,
    windows: Ints,
    events: Ints,
    wanted: Ints,
    found: Ints,
) -> None:
    """For each key that is asked: move forward through its moments, add what became known, take away what
    has left. Its amounts are brought together first, from wherever they are.
    """
    sums = np.zeros((len(windows), len(events)), np.int64)
    leaving = np.zeros(len(windows), np.int64)
    most = np.diff(starts).max() if len(starts) > 1 else 0
    mine = np.empty((most, len(events)), amounts.dtype)
    for code in range(len(starts) - 1):
        first, end = starts[code], starts[code + 1]
        if asked[code] == asked[code + 1]:
            continue
        for fact in range(first, end):
            for e in range(len(events)):
                mine[fact - first, e] = amounts[rows[fact], events[e]]
        entering = first
        leaving[:] = first
        sums[:] = 0
        for ask in range(asked[code], asked[code + 1]):
            now_us = moments_us[ask]
            while entering < end and known_us[entering] < now_us:
                for w in range(len(windows)):
                    if known_us[entering] < event_us[entering] + windows[w]:
                        for e in range(len(events)):
                            sums[w, e] += mine[entering - first, e]
                entering += 1
            for w in range(len(windows)):
                while leaving[w] < end and event_us[by_event[leaving[w]]] + windows[w] < now_us:
                    fact = by_event[leaving[w]]
                    if known_us[fact] < event_us[fact] + windows[w]:
                        for e in range(len(events)):
                            sums[w, e] -= mine[fact - first, e]
                    leaving[w] += 1
            answer = found[places[ask]]
            for pair in range(len(wanted)):
                answer[pair] = sums[wanted[pair, 0], wanted[pair, 1]]


@compiled
def _step_moments(
    starts: Ints,
    event_us: Ints,
    known_us: Ints,
    by_event: Ints,
    windows: Ints,
    horizon_us: int,
    codes: Ints,
    moments: Ints,
) -> int:
    """For each key: the next fact to enter or to leave, whichever comes first, each moment once."""
    n = 0
    leaving = np.zeros(len(windows), np.int64)
    for code in range(len(starts) - 1):
        end, entering = starts[code + 1], starts[code]
        leaving[:] = starts[code]
        last = horizon_us + 1
        while True:
            moment = last
            if entering < end:
                moment = min(moment, known_us[entering] + 1)
            for w in range(len(windows)):
                while leaving[w] < end:
                    fact = by_event[leaving[w]]
                    if known_us[fact] < event_us[fact] + windows[w]:
                        moment = min(moment, event_us[fact] + windows[w] + 1)
                        break
                    leaving[w] += 1
            if moment == last:
                break
            codes[n], moments[n] = code, moment
            n += 1
            while entering < end and known_us[entering] + 1 == moment:
                entering += 1
            for w in range(len(windows)):
                while leaving[w] < end and event_us[by_event[leaving[w]]] + windows[w] + 1 <= moment:
                    leaving[w] += 1
    return n
