"""A small log told as a story: who joined, what was uploaded, who swiped what and what they did about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, start_of
from feature_repo.events import CONTENT_SIZE, KINDS, POSITIONS_PER_REQUEST
from feature_repo.facts import EVENTS, NOBODY, Facts
from feature_repo.journal import frame_of
from feature_repo.log import EventLog
from feature_repo.slates import Slate

MIDNIGHT = start_of(dt.date(2026, 6, 1))
"""Where every story starts: Monday 2026-06-01T00:00Z."""


def at(days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0, us: int = 0) -> int:
    """A moment after the start of the story, in microseconds."""
    return MIDNIGHT + int(days * DAY_US + hours * HOUR_US + minutes * MINUTE_US + seconds * SECOND_US) + us


@dataclass
class Story:
    """Events in the order they are told; each act returns what names it."""

    events: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    requests: int = 0

    def joins(self, user: int, at_us: int = MIDNIGHT, known_us: int | None = None) -> None:
        bands = ("country", "device", "age_band", "activity_band", "fans_band", "follows_band")
        self._tell("joined", at_us, known_us, user_id=user, **dict.fromkeys(bands, user % 5))

    def uploads(
        self,
        video: int,
        creator: int = 1,
        topic: int | None = 0,
        seconds: int | None = 30,
        **when: int | None,
    ) -> None:
        self._tell(
            "uploaded",
            when.get("at_us") or MIDNIGHT,
            when.get("known_us"),
            video_id=video,
            creator_id=creator,
            topic=topic,
            duration_ms=None if seconds is None else seconds * 1000,
            content=[float(video)] * CONTENT_SIZE,
            headline_score=0.5,
            production_score=None,
        )

    def serves(self, user: int, video: int, at_us: int) -> int:
        """The impression id of one item on top of a slate."""
        self.requests += 1
        impression = self.requests * POSITIONS_PER_REQUEST
        self._tell(
            "served",
            at_us,
            None,
            request_id=self.requests,
            impression_id=impression,
            user_id=user,
            video_id=video,
            position=0,
            propensity=0.5,
            explored=False,
            source="trending",
            surface=0,
            release_id="r1",
        )
        return impression

    def swipes(
        self,
        user: int,
        video: int,
        at_us: int,
        watched_ms: int = 30_000,
        duration_ms: int | None = 30_000,
        known_us: int | None = None,
    ) -> int:
        """Served and watched; the impression id."""
        impression = self.serves(user, video, at_us)
        seen = {"impression_id": impression, "user_id": user, "video_id": video}
        self._tell("watched", at_us, known_us, **seen, watched_ms=watched_ms, duration_ms=duration_ms)
        return impression

    def reacts(
        self, impression: int, user: int, video: int, reaction: str, at_us: int, known_us: int | None = None
    ) -> None:
        seen = {"impression_id": impression, "user_id": user, "video_id": video}
        self._tell("reacted", at_us, known_us, **seen, reaction=reaction)

    def follows(
        self, user: int, creator: int, at_us: int, impression: int | None = None, known_us: int | None = None
    ) -> None:
        self._tell("followed", at_us, known_us, impression_id=impression, user_id=user, creator_id=creator)

    def answers(self, impression: int, user: int, video: int, answer: int | None, at_us: int) -> None:
        """Asked how they liked it; None is shown and not answered."""
        seen = {"impression_id": impression, "user_id": user, "video_id": video}
        self._tell("surveyed", at_us, None, **seen, answer=answer)

    def removes(self, video: int, at_us: int, known_us: int | None = None) -> None:
        self._tell("removed", at_us, known_us, video_id=video)

    def frame(self, kind: str) -> pl.DataFrame:
        return frame_of(kind, self.events[kind])

    def log(self, root: Path) -> EventLog:
        """The story as an event log on disk."""
        log = EventLog(root)
        for kind, events in self.events.items():
            if events:
                log.append(kind, self.frame(kind), "story")
        return log

    def _tell(self, kind: str, at_us: int, known_us: int | None, **body: Any) -> None:
        number = sum(len(events) for events in self.events.values())
        clocks = {"event_time_us": at_us, "known_time_us": at_us if known_us is None else known_us}
        self.events[kind].append({"kind": kind, "event_id": f"e{number:05d}", **clocks, **body})


def a_story() -> Story:
    """Two people, three videos of two creators, ten days of a few swipes with likes, a follow, a hide and a
    late watch.
    """
    story = Story()
    for user in (1, 2):
        story.joins(user)
    story.uploads(10, creator=100, topic=3)
    story.uploads(11, creator=100, topic=4, seconds=120)
    story.uploads(12, creator=200, topic=3, seconds=None, at_us=at(days=2, minutes=7))
    liked = story.swipes(1, 10, at(hours=1, minutes=30))
    story.reacts(liked, 1, 10, "like", at(hours=1, minutes=31))
    story.swipes(1, 11, at(hours=1, minutes=31), watched_ms=2_000, duration_ms=120_000)
    late = story.swipes(2, 10, at(hours=2), known_us=at(hours=9, minutes=1))
    story.follows(2, 100, at(hours=20), impression=late)
    story.answers(late, 2, 10, None, at(hours=20))
    story.answers(liked, 1, 10, 4, at(hours=20))
    hidden = story.swipes(2, 12, at(days=3), watched_ms=0, duration_ms=None)
    story.reacts(hidden, 2, 12, "hide", at(days=3, minutes=1))
    story.swipes(2, 11, at(days=3), watched_ms=90_000, duration_ms=120_000)
    story.swipes(1, 12, at(days=9, hours=23, minutes=59), duration_ms=None)
    return story


def watched_event(event_id: str = "w1", **changes: Any) -> dict[str, Any]:
    """One watched event as the journal takes it."""
    event = {
        "kind": "watched",
        "event_id": event_id,
        "event_time_us": at(hours=1),
        "known_time_us": at(hours=1),
        "impression_id": 64,
        "user_id": 1,
        "video_id": 10,
        "watched_ms": 5_000,
        "duration_ms": 30_000,
    }
    return {**event, **changes}


def a_slate(
    items: Sequence[tuple[int, float, bool, str]], features: NDArray[np.float32] | None = None
) -> Slate:
    """Request 41 of user 3, answered with these (video, propensity, explored, source)."""
    requested = {
        "kind": "requested",
        "event_id": "requested/41",
        "event_time_us": at(hours=1),
        "known_time_us": at(hours=1),
        "request_id": 41,
        "user_id": 3,
        "surface": 0,
        "limit": 10,
        "explore": True,
        "seed": 0,
        "release_id": "r-1",
        "features_time_us": at(),
        "catalogue_time_us": at(),
        "loaded_time_us": None,
        "degraded": "",
        "response_sha256": "0" * 64,
    }
    videos, propensities, explored, sources = ([item[column] for item in items] for column in range(4))
    return Slate(requested, videos, propensities, explored, sources, features)  # type: ignore[arg-type]


def a_busy_story(rng: np.random.Generator, until_us: int, swipes: int = 400) -> Story:
    """Random people, videos and acts until a moment, with ties, whole hours, late events and unknowns."""
    story = Story()
    for user in range(8):
        story.joins(user, at(hours=float(rng.integers(0, 48))))
    for video in range(12):
        topic = None if video == 5 else int(rng.integers(0, 4))
        story.uploads(
            video,
            int(rng.integers(0, 4)),
            topic,
            None if video == 6 else 30,
            at_us=at(hours=float(rng.integers(0, 72))),
        )
    for _ in range(swipes):
        _a_random_swipe(story, rng, until_us)
    return story


def _a_random_swipe(story: Story, rng: np.random.Generator, until_us: int) -> None:
    hours = (until_us - MIDNIGHT) // HOUR_US
    moment = at(
        hours=float(rng.integers(0, hours)),
        minutes=float(rng.choice([0, 0, 17, 59])),
        us=int(rng.integers(0, 2)),
    )
    late = int(rng.choice([0, 0, 0, 1, 5 * MINUTE_US, 7 * HOUR_US, 30 * HOUR_US]))
    user, video = (
        int(rng.integers(0, 10)),
        int(rng.integers(0, 14)),
    )  # two users and two videos nobody told us of
    duration = None if video == 6 else 30_000
    impression = story.swipes(user, video, moment, int(rng.integers(0, 40_000)), duration, moment + late)
    act = str(rng.choice(["like", "share", "hide", "report", "comment", "follow", "none", "none"]))
    when, known = moment + int(rng.integers(0, HOUR_US)), moment + HOUR_US + late
    if act == "follow":
        story.follows(user, int(rng.integers(0, 5)), when, impression if rng.random() < 0.7 else None, known)
    elif act != "none":
        story.reacts(impression, user, video, act, when, known)


def facts_told(told: list[tuple[int, int, int, int]]) -> Facts:
    """(person, event_us, delay until known, how many impressions) each, of videos nobody uploaded."""
    table = np.asarray(told, np.int64).reshape(-1, 4)
    known_us = table[:, 1] + table[:, 2]
    amounts = np.zeros((len(table), len(EVENTS)), np.int32)
    amounts[:, 0] = table[:, 3]
    nobody = np.full(len(table), NOBODY)
    return Facts(
        *(table[:, 0], nobody, nobody, nobody),
        *(np.minimum(table[:, 1], known_us), known_us, known_us, amounts),
    )
