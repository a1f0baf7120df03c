"""The world lives through its days and sleeps in between: at night the policy counts and habits settle.

People within a day do not touch each other, so only the nights are shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import DAY_US
from simulator import behaviour
from simulator.logging_policy import Corpus, Counts, Nightly, nightly
from simulator.luck import Floats, Keys, Purpose, keys, uniforms
from simulator.pairs import Pairs
from simulator.sessions import Exposures, swiped_through
from simulator.swipes import REMEMBERED, delay_us, reacted, swiped
from simulator.truth import World
from simulator.visits import MOST_SESSIONS, SESSIONS_PER_DAY, visits

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

BURN_IN_SESSION = (1 << 12) - 1
BURN_IN = 35
"""Videos each person swiped through before the log began: what the policy's counts start from."""
CHUNK = 8192
"""People at a time, where a step needs much memory per person."""

ONBOARDING_FOLLOWS, MOST_ONBOARDING = 3.0, 8


@dataclass(frozen=True)
class Lived:
    """One day of the world: what was served, what of it was watched, and who reacted to that."""

    day: int
    served: Exposures
    watched: Exposures
    satisfaction: Floats  # of the watched; sealed, for the card and the truth's own tests
    reactions: dict[str, Mask]  # by name, aligned to the watched
    keys: Keys  # of the watched


@dataclass
class Memory:
    """What lasts from day to day; grows with people and videos, never with days."""

    counts: Counts
    habit: Floats
    free_us: Ints  # when each person's last session was over
    seen: Pairs
    follows: Pairs
    edges: list[tuple[Ints, Ints, Ints]]  # (person, creator, moment) of every follow


def days(world: World) -> Iterator[Lived]:
    """Each day of the log in turn."""
    memory = before_the_log(world)
    for day in range(world.size.days):
        yield _lived(world, day, memory)


@lru_cache(maxsize=1)
def onboarding(world: World) -> tuple[Ints, Ints]:
    """(people, creators): whom each person followed on joining, about three of the famous and the fitting."""
    rng = np.random.default_rng([world.seed, 5])
    people = world.people
    wanted = np.minimum(rng.poisson(ONBOARDING_FOLLOWS, len(people.user_ids)), MOST_ONBOARDING)
    centres = world.home_centres
    ranks = []
    for start in range(0, len(wanted), CHUNK):
        appeal = 0.5 * np.log(world.creators.fans) + 3.0 * people.taste[start : start + CHUNK] @ centres.T
        appeal += rng.gumbel(size=appeal.shape)
        best = np.argpartition(-appeal, MOST_ONBOARDING, axis=1)[:, :MOST_ONBOARDING]
        order = np.argsort(-np.take_along_axis(appeal, best, axis=1), axis=1)
        ranks.append(np.take_along_axis(best, order, axis=1))
    keep = np.arange(MOST_ONBOARDING) < wanted[:, None]
    return np.repeat(np.arange(len(wanted)), wanted), np.vstack(ranks)[keep]


def before_the_log(world: World) -> Memory:
    """Everybody who had joined has swiped through random videos; that is all the policy knows at first."""
    size = world.size
    people, creators = onboarding(world)
    memory = Memory(
        counts=Counts.none(size.users, size.videos),
        habit=np.full(size.users, behaviour.HABIT_NEUTRAL),
        free_us=world.people.joined_us.copy(),
        seen=Pairs(size.users, size.videos),
        follows=Pairs(size.users, size.creators),
        edges=[(people, creators, world.people.joined_us[people])],
    )
    memory.follows.add(people, creators)
    memory.counts = memory.counts.after(*_burnt_in(world))
    return memory


def _burnt_in(world: World) -> tuple[Ints, Ints, Ints, Floats]:
    """(people, videos, topics, long views) of the random exposures before the log."""
    old = np.flatnonzero(world.people.joined_us < world.start_us)
    parts = [_random_exposures(world, old[at : at + CHUNK]) for at in range(0, len(old), CHUNK)]
    people, videos, liked = (np.concatenate(column) for column in zip(*parts, strict=True))
    return people, videos, world.videos.topics[videos], liked


def _random_exposures(world: World, people: Ints) -> tuple[Ints, Ints, Floats]:
    luck = keys(world.seed, world.people.user_ids[people], BURN_IN_SESSION)
    steps = np.broadcast_to(np.arange(BURN_IN), (len(people), BURN_IN))
    existing = int(world.videos.existing_at(world.start_us))
    videos = (uniforms(luck[:, None], Purpose.CANDIDATE, steps) * existing).astype(np.int64)
    meeting = world.encounters(people[:, None], videos, world.start_us)
    fresh = np.full((len(people), REMEMBERED), -1)
    watched_s = swiped(meeting, videos >= 0, fresh, luck, steps).watched_ms / 1000.0
    liked = behaviour.reached(watched_s, meeting.duration_ms / 1000.0, behaviour.LONG_VIEW_S)
    return np.repeat(people, BURN_IN), videos.ravel(), liked.ravel()


def _lived(world: World, day: int, memory: Memory) -> Lived:
    """One day, and the night after it."""
    coming = visits(world, day, memory.habit)
    known = digested(world, day, memory)
    served = swiped_through(world, day, coming, known, memory.seen, memory.free_us)
    watched = served.where(served.reached)
    luck = keys(world.seed, world.people.user_ids[watched.people], watched.sessions)
    meeting = world.encounters(watched.people, watched.videos, watched.started_us)
    drawn = reacted(meeting, watched.watched_ms, luck, watched.steps)
    drawn["follow"] = _new_follows(world, watched, drawn["follow"], luck, memory)
    memory.habit = _settled(memory.habit, day, watched, meeting.satisfaction)
    liked = behaviour.reached(
        watched.watched_ms / 1000.0, meeting.duration_ms / 1000.0, behaviour.LONG_VIEW_S
    )
    memory.counts = memory.counts.after(watched.people, watched.videos, meeting.topics, liked)
    return Lived(day, served, watched, meeting.satisfaction, drawn, luck)


def digested(world: World, day: int, memory: Memory) -> Nightly:
    """What the policy knows this morning: last night's counts, and the follows that had happened."""
    start_us = world.start_us + day * DAY_US
    people, creators, moments = (np.concatenate(column) for column in zip(*memory.edges, strict=True))
    happened = moments < start_us
    corpus = Corpus(world.videos.topics, world.videos.creators, world.size.creators)
    existing = int(world.videos.existing_at(start_us))
    return nightly(memory.counts, corpus, existing, people[happened], creators[happened])


def _new_follows(world: World, watched: Exposures, drawn: Mask, luck: Keys, memory: Memory) -> Mask:
    """Keep the first follow of each creator by each person, and remember it."""
    at = np.flatnonzero(drawn)
    people, creators = watched.people[at], world.videos.creators[watched.videos[at]]
    fresh = ~memory.follows.has(people, creators)
    at, people, creators = at[fresh], people[fresh], creators[fresh]
    first = np.unique(people * world.size.creators + creators, return_index=True)[1]
    at, people, creators = at[first], people[first], creators[first]
    memory.follows.add(people, creators)
    later = delay_us("follow", watched.watched_ms[at], luck[at], watched.steps[at])
    memory.edges.append((people, creators, watched.started_us[at] + later))
    kept = np.zeros(len(drawn), dtype=bool)
    kept[at] = True
    return kept


def _settled(habit: Floats, day: int, watched: Exposures, satisfaction: Floats) -> Floats:
    """Habits after the day's sessions, in their order."""
    cells = watched.people * MOST_SESSIONS + watched.sessions - day * SESSIONS_PER_DAY
    shape = (len(habit), MOST_SESSIONS)
    count = np.bincount(cells, minlength=len(habit) * MOST_SESSIONS).reshape(shape)
    total = np.bincount(cells, satisfaction, minlength=len(habit) * MOST_SESSIONS).reshape(shape)
    settled = habit.copy()
    for ordinal in range(MOST_SESSIONS):
        came = np.flatnonzero(count[:, ordinal])
        mean = total[came, ordinal] / count[came, ordinal]
        settled[came] = behaviour.next_habit(settled[came], mean)
    return settled
