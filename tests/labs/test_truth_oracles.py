"""Does a walk give the true value? Against exact enumeration in a world small enough to enumerate."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from feature_repo.scales import Scale
from simulator.behaviour import leave_probability
from simulator.enumeration import slate_worth
from simulator.truth import SlatePolicy, humans, oracle_policy, public_at, random_policy, walk
from simulator.worlds import END_US, World

Ints = NDArray[np.int64]
SLATE, MOST = 10, 30


@pytest.fixture(scope="module")
def world() -> World:
    return World(Scale("small", users=120), seed=5)


def everybody(world: World) -> Ints:
    return humans(world)


def in_order(world: World, start: int = 0) -> SlatePolicy:
    """A policy without chance: videos by id, rotated."""

    def slate(_user: int, seen: Ints, _now: int, limit: int) -> Ints:
        order = np.roll(public_at(world), -start)
        return order[~np.isin(order, seen)][:limit]

    return slate


def expected(world: World, user_id: int, videos: Ints) -> tuple[float, float]:
    """Exact (length, sum of S) in expectation of a session through these videos, by the law of the hazard."""
    reach, length, total, topics = 1.0, 0.0, 0.0, [-1] * 6
    for video in videos.tolist():
        of = world.encounters(world.rows_of_people([user_id]), world.rows_of_videos([video]), END_US)
        length, total = length + reach, total + reach * float(of.satisfaction[0])
        bored = float(sum(topic == of.topics[0] for topic in topics[-6:]))
        reach *= 1.0 - float(leave_probability(world.coefficients, of.pull, bored, of.patience)[0])
        topics.append(int(of.topics[0]))
    return length, total


def test_the_worth_of_a_slate_is_what_its_slow_twin_finds(world: World) -> None:
    people, videos = everybody(world)[:10], public_at(world)[:MOST]

    found = slate_worth(world, people, np.tile(videos, (len(people), 1)))

    by_hand = [expected(world, int(user), videos) for user in people]
    assert np.column_stack([found.length, found.satisfaction]) == pytest.approx(np.array(by_hand))


def test_a_walk_has_the_expected_length_and_satisfaction_of_exact_enumeration(world: World) -> None:
    people, videos = everybody(world)[:40], np.sort(public_at(world))[:MOST]
    exact = slate_worth(world, people, np.tile(videos, (len(people), 1)))

    runs = [walk(world, in_order(world), people, limit=SLATE, most=MOST, repeat=each) for each in range(150)]

    lengths = np.array([run.session_length for run in runs], np.float64)
    for found, truth in (
        (lengths, exact.length),
        (np.array([run.satisfaction for run in runs]), exact.satisfaction),
    ):
        error = found.std(axis=0).mean() / np.sqrt(found.size)
        assert abs((found.mean(axis=0) - truth).mean()) < 4 * error


def test_the_first_random_video_satisfies_as_the_mean_of_all_that_are_eligible(world: World) -> None:
    people = everybody(world)
    means = np.array([world.satisfaction(int(user), public_at(world)).mean() for user in people])

    gaps = walk(world, random_policy(world), people, limit=1, most=1).mean_satisfaction - means

    assert abs(gaps.mean()) < 4 * gaps.std() / np.sqrt(len(gaps))


def test_the_oracle_shows_everybody_the_best_there_is(world: World) -> None:
    people = everybody(world)

    found = walk(world, oracle_policy(world), people, limit=1, most=1).mean_satisfaction

    best = [world.satisfaction(int(user), public_at(world)).max() for user in people]
    assert found == pytest.approx(np.array(best))


def test_no_policy_satisfies_more_per_impression_than_the_oracle(world: World) -> None:
    people = everybody(world)
    value = {
        name: sessions.satisfaction.sum() / sessions.session_length.sum()
        for name, sessions in {
            "oracle": walk(world, oracle_policy(world), people),
            "random": walk(world, random_policy(world), people),
            "in order": walk(world, in_order(world), people),
        }.items()
    }

    assert value["oracle"] > max(value["random"], value["in order"])


def test_the_same_policy_walked_twice_meets_the_same_luck(world: World) -> None:
    first, second = (walk(world, in_order(world), everybody(world)) for _ in range(2))

    np.testing.assert_array_equal(first.session_length, second.session_length)
    np.testing.assert_array_equal(first.mean_satisfaction, second.mean_satisfaction)


def test_common_luck_makes_differences_of_similar_policies_quieter(world: World) -> None:
    people = everybody(world)
    one = walk(world, in_order(world), people).session_length
    shared = walk(world, in_order(world, start=3), people).session_length
    other = walk(world, in_order(world, start=3), people, repeat=1).session_length

    assert (one - shared).std() < (one - other).std()


def test_a_feed_is_told_what_was_watched_before_it_is_asked_again(world: World) -> None:
    heard: list[int] = []

    def told(_user: int, videos: Ints, watched_ms: Ints) -> None:
        assert len(videos) == len(watched_ms)
        heard.extend(videos.tolist())

    sessions = walk(world, in_order(world), everybody(world)[:5], limit=2, told=told)

    assert len(heard) == sessions.session_length.sum()
