"""What a night does: the policy counts, habits and interests settle, friends are told, creators take heart.

People touch each other only here. Each change is a pure function of the day's rows and what was before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator import behaviour, supply
from simulator.behaviour import LONG_VIEW_S, REACTIONS
from simulator.births import TOPICS
from simulator.exposures import SWIPE, Exposures, reacted
from simulator.logging_policy import Counts
from simulator.luck import Floats, Purpose, keys, uniforms
from simulator.person_days import Remembered
from simulator.slates import Policy
from simulator.swipes import delay_us
from simulator.visits import MOST_SESSIONS, SESSIONS_PER_DAY
from simulator.worlds import World

Ints = NDArray[np.int64]

NEUTRAL_REACH = 0.30
"""Share of the reach a creator is due by their productivity that keeps energy as it is; most get far less."""


@dataclass
class Memory:
    """What lasts from day to day; grows with people and videos, never with days (but for follows)."""

    counts: Counts
    habit: Floats  # [people]
    recent: Floats  # [people, topics] impressions of late
    energy: Floats  # [creators] 1 is usual; a factor on what they publish
    invited: Ints  # [people] visits that friends' shares will bring today
    public: Ints  # rows of videos that were ever public, in upload order
    edges: list[tuple[Ints, Ints, Ints]]  # (person, creator, moment) of every follow
    people: Remembered


def slept(world: World, policy: Policy, day: int, rows: Exposures, memory: Memory) -> None:
    """Bring the memory from this day's evening to the next morning."""
    watched = np.take(rows, np.flatnonzero(rows["reached"]))
    people, videos = watched["person"].astype(np.int64), watched["video"].astype(np.int64)
    human = ~world.people.bot[people]
    memory.recent = _recent(world, memory.recent, people, videos)
    memory.habit = _settled(world, memory.habit, day, np.take(watched, np.flatnonzero(human)))
    memory.energy = _energy(world, memory.energy, videos)
    memory.invited = _invited(world, watched)
    memory.edges.append(_follows(world, watched))
    if not world.scenario.at(day + 1).stalled:
        swiped = np.take(watched, np.flatnonzero(watched["surface"] == SWIPE))
        memory.counts = _counted(world, policy, memory.counts, swiped)


def _recent(world: World, recent: Floats, people: Ints, videos: Ints) -> Floats:
    cells = people * TOPICS + world.videos.topics[videos]
    today = np.bincount(cells, minlength=recent.size).reshape(recent.shape)
    return world.coefficients.recent_memory * (recent + today)


def _counted(world: World, policy: Policy, counts: Counts, watched: Exposures) -> Counts:
    people, videos = watched["person"].astype(np.int64), watched["video"].astype(np.int64)
    lengths_s = world.videos.duration_ms[videos] / 1000.0
    liked = behaviour.reached(watched["watched_ms"] / 1000.0, lengths_s, LONG_VIEW_S)
    return counts.after(people, videos, world.videos.topics[videos], liked, policy.forget)


def _settled(world: World, habit: Floats, day: int, watched: Exposures) -> Floats:
    """Habits after the day's sessions, in their order."""
    cells = watched["person"] * np.int64(MOST_SESSIONS) + watched["session"] - day * SESSIONS_PER_DAY
    shape = (len(habit), MOST_SESSIONS)
    count = np.bincount(cells, minlength=habit.size * MOST_SESSIONS).reshape(shape)
    total = np.bincount(cells, watched["satisfaction"], minlength=habit.size * MOST_SESSIONS).reshape(shape)
    settled = habit.copy()
    for ordinal in range(MOST_SESSIONS):
        came = np.flatnonzero(count[:, ordinal])
        mean = total[came, ordinal] / count[came, ordinal]
        settled[came] = behaviour.next_habit(world.coefficients, settled[came], mean)
    return settled


def _energy(world: World, energy: Floats, videos: Ints) -> Floats:
    """Creators who are seen post more, who are not fade."""
    reach = np.bincount(world.videos.creators[videos], minlength=len(energy)).astype(np.float64)
    due = world.creators.productivity / world.creators.productivity.sum()
    neutral_reach = np.maximum(NEUTRAL_REACH * reach.sum() * due, 1.0)
    return supply.next_energy(world.coefficients, energy, reach, neutral_reach)


def _invited(world: World, watched: Exposures) -> Ints:
    """How many visits each person owes tomorrow to friends who shared something with them today."""
    shared = watched[reacted(watched, REACTIONS.index("share"))]
    people, friends = shared["person"].astype(np.int64), world.friends
    luck = keys(world.luck, world.people.user_ids[people], shared["session"])
    degree = friends.starts[people + 1] - friends.starts[people]
    at = (uniforms(luck, Purpose.FRIEND, shared["step"]) * degree).astype(np.int64)
    comes = uniforms(luck, Purpose.VISIT, shared["step"]) < world.coefficients.friend_visit
    told = (degree > 0) & comes
    friend = friends.rows[friends.starts[people[told]] + at[told]]
    return np.bincount(friend, minlength=len(world.people.user_ids))


def _follows(world: World, watched: Exposures) -> tuple[Ints, Ints, Ints]:
    """(person, creator, moment) of the day's new follows; a moment may be of another day."""
    new = watched[reacted(watched, REACTIONS.index("follow"))]
    people = new["person"].astype(np.int64)
    luck = keys(world.luck, world.people.user_ids[people], new["session"])
    later_us = delay_us("follow", new["watched_ms"], luck, new["step"])
    return people, world.videos.creators[new["video"]], new["started_us"] + later_us


def dawned(world: World, day: int, memory: Memory) -> Ints:
    """Publish today's uploads, and forget what moderation took down since yesterday; rows of the uploads."""
    fresh = supply.published(world, day, memory.energy)
    gone = supply.removed(world, day - 1, memory.public)
    for video in gone.tolist():
        memory.people.seen_count[:] -= memory.people.seen[:, video >> 3] >> (video & 7) & 1
    memory.public = np.concatenate([memory.public, fresh])
    return fresh
