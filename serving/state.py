"""What the server remembers of people: histories, what they saw, whom they follow, what they want no more of.

Built from the log and the journal when the server starts, and updated by every event the moment it is
acknowledged, so that what a person just watched changes their next feed. Windowed features are not kept
here.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from feature_repo.histories import Told, WatchHistory
from feature_repo.log import EventLog
from feature_repo.orders import paired
from feature_repo.videos import VideoCatalog
from serving.candidates import NO_IDS, Ids, Query

HIDES_THAT_BLOCK = 2
"""Hiding one video hides that video; hiding two of a creator hides the creator. A report counts as two."""
OBJECTIONS = {"hide": 1, "report": HIDES_THAT_BLOCK}

HISTORY_COLUMNS = (
    "user_id",
    "video_id",
    "watched_ms",
    "duration_ms",
    "impression_id",
    "event_time",
    "known_time",
)


class PeopleState:
    """Safe to share between threads; a query is a copy that later events do not change."""

    def __init__(self, catalog: VideoCatalog) -> None:
        self._lock = threading.Lock()
        self._catalog = catalog
        self._history = WatchHistory()
        self._logged = _Grouped(NO_IDS, NO_IDS)
        self._seen: dict[int, set[int]] = defaultdict(set)
        self._follows: dict[int, set[int]] = defaultdict(set)
        self._objections: dict[int, dict[int, int]] = defaultdict(dict)
        """By person: the videos they hid or reported, and how much each counts against its creator."""

    @classmethod
    def from_log(cls, log: EventLog, catalog: VideoCatalog, known_before_us: int) -> PeopleState:
        """Everything the log knew at a moment."""
        state = cls(catalog)
        watched = log.read("watched", known_before_us=known_before_us, columns=HISTORY_COLUMNS)
        state._history.extend(watched)
        state._logged = _Grouped.of(watched)
        followed = log.read("followed", known_before_us=known_before_us, columns=["user_id", "creator_id"])
        for user_id, creator_id in followed.iter_rows():
            state._follows[user_id].add(creator_id)
        reacted = log.read(
            "reacted", known_before_us=known_before_us, columns=["user_id", "video_id", "reaction"]
        )
        objected = reacted.filter(pl.col("reaction").is_in(list(OBJECTIONS)))
        for user_id, video_id, reaction in objected.iter_rows():
            state._object(user_id, video_id, reaction)
        return state

    def absorb(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Remember acknowledged events, in order of arrival."""
        known = list(events)
        with self._lock:
            self._watch([event for event in known if event["kind"] == "watched"])
            for event in known:
                self._absorb(event)

    def knows(self, user_id: int) -> bool:
        """Whether this person ever watched anything."""
        with self._lock:
            return bool(self._seen.get(user_id)) or len(self._logged.of_user(user_id)) > 0

    def query(
        self,
        user_id: int,
        request_id: int,
        now_us: int,
        limit: int = 10,
        surface: int = 0,
        explore: bool = True,
    ) -> Query:
        """A request of this person, with everything remembered of them now."""
        with self._lock:
            history, weights = self._history.latest(user_id)
            hidden, blocked = self._refused_by(user_id)
            return Query(
                user_id=user_id,
                request_id=request_id,
                now_us=now_us,
                limit=limit,
                surface=surface,
                explore=explore,
                history=history,
                history_weights=weights,
                seen=_merged(self._logged.of_user(user_id), _ids(self._seen.get(user_id, ()))),
                follows=_ids(self._follows.get(user_id, ())),
                hidden=hidden,
                blocked=blocked,
            )

    @property
    def catalog(self) -> VideoCatalog:
        """The videos known now."""
        return self._catalog

    def become(self, other: PeopleState) -> None:
        """Know what the other knows instead, catalogue included; the other must not be used any more."""
        with self._lock:
            self._catalog, self._history, self._logged = other._catalog, other._history, other._logged
            self._seen, self._follows, self._objections = other._seen, other._follows, other._objections

    def over(self, catalog: VideoCatalog) -> None:
        """Know the videos of a newer catalogue."""
        with self._lock:
            self._catalog = catalog

    def _absorb(self, event: Mapping[str, Any]) -> None:
        """What is no watch."""
        if event["kind"] == "followed":
            self._follows[int(event["user_id"])].add(int(event["creator_id"]))
        elif event["kind"] == "reacted" and event["reaction"] in OBJECTIONS:
            self._object(int(event["user_id"]), int(event["video_id"]), event["reaction"])

    def _watch(self, events: Sequence[Mapping[str, Any]]) -> None:
        told = [
            Told(
                user_id=int(event["user_id"]),
                video_id=int(event["video_id"]),
                watched_ms=event["watched_ms"],
                duration_ms=event.get("duration_ms"),
                known_us=event["known_time_us"],
                event_us=event["event_time_us"],
                impression_id=event["impression_id"],
            )
            for event in events
        ]
        self._history.add(told)
        for watch in told:
            self._seen[watch.user_id].add(watch.video_id)

    def _object(self, user_id: int, video_id: int, reaction: str) -> None:
        """Remember the strongest objection to a video; saying it twice is not two."""
        mine = self._objections[user_id]
        mine[video_id] = max(mine.get(video_id, 0), OBJECTIONS[reaction])

    def _refused_by(self, user_id: int) -> tuple[Ids, Ids]:
        """Videos the person wants no more of, and creators with enough such videos."""
        objections = self._objections.get(user_id)
        if not objections:
            return NO_IDS, NO_IDS
        hidden = _ids(objections)
        creators, places = np.unique(self._catalog.creators_of(hidden), return_inverse=True)
        counted = np.bincount(places, weights=[objections[int(video)] for video in hidden])
        return hidden, creators[(counted >= HIDES_THAT_BLOCK) & (creators >= 0)]


def people_of(log: EventLog, now_us: int) -> PeopleState:
    """People over the videos of that moment, as the log knows both."""
    return PeopleState.from_log(log, VideoCatalog.from_log(log, now_us), now_us)


class _Grouped:
    """Millions of (user, video) pairs in two arrays: sets of Python integers would be ten times as large."""

    def __init__(self, users: Ids, videos: Ids) -> None:
        """Both in order of (user, video)."""
        self._users, starts = np.unique(users, return_index=True)
        self._starts, self._videos = np.append(starts, len(users)), videos

    @classmethod
    def of(cls, watched: pl.DataFrame) -> _Grouped:
        users, videos = paired(watched["user_id"].to_numpy(), watched["video_id"].to_numpy())
        is_new = (np.diff(users, prepend=-1) != 0) | (np.diff(videos, prepend=-1) != 0)
        return cls(users[is_new], videos[is_new])

    def of_user(self, user_id: int) -> Ids:
        place = self._users.searchsorted(user_id)
        if place == len(self._users) or self._users[place] != user_id:
            return NO_IDS
        return self._videos[self._starts[place] : self._starts[place + 1]]


def _merged(some: Ids, others: Ids) -> Ids:
    """Both, ascending; what is in both stands twice."""
    return np.sort(np.concatenate([some, others]), kind="stable") if len(others) else some


def _ids(values: Collection[int]) -> Ids:
    return np.array(sorted(values), np.int64) if values else NO_IDS
