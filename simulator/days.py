"""The world lives through its days: who comes, which slates they meet, what they do. All people advance in lockstep.

People within a day do not touch each other: the policy digests its counts at night, luck is looked up by (person,
session, step). So any chunking of people gives the same day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import DAY_US, HOUR_US, SECOND_US
from simulator import behaviour, logging_policy
from simulator.births import TOPICS
from simulator.logging_policy import Corpus, Counts, Nightly, Requests
from simulator.luck import Floats, Keys, Purpose, exponentials, keys, uniforms
from simulator.pairs import Pairs
from simulator.swipes import REMEMBERED, reacted, swiped
from simulator.truth import World

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

EXTRA_SESSIONS, WEEKEND = 1.2, 1.15
"""Sessions on an active day: 1 + Poisson(1.2), times 1.15 at weekends (WORLD.md section 3)."""
MOST_SESSIONS = 8
LONGEST_SESSION = 600  # impressions
SWIPE_US, REQUEST_US, PAUSE_US = 600_000, 200_000, 60 * SECOND_US
"""Between two videos; before a new slate; at the least between two sessions."""

SESSIONS_PER_DAY = 16  # room in the session number
BURN_IN_SESSION = (1 << 12) - 1
BURN_IN = 80
"""Videos each person swiped through before the log began: what the policy's counts start from."""


@dataclass(frozen=True)
class Day:
    """One day's served items in flat columns; `reached` ones were watched."""

    people: Ints
    videos: Ints
    sessions: Ints
    requests: Ints  # ordinal of the request within its session
    positions: Ints
    steps: Ints  # ordinal of the impression within its session
    propensities: Floats
    explored: Mask
    sources: Ints
    served_us: Ints
    reached: Mask
    started_us: Ints
    watched_ms: Ints
    satisfaction: Floats

    def where(self, mask: Mask) -> Day:
        return Day(**{name: getattr(self, name)[mask] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Reactions:
    """Who of a day's watched impressions reacted; masks aligned to them."""

    watched: Day
    keys: Keys
    drawn: dict[str, Mask]


@dataclass
class Memory:
    """What lasts from day to day; grows with people and videos, never with days."""

    counts: Counts
    habit: Floats
    free_us: Ints  # when each person's last session was over
    seen: Pairs
    follows: Pairs
    followers: Ints  # the follow edges as two columns of rows
    followed: Ints


def days(world: World) -> Iterator[Reactions]:
    """Each day of the log in turn."""
    memory = _before_the_log(world)
    for day in range(world.size.days):
        yield _lived(world, day, memory)


def onboarding_follows(world: World) -> tuple[Ints, Ints]:
    """(people, creators) rows: whom each person followed on joining; the famous and the fitting, about three each."""
    rng = np.random.default_rng([world.seed, 5])
    people, creators = world.people, world.creators
    fame = 0.5 * np.log(creators.fans)
    fit = 3.0 * people.taste @ world.home_centres.T
    wanted = np.minimum(rng.poisson(3.0, len(people.user_ids)), 8)
    chosen = []
    for start in range(0, len(wanted), 4096):
        noise = rng.gumbel(size=(len(fit[start : start + 4096]), len(fame)))
        chosen.append(np.argsort(-(fame + fit[start : start + 4096] + noise), axis=1)[:, :8])
    ranks = np.vstack(chosen)
    keep = np.arange(8) < wanted[:, None]
    return np.repeat(np.arange(len(wanted)), wanted), ranks[keep]


def _before_the_log(world: World) -> Memory:
    """Everybody who had joined has swiped through random videos; that is all the policy knows at first."""
    size = world.size
    followers, followed = onboarding_follows(world)
    follows = Pairs(size.users, size.creators)
    follows.add(followers, followed)
    memory = Memory(
        counts=Counts.none(size.users, size.videos),
        habit=np.full(size.users, behaviour.HABIT_NEUTRAL),
        free_us=world.people.joined_us.copy(),
        seen=Pairs(size.users, size.videos),
        follows=follows,
        followers=followers,
        followed=followed,
    )
    old = np.flatnonzero(world.people.joined_us < world.start_us)
    luck = keys(world.seed, world.people.user_ids[old], BURN_IN_SESSION)
    steps = np.broadcast_to(np.arange(BURN_IN), (len(old), BURN_IN))
    existing = int(world.videos.existing_at(world.start_us))
    videos = (uniforms(luck[:, None], Purpose.CANDIDATE, steps) * existing).astype(np.int64)
    meeting = world.encounters(old[:, None], videos, world.start_us)
    never = np.full((len(old), REMEMBERED), -1)
    watched_s = swiped(meeting, videos >= 0, never, luck, steps).watched_ms / 1000.0
    liked = behaviour.reached(watched_s, meeting.duration_ms / 1000.0, behaviour.LONG_VIEW_S)
    people = np.broadcast_to(old[:, None], videos.shape)
    memory.counts = memory.counts.after(
        people.ravel(), videos.ravel(), world.videos.topics[videos].ravel(), liked.ravel()
    )
    return memory


def _lived(world: World, day: int, memory: Memory) -> Reactions:
    """One day, and the night after it."""
    visits = _visits(world, day, memory)
    known = _digested(world, day, memory)
    whole = _swiped_through(world, visits, known, memory)
    watched = whole.where(whole.reached)
    luck = keys(world.seed, world.people.user_ids[watched.people], watched.sessions)
    meeting = world.encounters(watched.people, watched.videos, watched.started_us)
    drawn = reacted(meeting, watched.watched_ms, luck, watched.steps)
    drawn["follow"] &= _first_follows(world, watched, drawn["follow"], memory)
    _sleep(world, watched, drawn["follow"], visits, memory)
    return Reactions(whole, luck, drawn)
