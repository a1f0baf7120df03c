"""The sealed truth is pure, agrees with what people do, and compares policies on the same luck."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from simulator.births import FIRST_VIDEO
from simulator.days import Lived
from simulator.truth import (
    SlatePolicy,
    humans,
    oracle_policy,
    public_at,
    public_in,
    random_policy,
    seen_by,
    walk,
)
from simulator.worlds import END_US, World

Ints = NDArray[np.int64]


@pytest.fixture(scope="module")
def everybody(world: World) -> Ints:
    return humans(world)


@pytest.fixture(scope="module")
def corpus(world: World) -> Ints:
    return public_at(world)


def best_by(world: World, score: NDArray[np.float64]) -> SlatePolicy:
    """The same order for everybody, by the score of each video row, of what is public."""
    public = public_at(world)
    order = public[np.argsort(-score[public - FIRST_VIDEO], kind="stable")]

    def slate(_user_id: int, seen: Ints, _now_us: int, limit: int) -> Ints:
        return order[~np.isin(order, seen)][:limit]

    return slate


def test_a_world_is_pure_in_scale_and_seed(world: World) -> None:
    twin = World("tiny", 7)

    assert (twin.videos.quality == world.videos.quality).all()
    assert twin.satisfaction(1, FIRST_VIDEO) == world.satisfaction(1, FIRST_VIDEO)
    assert World("tiny", 8).videos.quality[0] != world.videos.quality[0]


def test_random_pairs_average_to_nothing_with_the_documented_spread(world: World) -> None:
    rng = np.random.default_rng(7)
    felt = world.satisfaction(rng.integers(1, 401, 50_000), FIRST_VIDEO + rng.integers(0, 1_280, 50_000))

    assert abs(felt.mean()) < 0.3
    assert felt.std() == pytest.approx(1.2, abs=0.15)


def test_the_order_of_policies_is_random_quality_oracle(world: World, everybody: Ints) -> None:
    policies = (random_policy(world), best_by(world, world.videos.quality), oracle_policy(world))

    values = [np.nanmean(walk(world, policy, everybody).mean_satisfaction) for policy in policies]

    assert values == sorted(values)
    assert values[2] - values[0] > 1.0


def test_clickbait_holds_people_and_disappoints_them(world: World, everybody: Ints) -> None:
    of = world.videos
    honest = walk(world, best_by(world, of.quality - of.clickbait), everybody, most=60)
    bait = walk(world, best_by(world, of.quality + of.clickbait), everybody, most=60)

    assert np.nanmean(bait.mean_satisfaction) < np.nanmean(honest.mean_satisfaction) - 0.5
    assert bait.session_length.mean() > honest.session_length.mean()


def test_common_luck_makes_differences_of_policies_steadier(world: World, everybody: Ints) -> None:
    good, better = (
        best_by(world, world.videos.quality),
        best_by(world, world.videos.quality - 0.3 * world.videos.clickbait),
    )
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
    ("shown", "message"), [([0], "seen before"), ([None], "not public"), ([1, 1], "twice")]
)
def test_a_walk_refuses_what_a_feed_may_not_show(
    world: World, corpus: Ints, shown: list[int | None], message: str
) -> None:
    hidden = int(np.setdiff1d(world.videos.video_ids, corpus)[0])
    ids = [hidden if at is None else int(corpus[at]) for at in shown]

    with pytest.raises(ValueError, match=message):
        walk(world, lambda *_: ids, [2], END_US, {2: corpus[:1]})


def test_bots_are_not_walked(world: World) -> None:
    bots = world.people.user_ids[world.people.bot]

    with pytest.raises(ValueError, match=f"{bots[0]}.* are bots"):
        walk(world, random_policy(world), bots)


def test_a_walk_stays_in_the_corpus_it_is_given(world: World, everybody: Ints, corpus: Ints) -> None:
    few = corpus[::40]
    heard: list[int] = []

    walk(
        world,
        random_policy(world, few),
        everybody,
        corpus=few,
        told=lambda _user, videos, _ms: heard.extend(videos.tolist()),
    )

    assert set(heard) == set(few.tolist())


def test_what_is_public_appeared_was_not_caught_and_stands(world: World) -> None:
    now = END_US - 5 * 86_400_000_000
    rows = public_at(world, now) - FIRST_VIDEO

    assert (world.videos.uploaded_us[rows] < now).all()
    assert (world.videos.removed_us[rows] > now).all()
    assert not world.videos.caught[rows].any()


def test_what_stands_in_a_log_is_what_was_uploaded_and_not_removed() -> None:
    uploaded, removed = (pl.DataFrame({"video_id": ids}) for ids in ([5, 3, 9], [3]))

    assert public_in(uploaded, removed).tolist() == [5, 9]


def test_seen_videos_are_listed_once_per_person() -> None:
    watched = pl.DataFrame({"user_id": [1, 1, 2, 1], "video_id": [9, 5, 5, 9]})

    assert {user: ids.tolist() for user, ids in seen_by(watched).items()} == {1: [5, 9], 2: [5]}


def test_other_luck_is_another_session_of_the_same_people(world: World, everybody: Ints) -> None:
    other = World("tiny", 7, luck_seed=8)

    here, there = (walk(each, best_by(each, each.videos.quality), everybody) for each in (world, other))

    assert (other.people.warmth == world.people.warmth).all()
    assert (here.session_length != there.session_length).any()


def test_tastes_are_those_of_the_day(world: World) -> None:
    people, video = humans(world), FIRST_VIDEO
    first, last = (world.satisfaction(people, video, now) for now in (world.start_us, END_US - 1))

    assert (first != last).any()


def test_an_id_of_another_world_is_an_error_naming_the_range(world: World) -> None:
    with pytest.raises(KeyError, match="user ids run from 1 to 400"):
        world.satisfaction(401, FIRST_VIDEO)


def test_label_probabilities_are_what_people_then_do(world: World, lived_days: list[Lived]) -> None:
    rows = np.concatenate([day.watched for day in lived_days[:1]])
    rows = rows[~world.people.bot[rows["person"]] & (rows["surface"] == 0)]
    chances = world.label_probabilities(
        rows["person"] + 1,
        rows["video"].astype(np.int64) + FIRST_VIDEO,
        rows["served_us"],
        -world.coefficients.novelty,
    )
    duration_ms = world.videos.duration_ms[rows["video"]]
    happened = {
        "long_view": rows["watched_ms"] >= np.minimum(18_000, duration_ms),
        "click": rows["watched_ms"] >= np.minimum(7_000, duration_ms),
        "like": rows["reactions"] & 1 == 1,
        "profile": rows["reactions"] >> 3 & 1 == 1,
    }

    for name, came in happened.items():
        expected = chances[name]
        error = np.sqrt((expected * (1 - expected)).sum())
        assert abs(came.sum() - expected.sum()) < 3.3 * error, name
