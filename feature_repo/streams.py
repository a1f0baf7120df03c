"""Windowed features event by event: `update` with what was just known, `value` at any moment.

Law: `value` at t is the step the offline store holds at t, if both know the same facts; tests hold the two
together with late events, ties and boundaries. What the log knew is one table with an index per view, what
came since is appended to it, and a value is counted from the facts of its own key alone.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import STATS, View
from feature_repo.facts import Columns, Facts, Ints, Known, Makers, columns_of, counted_facts, facts_of
from feature_repo.log import EventLog
from feature_repo.orders import ascending
from feature_repo.windows import Floats, counts_in, formula, sums_now

ROOM = 1 << 21
"""Facts there is room for behind the log's: the system gives memory only for those that are written."""
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
        with ThreadPoolExecutor(2) as pool:  # sorting lets another thread sort meanwhile
            indexes = pool.map(partial(_Index, facts), STATS)
            self._indexes = {view.name: index for view, index in zip(STATS, indexes, strict=True)}
        self._by_event = np.argsort(facts.event_us, kind="stable")
        self._logged = self._told = len(facts)
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
            shown, follows = dict(self._known.shown_since), set(self._known.follows)
            other._known = replace(self._known, shown_since=shown, follows=follows)
            return other

    def update(self, events: Mapping[str, Columns]) -> Facts:
        """Count events that just became known, by kind, each event once; the facts they made."""
        with self._lock:
            if "served" in events:
                self._known.show(events["served"])
            if "uploaded" in events:
                self._learn(Makers.of(events["uploaded"]))
            found = facts_of(events, self._known)
            if not len(found):
                return found
            first = self._facts.append(found)
            for view in STATS:
                self._indexes[view.name].add(found.keys_for(view), counts_in(found, view), first)
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
            self._indexes[view.name].add(revised.keys_for(view), counts_in(revised, view), rows)
        self._revised = np.concatenate([self._revised, rows])

    def value(self, view: View, keys: Sequence[int] | Ints, now_us: int) -> Steps:
        """The steps of some entities at a moment, in the order asked."""
        index, wanted = self._indexes[view.name], np.asarray(keys, np.int64)
        with self._lock:
            facts, parts = self._facts.part, [index.rows_of(key) for key in wanted.tolist()]
        starts = np.cumsum([0, *map(len, parts)])
        rows = np.concatenate([np.zeros(0, np.int64), *parts])
        sums, since_us, until_us = sums_now(facts, view, rows, starts, now_us)  # others may append meanwhile
        return Steps(wanted, formula(view.name).values(sums), since_us, until_us)

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
            end = self._told + int(np.searchsorted(self._facts.part.known_us[self._told :], now_us))
            entered = np.concatenate([np.arange(self._told, end), self._revised])
            left = {window: self._left(window, self._told_us, now_us) for window in _WINDOWS}
            self._told, self._told_us, self._revised = end, max(now_us, self._told_us), entered[:0]
            moved = {v.name: np.concatenate([entered, *(left[w] for w in v.windows_us)]) for v in STATS}
            return {view.name: keys_of(self._facts.part.take(moved[view.name]), view) for view in STATS}

    def _left(self, window_us: int, after_us: int, upto_us: int) -> Ints:
        """Facts of which a window of this length is free from a moment in (after, upto] on."""
        low, high = after_us - window_us - 1, upto_us - window_us - 1
        event_us = self._facts.part.event_us
        logged, since = event_us[: self._logged], event_us[self._logged :]
        first, end = np.searchsorted(logged, (low, high), side="right", sorter=self._by_event)
        new = np.flatnonzero((since > low) & (since <= high)) + self._logged
        return np.concatenate([self._by_event[first:end], new])


def keys_of(facts: Facts, view: View) -> Ints:
    """The distinct keys of the view that these facts count for, ascending."""
    return np.unique(facts.keys_for(view)[counts_in(facts, view)])


class _Growing:
    """Facts that are appended to, with room to spare; `part` is what is there so far."""

    def __init__(self, facts: Facts) -> None:
        self._all = self.part = facts
        self._first = self.n = len(facts)

    def fork(self) -> _Growing:
        return _Growing(self.part)

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
    """Which rows of the facts count for a key of one view: an array for the log's, lists for those since."""

    def __init__(self, facts: Facts, view: View) -> None:
        kept = np.flatnonzero(counts_in(facts, view))
        keys = facts.keys_for(view)[kept]
        order = ascending(keys)
        self._keys, self._rows = keys[order], kept[order].astype(np.int32)
        self._since: dict[int, list[int]] = {}

    def fork(self) -> _Index:
        other = copy(self)
        other._since = {key: list(rows) for key, rows in self._since.items()}
        return other

    def add(self, keys: Ints, counted: NDArray[np.bool_], rows: Ints | int) -> None:
        """Facts of these keys, at these rows or from this row on; only those that count are kept."""
        places = np.flatnonzero(counted)
        where = places + rows if isinstance(rows, int) else rows[places]
        for key, row in zip(keys[places].tolist(), where.tolist(), strict=True):
            self._since.setdefault(key, []).append(row)

    def last_of(self, key: int) -> int:
        """The last row that was added for a key; -1 if none was."""
        since = self._since.get(key)
        return since[-1] if since else -1

    def rows_of(self, key: int) -> Ints:
        first, end = np.searchsorted(self._keys, (key, key + 1))
        logged, since = self._rows[first:end], self._since.get(key)
        return np.asarray(logged if since is None else np.concatenate([logged, since]), np.int64)
