"""People swipe through their day in lockstep: each step, everybody still there asks once and meets one slate.

Luck is looked up by (person, session, impression), the policy's own chance by (person, session, request), so
any chunking of people gives the same day.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import SECOND_US
from simulator.logging_policy import SLATE, Nightly, Requests, Slates, allowed, candidates, scores, slates
from simulator.luck import Floats, keys
from simulator.pairs import Pairs
from simulator.swipes import REMEMBERED, Swipes, swiped
from simulator.truth import World
from simulator.visits import SESSIONS_PER_DAY, Visits

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

LONGEST_SESSION = 600
"""Impressions; then even the most patient goes to bed."""
SWIPE_US, REQUEST_US, PAUSE_US = 600_000, 200_000, 60 * SECOND_US
"""Between two videos; for a new slate to arrive; at the least between two sessions."""


@dataclass(frozen=True)
class Exposures:
    """Served items in flat columns, in order for each person; only the `reached` ones were seen."""

    people: Ints
    videos: Ints
    sessions: Ints
    requests: Ints  # ordinal within the session
    positions: Ints
    steps: Ints  # ordinal of the impression within the session
    propensities: Floats
    explored: Mask
    sources: Ints
    served_us: Ints
    reached: Mask
    started_us: Ints
    watched_ms: Ints

    def where(self, mask: Mask) -> Exposures:
        return Exposures(*(getattr(self, field.name)[mask] for field in fields(self)))

    @classmethod
    def joined(cls, parts: list[Exposures]) -> Exposures:
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


class _Lockstep:
    """Where each of the day's people stands."""

    def __init__(self, day: int, visits: Visits, free_us: Ints):
        n = len(visits.people)
        self.visits, self.first_session = visits, day * SESSIONS_PER_DAY
        self.ordinal = np.zeros(n, dtype=np.int64)
        self.clock_us = np.maximum(visits.starts_us[:, 0], free_us[visits.people] + PAUSE_US)
        self.request = np.zeros(n, dtype=np.int64)
        self.step = np.zeros(n, dtype=np.int64)
        self.topics = np.full((n, REMEMBERED), -1)
        self.here = np.ones(n, dtype=bool)

    def sessions(self, at: Ints) -> Ints:
        return self.first_session + self.ordinal[at]

    def swipe_on(self, at: Ints, topics: Ints, found: Swipes, ended_us: Ints, over: Mask) -> None:
        """Everybody at `at` has met one slate; those whose session is over go on to their next, or home."""
        self.clock_us[at] = ended_us + REQUEST_US
        self.request[at] += 1
        self.step[at] += found.reached.sum(axis=1)
        self.topics[at] = np.hstack([self.topics[at], topics])[:, -REMEMBERED:]
        done = at[over]
        self.ordinal[done] += 1
        self.request[done] = 0
        self.step[done] = 0
        self.topics[done] = -1
        again = self.ordinal[done] < self.visits.counts[done]
        self.here[done[~again]] = False
        back = done[again]
        next_us = self.visits.starts_us[back, self.ordinal[back]]
        self.clock_us[back] = np.maximum(next_us, self.clock_us[back] + PAUSE_US)


def swiped_through(
    world: World, day: int, visits: Visits, known: Nightly, seen: Pairs, free_us: Ints
) -> Exposures:
    """Everything served on this day; `seen` and `free_us` are brought up to date."""
    people = _Lockstep(day, visits, free_us)
    parts: list[Exposures] = []
    while people.here.any():
        at = np.flatnonzero(people.here)
        late = people.clock_us[at] >= world.end_us
        people.here[at[late]] = False
        if not late.all():
            parts.append(_one_request(world, people, at[~late], known, seen))
    free_us[visits.people] = people.clock_us
    return Exposures.joined(parts)


def _one_request(world: World, people: _Lockstep, at: Ints, known: Nightly, seen: Pairs) -> Exposures:
    rows, sessions, now_us = people.visits.people[at], people.sessions(at), people.clock_us[at]
    slate = _served(world, rows, sessions, people.request[at], now_us, known, seen)
    videos, present = np.maximum(slate.videos, 0), slate.videos >= 0
    meeting = world.encounters(rows[:, None], videos, now_us[:, None])
    steps = people.step[at, None] + np.arange(SLATE)
    luck = keys(world.seed, world.people.user_ids[rows], sessions)
    found = swiped(meeting, present, people.topics[at], luck, steps)
    lasted_us = np.where(found.reached, found.watched_ms * 1000 + SWIPE_US, 0)
    ended_us = now_us[:, None] + np.cumsum(lasted_us, axis=1)
    served = _flat(people, at, slate, steps, found, ended_us - lasted_us)
    over = found.left | ~present.all(axis=1) | (steps[:, -1] + 1 >= LONGEST_SESSION)
    _see(seen, rows, videos, found.reached)
    people.swipe_on(at, meeting.topics, found, ended_us[:, -1], over)
    return served


def _served(
    world: World, rows: Ints, sessions: Ints, request: Ints, now_us: Ints, known: Nightly, seen: Pairs
) -> Slates:
    luck = keys(world.seed, world.people.user_ids[rows], sessions, request)
    of = Requests(rows, luck, world.videos.existing_at(now_us))
    found = candidates(known, of)
    return slates(found, scores(known, rows, np.maximum(found, 0)), allowed(found, of, seen), of, seen)


def _flat(
    people: _Lockstep, at: Ints, slate: Slates, steps: Ints, found: Swipes, started_us: Ints
) -> Exposures:
    shape, present = slate.videos.shape, slate.videos >= 0

    def spread(column: Ints) -> Ints:
        return np.broadcast_to(column[:, None], shape)[present]

    return Exposures(
        people=spread(people.visits.people[at]),
        videos=slate.videos[present],
        sessions=spread(people.sessions(at)),
        requests=spread(people.request[at]),
        positions=np.broadcast_to(np.arange(shape[1]), shape)[present],
        steps=steps[present],
        propensities=slate.propensities[present],
        explored=slate.explored[present],
        sources=slate.sources[present],
        served_us=spread(people.clock_us[at]),
        reached=found.reached[present],
        started_us=started_us[present],
        watched_ms=found.watched_ms[present],
    )


def _see(seen: Pairs, rows: Ints, videos: Ints, reached: Mask) -> None:
    seen.add(np.broadcast_to(rows[:, None], videos.shape)[reached], videos[reached])
