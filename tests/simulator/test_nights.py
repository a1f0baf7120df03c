"""A night settles what the day brought, and nothing else: told by small evenings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simulator import supply
from simulator.coefficients import REACTIONS
from simulator.days import before_the_log
from simulator.exposures import EXPOSURE, GRID, Exposures
from simulator.nights import Memory, dawned, slept
from simulator.scenarios import BUILT_IN, read
from simulator.slates import DEFAULT, has, put
from simulator.visits import SESSIONS_PER_DAY
from simulator.worlds import World


@pytest.fixture
def memory(world: World) -> Memory:
    return before_the_log(world)


def an_evening(world: World, n: int, **fields: Any) -> Exposures:
    """n watched videos of the first people who are no bots, one each, in their first session of day 0."""
    rows = np.zeros(n, EXPOSURE)
    rows["reached"], rows["person"] = True, np.flatnonzero(~world.people.bot)[:n]
    rows["video"] = supply.published_before(world)[:n]
    for name, values in fields.items():
        rows[name] = values
    return rows


def test_what_was_watched_is_recent_and_fades_by_the_night(world: World, memory: Memory) -> None:
    rows = an_evening(world, 1)
    at = int(rows["person"][0]), int(world.videos.topics[rows["video"][0]])

    slept(world, DEFAULT, 0, rows, memory)
    first = memory.recent[at]
    slept(world, DEFAULT, 1, rows[:0], memory)

    assert first == world.coefficients.recent_memory
    assert memory.recent[at] == pytest.approx(first * world.coefficients.recent_memory)
    assert memory.recent.sum() == pytest.approx(memory.recent[at])


def test_a_pleasing_session_lifts_the_habit_of_its_person_only(world: World, memory: Memory) -> None:
    before = memory.habit.copy()
    rows = an_evening(world, 2, satisfaction=[3.0, -3.0])

    slept(world, DEFAULT, 0, rows, memory)

    pleased, bored = rows["person"]
    assert memory.habit[pleased] > before[pleased]
    assert memory.habit[bored] < before[bored]
    assert (memory.habit != before).sum() == 2


def test_sessions_settle_in_their_order(world: World, memory: Memory) -> None:
    c, rows = world.coefficients, an_evening(world, 2, satisfaction=[3.0, -1.0])
    rows["person"], rows["session"] = rows["person"][0], [SESSIONS_PER_DAY, SESSIONS_PER_DAY + 1]

    slept(world, DEFAULT, 1, rows, memory)

    after_one = c.habit_memory * c.habit_neutral + (1 - c.habit_memory) * 3.0
    expected = c.habit_memory * after_one + (1 - c.habit_memory) * -1.0
    assert memory.habit[rows["person"][0]] == pytest.approx(expected)


def test_a_share_brings_about_one_friend_in_five_back(world: World, memory: Memory) -> None:
    friendly = np.flatnonzero(np.diff(world.friends.starts) > 0)
    rows = np.zeros(4000, EXPOSURE)
    rows["reached"], rows["reactions"] = True, 1 << REACTIONS.index("share")
    rows["person"], rows["step"] = friendly[np.arange(4000) % len(friendly)], np.arange(4000)

    slept(world, DEFAULT, 0, rows, memory)

    expected, spread = 4000 * 0.2, np.sqrt(4000 * 0.2 * 0.8)
    assert abs(memory.invited.sum() - expected) < 3.3 * spread
    slept(world, DEFAULT, 1, rows[:0], memory)
    assert memory.invited.sum() == 0


def test_only_friends_of_who_shared_are_invited(world: World, memory: Memory) -> None:
    person = int(np.argmax(np.diff(world.friends.starts)))
    rows = np.zeros(200, EXPOSURE)
    rows["reached"], rows["reactions"] = True, 1 << REACTIONS.index("share")
    rows["person"], rows["step"] = person, np.arange(200)

    slept(world, DEFAULT, 0, rows, memory)

    assert memory.invited.sum() > 0
    assert set(np.flatnonzero(memory.invited).tolist()) <= set(world.friends.of(person).tolist())


def test_who_is_seen_takes_heart_and_who_is_not_fades(world: World, memory: Memory) -> None:
    rows = an_evening(world, 100)
    rows["video"] = rows["video"][0]
    creator = int(world.videos.creators[rows["video"][0]])

    slept(world, DEFAULT, 0, rows, memory)

    others = np.arange(len(memory.energy)) != creator
    assert memory.energy[creator] > 1.0
    assert (memory.energy[others] < 1.0).all()


def test_the_policy_counts_swipes_and_not_the_grid(world: World, memory: Memory) -> None:
    before = memory.counts.video_shown.sum()
    rows = an_evening(world, 3, surface=[0, 0, GRID])

    slept(world, DEFAULT, 0, rows, memory)

    assert memory.counts.video_shown.sum() == pytest.approx(DEFAULT.forget * before + 2)


def test_counts_stand_still_while_features_are_stalled(world: World) -> None:
    assert "stalled-features" in BUILT_IN
    stalled = World("tiny", 7, scenario=read(["stalled-features"], world.size, world.start_us))
    memory, day = before_the_log(stalled), next(d for d in range(14) if stalled.scenario.at(d).stalled)
    before = memory.counts

    slept(stalled, DEFAULT, day - 1, an_evening(stalled, 5, session=(day - 1) * SESSIONS_PER_DAY), memory)

    assert memory.counts is before


def test_what_moderation_took_down_is_forgotten_by_those_who_saw_it(world: World, memory: Memory) -> None:
    day = next(d for d in range(1, 14) if len(_gone_by(world, d)))
    video = int(_gone_by(world, day)[0])
    memory.public = np.asarray([video])
    put(memory.people.seen[3], video)
    memory.people.seen_count[3] = 5

    dawned(world, day, memory)

    assert memory.people.seen_count[3] == 4
    assert memory.people.seen_count.sum() == 4
    assert has(memory.people.seen[3], video)


def _gone_by(world: World, day: int) -> Any:
    """Videos taken down on the day before."""
    return supply.removed(world, day - 1, np.flatnonzero(world.videos.urge < 1.0))
