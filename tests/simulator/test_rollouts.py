"""Worlds lived under other policies share people and luck, and differ by what the policy does."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from feature_repo.scales import Scale
from simulator import rollouts
from simulator.days import days
from simulator.nights import Memory
from simulator.rollouts import Totals
from simulator.slates import DEFAULT, UNIFORM
from simulator.worlds import END_US, World

WEEK = Scale("week", users=150, days=7)
FUTURE = 4
GREEDY = DEFAULT._replace(by_satisfaction=2.0)


@pytest.fixture(scope="module")
def world() -> World:
    return World(WEEK, 5, future_days=FUTURE)


@pytest.fixture(scope="module")
def morning(world: World) -> Memory:
    return rollouts.after_the_log(world)


@pytest.fixture(scope="module")
def months(world: World, morning: Memory) -> dict[str, Totals]:
    policies = {"satisfying": GREEDY, "again": GREEDY, "uniform": UNIFORM}
    return {
        name: rollouts.totals(world, rollouts.branch(world, policy, morning))
        for name, policy in policies.items()
    }


def test_a_world_with_a_future_has_the_same_past(world: World) -> None:
    short = World(WEEK, 5)

    for ours, theirs in islice(zip(days(world), days(short), strict=False), WEEK.days - 1):
        assert ours.rows.tobytes() == theirs.rows.tobytes()


def test_totals_are_sums_over_what_was_seen(world: World) -> None:
    lived = list(islice(days(world), 3))
    rows = np.concatenate([day.watched for day in lived])
    of = rows[rows["person"] == rows["person"][0]]

    found = rollouts.totals(world, lived)

    person = rows["person"][0]
    assert found.days == 3
    assert found.impressions[person] == len(of)
    assert found.satisfaction[person] == pytest.approx(of["satisfaction"].sum())
    assert found.active_days[person] == len({int(session) // 16 for session in of["session"]})


def test_a_branch_leaves_the_morning_as_it_was(months: dict[str, Totals]) -> None:
    assert (months["satisfying"].active_days == months["again"].active_days).all()
    assert (months["satisfying"].satisfaction == months["again"].satisfaction).all()


def test_who_is_satisfied_comes_back_more_often(world: World, months: dict[str, Totals]) -> None:
    people = rollouts.counted(world, END_US)
    ours, theirs = (months[name].taken(people) for name in ("satisfying", "uniform"))

    assert ours.days == FUTURE
    assert (ours.active_days - theirs.active_days).mean() > 0
    assert ours.active_days.max() <= FUTURE


def test_bots_and_who_has_not_joined_are_not_counted(world: World) -> None:
    people = rollouts.counted(world, world.start_us)

    assert 0 < people.sum() < WEEK.users
    assert not (people & world.people.bot).any()
    assert not (people & (world.people.joined_us >= world.start_us)).any()


def test_a_world_without_a_future_cannot_branch(morning: Memory) -> None:
    with pytest.raises(ValueError, match="future_days is 0"):
        rollouts.branch(World(WEEK, 5), DEFAULT, morning)


def test_an_experiment_in_which_both_get_the_same_is_the_world_itself() -> None:
    world = World(WEEK, 5)

    pairs = zip(rollouts.experiment(world, DEFAULT, DEFAULT, rollouts.arms(world)), days(world), strict=True)

    assert all(ours.rows.tobytes() == theirs.rows.tobytes() for ours, theirs in pairs)


def test_only_the_treated_get_the_treatment() -> None:
    world = World(WEEK, 5)
    arm = rollouts.arms(world)

    rows = next(iter(rollouts.experiment(world, DEFAULT, UNIFORM, arm))).rows

    treated = arm[rows["person"]]
    assert rows["explored"][treated].all()
    assert rows["explored"][~treated].mean() < 0.05


def test_half_of_the_people_are_treated_and_always_the_same() -> None:
    world = World(Scale("many", users=4_000), 5)

    arm = rollouts.arms(world)

    assert abs(arm.mean() - 0.5) < 3.3 * np.sqrt(0.25 / 4_000)
    assert (arm == rollouts.arms(world)).all()
