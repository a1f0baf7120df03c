"""Windowed features event by event: `update` with what was just known, `value` at any moment.

Law: `value` at t is the step the offline store holds at t, if both know the same facts; tests hold the two
together with late events, ties and boundaries. What the log knew is one table, laid out by key for each view;
what came since is appended to it, counted one by one, and laid out in its turn when there is much of it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import fields, replace
from functools import partial
from itertools import accumulate, chain
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import STATS, View
from feature_repo.facts import (
    NOBODY,
    Columns,
    Facts,
    Ints,
    Known,
    Makers,
    columns_of,
    counted_facts,
    facts_of,
)
from feature_repo.formulas import Floats, formula
from feature_repo.log import EventLog
from feature_repo.orders import ascending
from feature_repo.prefix_sums import NO_ROWS, PrefixSums
from feature_repo.windows import count_now, counted_keys, nothing_counted

ROOM = 1 << 21
"""Facts there is room for behind the log's: the system gives memory only for those that are written."""
MUCH, SHARE = 1 << 14, 16
"""Facts are laid out when so many were added, and a share of those laid out since the log: one in sixteen."""
_WINDOWS = tuple(sorted({window for view in STATS for window in view.windows_us}))


class Steps(NamedTuple):
    """Values of some keys of a view, f32[n, features] in its order, and since and until when they hold."""

    keys: Ints  # as Facts.keys_for makes them
    values: Floats
    since_us: Ints
    until_us: Ints


class FeatureStream:
    """Every windowed feature of every entity, kept up to date; safe to share between threads."""

    def __init__(self, facts: Facts, known: Known, told_us: int) -> None:
        self._known, self._facts = known, _Growing(facts)
        self._facts.make_room()  # now, or the first event would wait for it
        facts = self._facts.part
        by_event = ascending(facts.event_us)
        with ThreadPoolExecutor(2) as pool:  # sorting lets another thread sort meanwhile
            indexes = pool.map(partial(_Index, facts, by_event), STATS)
            self._indexes = {view.name: index for view, index in zip(STATS, indexes, strict=True)}
        self._logged = self._told = self._laid_out = len(facts)
        self._by_event = ((0, by_event), (len(facts), by_event[:0]))
        """The log's facts and those laid out since: the row of the first, and their order."""
        self._revised = np.flatnonzero(facts.made_known_us >= told_us)  # the log heard of them since
        self._told_us = told_us
        self._lock = threading.RLock()

    @classmethod
    def from_log(cls, log: EventLog, known_before_us: int, told_us: int) -> FeatureStream:
        """What the log knew before a moment; `changed` tells what changed after `told`."""
        known = Known.of(log, known_before_us)
        return cls(counted_facts(log, known_before_us, known), known, told_us)

    def fork(self) -> FeatureStream:
        """Another stream that knows the same; from now on neither hears what the other does."""
        with self._lock:
            other = copy(self)
            other._lock, other._facts = threading.RLock(), self._facts.fork()
            other._indexes = {name: index.fork() for name, index in self._indexes.items()}
            shown, follows = self._known.shown.fork(), set(self._known.follows)
            other._known = replace(self._known, shown=shown, follows=follows)
            return other

    def update(self, events: Mapping[str, Columns]) -> Facts:
        """Count events that just became known, by kind, each event once; the facts they made."""
        with self._lock:
            if "served" in events:
                self._known.show(events["served"])
            if "uploaded" in events:
                self._learn(Makers.of(events["uploaded"]))
            found = _as_they_came(facts_of(events, self._known))
            if not len(found):
                return found
            first = self._facts.append(found)
            for view in STATS:
                self._indexes[view.name].add(counted_keys(found, view), range(first, first + len(found)))
            return found

    def catch_up(self, uploaded: pl.DataFrame) -> None:
        """Know videos that reached the log by another door; those known already are passed over."""
        known = self._known.makers.video_ids
        new = uploaded.filter(~pl.col("video_id").is_in(known.tolist()))
        if len(new):
            self.update({"uploaded": columns_of("uploaded", new)})

    def _learn(self, makers: Makers) -> None:
        """Who made these new videos: what was counted of them so far counts for their makers from now on."""
        self._known.makers = self._known.makers.with_those_of(makers)
        part = self._facts.part
        rows = np.flatnonzero(np.isin(part.video_id, makers.video_ids) & (part.creator_id < 0))
        part.creator_id[rows], part.topic[rows], made_us = makers.of_videos(part.video_id[rows])
        part.made_known_us[rows] = np.maximum(part.known_us[rows], made_us)
        revised = part.take(rows)
        for view in (view for view in STATS if view.per_maker):
            self._indexes[view.name].add(counted_keys(revised, view), rows.tolist())
        self._revised = np.concatenate([self._revised, rows])

    def value(self, view: View, keys: Sequence[int] | Ints, now_us: int) -> Steps:
        """The steps of some entities at a moment, in the order asked."""
        index, wanted = self._indexes[view.name], np.asarray(keys, np.int64)
        with self._lock:
            facts, parts, (rows, starts) = self._facts.part, index.laid_out, index.added(wanted)
        found = nothing_counted(view, len(wanted))  # from here on others may append
        for part in parts:
            part.count(found, facts, wanted, now_us)
        count_now(found, facts, view, rows, starts, now_us)
        return Steps(wanted, formula(view.name).values(found.sums), found.since_us, found.until_us)

    def knows_more(self, view: View, keys: Ints, since_us: Ints) -> NDArray[np.bool_]:
        """For which keys something became known after the log that a step as old as this cannot hold."""
        with self._lock:
            newest = [self._indexes[view.name].last_of(key) for key in keys.tolist()]
            known_us = self._facts.part.known_for(view)
            return np.array(
                [row >= 0 and known_us[row] >= since for row, since in zip(newest, since_us, strict=True)],
                np.bool_,
            )

    def changed(self, now_us: int) -> dict[str, Ints]:
        """By view, the keys of which something entered or left a window since this was last asked."""
        with self._lock:
            end = self._first_since(now_us)
            entered = np.concatenate([np.arange(self._told, end), self._revised])
            left = {window: self._left(window, self._told_us, now_us) for window in _WINDOWS}
            self._told, self._told_us, self._revised = end, max(now_us, self._told_us), entered[:0]
            moved = {v.name: np.concatenate([entered, *(left[w] for w in v.windows_us)]) for v in STATS}
            return {view.name: keys_of(self._facts.part.take(moved[view.name]), view) for view in STATS}

    def pass_over(self, upto_us: int) -> None:
        """`changed` tells no more of what changed before this moment; what we learnt late it does."""
        with self._lock:
            self._told, self._told_us = self._first_since(upto_us), max(self._told_us, upto_us)

    def lay_out(self, much: int = MUCH) -> None:
        """Lay out by key what was added, if it is much. Called by one thread; people are served meanwhile."""
        with self._lock:
            facts, end = self._facts.part, self._facts.n
            if end - self._laid_out < max(much, (self._laid_out - self._logged) // SHARE):
                return
            for index in self._indexes.values():
                index.set_aside()
        by_event = ascending(facts.event_us[self._logged :])
        for index in self._indexes.values():
            made = index.made_of_all_since(facts)
            with self._lock:
                index.take(made)
        with self._lock:
            self._by_event, self._laid_out = (self._by_event[0], (self._logged, by_event)), end

    def _first_since(self, moment_us: int) -> int:
        """Of the facts not told of yet, the row of the first that was not known before this moment."""
        return self._told + int(np.searchsorted(self._facts.part.known_us[self._told :], moment_us))

    def _left(self, window_us: int, after_us: int, upto_us: int) -> Ints:
        """Facts of which a window of this length is free from a moment in (after, upto] on."""
        low, high = after_us - window_us - 1, upto_us - window_us - 1
        event_us, parts = self._facts.part.event_us, list[Ints]()
        for first, order in self._by_event:
            some = event_us[first : first + len(order)]
            gone, upto = np.searchsorted(some, (low, high), side="right", sorter=order)
            parts.append(order[gone:upto] + first)
        new = event_us[self._laid_out :]
        parts.append(np.flatnonzero((new > low) & (new <= high)) + self._laid_out)
        return np.concatenate(parts)


def keys_of(facts: Facts, view: View) -> Ints:
    """The distinct keys of the view that these facts count for, ascending."""
    keys = counted_keys(facts, view)
    return np.unique(keys[keys != NOBODY])


def _as_they_came(facts: Facts) -> Facts:
    """By when they became known: the last of a key is then the newest, whatever kinds came together."""
    if bool(np.all(facts.known_us[1:] >= facts.known_us[:-1])):
        return facts
    return facts.take(np.argsort(facts.known_us, kind="stable"))


class _Growing:
    """Facts that are appended to, with room to spare; `part` is what is there so far."""

    def __init__(self, facts: Facts) -> None:
        self._all = self.part = facts
        self._first = self.n = len(facts)

    def fork(self) -> _Growing:
        """What is told of an upload is written where it is: each has its own."""
        part = self.part
        own = {name: getattr(part, name).copy() for name in ("creator_id", "topic", "made_known_us")}
        return _Growing(replace(part, **own))

    def make_room(self, facts: int = ROOM) -> None:
        """For so many behind the log's, and at least ROOM."""
        self._all = _with_room(self.part, self._first + max(ROOM, facts))
        self.part = self._all.take(slice(0, self.n))

    def append(self, more: Facts) -> int:
        """Add facts; the row of the first of them."""
        first, end = self.n, self.n + len(more)
        if end > len(self._all):
            self.make_room(2 * (end - self._first))
        for each in fields(Facts):
            getattr(self._all, each.name)[first:end] = getattr(more, each.name)
        self.n, self.part = end, self._all.take(slice(0, end))
        return first


def _with_room(facts: Facts, rows: int) -> Facts:
    def roomy(name: str) -> Any:
        column = getattr(facts, name)
        wide = np.zeros((rows, *column.shape[1:]), column.dtype)
        wide[: len(column)] = column
        return wide

    return Facts(*(roomy(each.name) for each in fields(Facts)))


class _Index:
    """Which rows of the facts count for a key of one view: those of the log and much of what came since laid
    out by key, lists for what was added after that.
    """

    def __init__(self, facts: Facts, by_event: Ints, view: View) -> None:
        keys = counted_keys(facts, view)[by_event]
        kept = np.flatnonzero(keys != NOBODY)
        logged = PrefixSums.of(facts, view, by_event[kept], keys[kept])
        self.laid_out = (logged, PrefixSums.of(facts, view, NO_ROWS, NO_ROWS))
        self._view = view
        self._aside: dict[int, list[int]] = {}
        """Being laid out."""
        self._added: dict[int, list[int]] = {}
        self._last: dict[int, int] = {}

    def fork(self) -> _Index:
        other = copy(self)
        keys = (*self._aside, *self._added)
        other._added, other._last = {key: [*self._added_of(key)] for key in keys}, dict(self._last)
        other._aside = {}
        return other

    def add(self, keys: Ints, rows: Sequence[int]) -> None:
        """Facts with these counted keys, at these rows."""
        for key, row in zip(keys.tolist(), rows, strict=True):
            if key != NOBODY:
                self._added.setdefault(key, []).append(row)
                self._last[key] = row

    def last_of(self, key: int) -> int:
        """The last row that was added for a key since the log; -1 if none was."""
        return self._last.get(key, -1)

    def added(self, keys: Ints) -> tuple[Ints, Ints]:
        """The rows of each key that are not laid out, and where those of each begin."""
        parts = [self._added_of(key) for key in keys.tolist()]
        return np.array([*chain(*parts)], np.int64), np.array([0, *accumulate(map(len, parts))])

    def set_aside(self) -> None:
        """What was added until now is to be laid out, and nothing after it; the last time's first, if that
        failed.
        """
        if not self._aside:
            self._aside, self._added = self._added, {}

    def made_of_all_since(self, facts: Facts) -> PrefixSums:
        """What was laid out since the log, and what was set aside."""
        before = self.laid_out[1]
        keys = np.array([key for key, rows in self._aside.items() for _ in rows], np.int64)
        keys = np.concatenate([before.keys.repeat(np.diff(before.starts)), keys])
        rows = np.concatenate([before.rows, np.array([*chain(*self._aside.values())], np.int64)])
        order = ascending(facts.event_us[rows])
        return PrefixSums.of(facts, self._view, rows[order], keys[order])

    def take(self, since: PrefixSums) -> None:
        """Count by this from now on."""
        self.laid_out, self._aside = (self.laid_out[0], since), {}

    def _added_of(self, key: int) -> Sequence[int]:
        aside, added = self._aside.get(key, ()), self._added.get(key, ())
        return [*aside, *added] if aside else added
