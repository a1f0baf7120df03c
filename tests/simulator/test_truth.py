"""The sealed truth is pure, agrees with what people do, and compares policies on the same luck."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.births import FIRST_VIDEO
from simulator.days import Lived
from simulator.truth import END_US, SlatePolicy, World, oracle_policy, random_policy, walk

Ints = NDArray[np.int64]


@pytest.fixture(scope="module")
def everybody(world: World) -> Ints:
    return world.people.user_ids


def best_by(score: NDArray[np.float64]) -> SlatePolicy:
    """The same order for everybody, by video row."""

    def slate(_user_id: int, seen: Ints, _now_us: int, limit: int) -> Ints:
        order = np.argsort(-score, kind="stable") + FIRST_VIDEO
        return order[~np.isin(order, seen)][:limit]

    return slate


def test_a_world_is_pure_in_scale_and_seed(world: World) -> None:
    twin = World("tiny", 7)

    assert (twin.videos.quality == world.videos.quality).all()
    assert twin.satisfaction(1, FIRST_VIDEO) == world.satisfaction(1, FIRST_VIDEO)
    assert World("tiny", 8).videos.quality[0] != world.videos.quality[0]


def test_random_pairs_average_to_nothing_with_the_documented_spread(world: World) -> None:
    rng = np.random.default_rng(7)
    felt = world.satisfaction(rng.integers(1, 401, 50_000), FIRST_VIDEO + rng.integers(0, 800, 50_000))

    assert abs(felt.mean()) < 0.3
    assert felt.std() == pytest.approx(1.2, abs=0.15)


def test_the_order_of_policies_is_random_quality_oracle(world: World, everybody: Ints) -> None:
    policies = (random_policy(world), best_by(world.videos.quality), oracle_policy(world))

    values = [np.nanmean(walk(world, policy, everybody).mean_satisfaction) for policy in policies]

    assert values == sorted(values)
    assert values[2] - values[0] > 1.0


def test_clickbait_holds_people_and_disappoints_them(world: World, everybody: Ints) -> None:
    of = world.videos
    honest = walk(world, best_by(of.quality - of.clickbait), everybody, most=60)
    bait = walk(world, best_by(of.quality + of.clickbait), everybody, most=60)

    assert np.nanmean(bait.mean_satisfaction) < np.nanmean(honest.mean_satisfaction) - 0.5
    assert bait.session_length.mean() > honest.session_length.mean()


def test_common_luck_makes_differences_of_policies_steadier(world: World, everybody: Ints) -> None:
    good, better = best_by(world.videos.quality), best_by(world.videos.quality - 0.3 * world.videos.clickbait)
    here = walk(world, good, everybody).session_length.astype(float)

    paired = walk(world, better, everybody).session_length - here
    unpaired = walk(world, better, everybody, repeat=1).session_length - here

    assert paired.var() < 0.6 * unpaired.var()


def test_the_same_walk_twice_is_the_same_and_another_repeat_is_not(world: World, everybody: Ints) -> None:
    policy = random_policy(world)
    first, again, other = (walk(world, policy, everybody, repeat=repeat) for repeat in (0, 0, 1))

    assert (first.session_length == again.session_length).all()
    assert (first.session_length != other.session_length).any()


def test_a_walk_alone_is_the_walk_in_company(world: World, everybody: Ints) -> None:
    together = walk(world, oracle_policy(world), everybody)

    alone = walk(world, oracle_policy(world), everybody[10:11])

    assert together.session_length[10] == alone.session_length[0]
    assert together.mean_satisfaction[10] == pytest.approx(alone.mean_satisfaction[0])


def test_a_walk_ends_at_its_most_and_hears_every_watch(world: World, everybody: Ints) -> None:
    heard: dict[int, int] = {}

    def told(user_id: int, video_ids: Ints, watched_ms: Ints) -> None:
        assert len(video_ids) == len(watched_ms)
        heard[user_id] = heard.get(user_id, 0) + len(video_ids)

    found = walk(world, oracle_policy(world), everybody, most=25, told=told)

    assert found.session_length.max() == 25
    assert [heard[int(user)] for user in everybody] == found.session_length.tolist()


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([FIRST_VIDEO + 5], "seen before"),
        ([FIRST_VIDEO + 800], "does not exist yet"),
        ([FIRST_VIDEO, FIRST_VIDEO], "twice"),
    ],
)
def test_a_walk_refuses_what_a_feed_may_not_show(world: World, ids: list[int], message: str) -> None:
    seen = {1: np.asarray([FIRST_VIDEO + 5])}

    with pytest.raises(ValueError, match=message):
        walk(world, lambda *_: ids, np.asarray([1]), END_US, seen)


def test_an_id_of_another_world_is_an_error_naming_the_range(world: World) -> None:
    with pytest.raises(KeyError, match="user ids run from 1 to 400"):
        world.satisfaction(401, FIRST_VIDEO)


def test_label_probabilities_are_what_people_then_do(world: World, lived: list[Lived]) -> None:
    rows = [day.watched for day in lived]
    people, videos, moments = (
        np.concatenate([getattr(each, name) for each in rows]) for name in ("people", "videos", "started_us")
    )
    chances = world.label_probabilities(people + 1, videos + FIRST_VIDEO, moments)
    watched_ms = np.concatenate([each.watched_ms for each in rows])
    duration_ms = world.videos.duration_ms[videos]
    happened = {
        "long_view": watched_ms >= np.minimum(18_000, duration_ms),
        "click": watched_ms >= np.minimum(7_000, duration_ms),
        "like": np.concatenate([day.reactions["like"] for day in lived]),
        "profile": np.concatenate([day.reactions["profile"] for day in lived]),
    }

    for name, came in happened.items():
        expected = chances[name]
        error = np.sqrt((expected * (1 - expected)).sum())
        assert abs(came.sum() - expected.sum()) < 3.3 * error, name
