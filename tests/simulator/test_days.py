"""What happens in the world obeys its own laws: no video twice, nothing before it exists."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from feature_repo.clock import DAY_US, HOUR_US
from simulator.behaviour import REACTIONS
from simulator.days import Lived, before_the_log, days, lived
from simulator.exposures import GRID, SWIPE, Exposures, reacted
from simulator.slates import DEFAULT, EXPLORED_SHARE, SLATE, SOURCES
from simulator.swipes import same_topic_in_last_6
from simulator.visits import SESSIONS_PER_DAY, visits
from simulator.worlds import World


@pytest.fixture(scope="module")
def served(lived_days: list[Lived]) -> Exposures:
    return np.concatenate([day.rows for day in lived_days])


@pytest.fixture(scope="module")
def watched(served: Exposures) -> Exposures:
    return np.asarray(served[served["reached"]])


@pytest.fixture(scope="module")
def human(world: World, served: Exposures) -> Exposures:
    return np.asarray(served[~world.people.bot[served["person"]]])


def request_of(rows: Exposures) -> NDArray[np.int64]:
    session = rows["person"] * np.int64(10_000) + rows["session"]
    return np.asarray(session * 1000 + rows["request"])


def test_a_seen_video_never_returns(served: Exposures) -> None:
    met = set()
    for person, video, reached in zip(
        served["person"].tolist(), served["video"].tolist(), served["reached"].tolist(), strict=True
    ):
        assert (person, video) not in met
        if reached:
            met.add((person, video))


def test_nothing_is_served_before_it_is_uploaded(world: World, served: Exposures) -> None:
    assert (world.videos.uploaded_us[served["video"]] < served["served_us"]).all()


def test_nothing_is_served_that_moderation_took_down_the_day_before(world: World, served: Exposures) -> None:
    dawn_us = served["served_us"] // DAY_US * DAY_US

    assert (world.videos.removed_us[served["video"]] >= dawn_us - DAY_US).all()


def test_nobody_is_served_before_they_join(world: World, served: Exposures) -> None:
    assert (world.people.joined_us[served["person"]] < served["served_us"]).all()


def test_what_was_reached_by_swiping_is_the_top_of_each_slate(served: Exposures) -> None:
    rows = served[served["surface"] == SWIPE]
    reached, first = rows["reached"], rows["position"] == 0

    assert reached[first].all()
    assert (reached[1:] <= (reached[:-1] | first[1:])).all()


def test_a_cover_is_tapped_only_if_eyes_fell_on_it(served: Exposures) -> None:
    grid = served[served["surface"] == GRID]

    assert len(grid) > 0
    assert (grid["reached"] <= grid["examined"]).all()
    assert 0 < grid["reached"].sum() < grid["examined"].sum() < len(grid)


def test_a_person_does_one_thing_at_a_time(watched: Exposures) -> None:
    rows = watched[np.lexsort((watched["started_us"], watched["person"]))]
    end = rows["started_us"] + rows["watched_ms"] * np.int64(1000)

    same = rows["person"][1:] == rows["person"][:-1]
    assert (rows["started_us"][1:] >= end[:-1])[same].all()


def test_a_session_number_names_its_day(lived_days: list[Lived]) -> None:
    for day in lived_days:
        assert (day.rows["session"] // SESSIONS_PER_DAY == day.day).all()


def test_the_same_seed_lives_the_same_days(lived_days: list[Lived]) -> None:
    again = next(iter(days(World("tiny", 7))))

    assert again.rows.tobytes() == lived_days[0].rows.tobytes()


@pytest.mark.parametrize(("workers", "chunk"), [(1, 7), (2, 100), (3, 1000)])
def test_any_number_of_workers_and_any_chunks_live_the_same_day(
    lived_days: list[Lived], workers: int, chunk: int
) -> None:
    world = World("tiny", 7)

    again = lived(world, DEFAULT, 0, before_the_log(world), workers, chunk)

    assert again.rows.tobytes() == lived_days[0].rows.tobytes()


def test_another_seed_lives_others() -> None:
    ours, other = (next(iter(days(World("tiny", seed)))) for seed in (7, 8))

    assert len(other.rows) != len(ours.rows)


def test_the_explored_share_of_slots_is_as_published(served: Exposures) -> None:
    n = len(served)

    assert abs(served["explored"].sum() - n * EXPLORED_SHARE) < 3.3 * np.sqrt(n * EXPLORED_SHARE)


def test_the_policy_beats_chance_while_there_is_something_to_choose(human: Exposures) -> None:
    seen = human[human["reached"] & (human["session"] < 3 * SESSIONS_PER_DAY)]
    random = seen["source"] >= SOURCES.index("random")

    assert seen["satisfaction"][~random].mean() > seen["satisfaction"][random].mean()


def test_slates_are_full_while_there_is_something_to_see(human: Exposures) -> None:
    sizes = np.unique(request_of(human), return_counts=True)[1]

    assert (sizes <= SLATE).all()
    assert (sizes == SLATE).mean() > 0.97


def test_nobody_follows_the_same_creator_twice(world: World, watched: Exposures) -> None:
    new = watched[reacted(watched, REACTIONS.index("follow"))]
    pairs = list(zip(new["person"].tolist(), world.videos.creators[new["video"]].tolist(), strict=True))

    assert len(pairs) > 0
    assert len(set(pairs)) == len(pairs)


def test_bots_ask_for_much_and_hardly_watch(world: World, watched: Exposures) -> None:
    is_bot = world.people.bot[watched["person"]]
    bots = watched[is_bot]
    to_the_end = bots["watched_ms"] == world.videos.duration_ms[bots["video"]]

    assert is_bot.mean() > 3 * world.people.bot.mean()
    assert ((bots["watched_ms"] <= 1000) | to_the_end).all()
    assert (bots["reactions"] == 0).all()


def test_few_are_asked_and_fewer_answer(human: Exposures) -> None:
    seen = human[human["reached"]]["survey"]

    asked, answered = (seen != 0).sum(), (seen > 0).sum()
    assert asked == pytest.approx(0.005 * len(seen), rel=0.5)
    assert 0 < answered < asked
    assert set(seen.tolist()) <= {-1, 0, 1, 2, 3, 4, 5}


def test_newcomers_come_on_the_day_they_join(world: World) -> None:
    start = world.start_us + 3 * DAY_US
    joined = world.people.joined_us
    new = np.flatnonzero((joined >= start) & (joined < start + DAY_US))
    everybody = len(joined)

    found = visits(world, 3, np.full(everybody, 0.6), np.zeros(everybody, dtype=np.int64))

    assert len(new) > 0
    assert set(new.tolist()) <= set(found.people.tolist())
    assert (found.starts_us[:, 0] > joined[found.people]).all()


def test_who_is_invited_comes_and_comes_once_more(world: World) -> None:
    everybody = len(world.people.user_ids)
    habit, nobody = np.full(everybody, 0.6), np.zeros(everybody, dtype=np.int64)
    usual = visits(world, 3, habit, nobody)

    found = visits(world, 3, habit, np.ones(everybody, dtype=np.int64))

    old = world.people.joined_us < world.start_us
    assert set(np.flatnonzero(old).tolist()) <= set(found.people.tolist())
    again = np.isin(found.people, usual.people)
    assert (found.counts[again] == np.minimum(usual.counts + 1, 8)).all()


def test_the_evening_is_busier_than_the_night(human: Exposures) -> None:
    hours = human["served_us"] % DAY_US // HOUR_US

    assert (np.isin(hours, [19, 20, 21])).sum() > 1.5 * (np.isin(hours, [3, 4, 5])).sum()


def test_repeated_topics_are_counted_over_six_impressions_across_slates() -> None:
    last = np.asarray([[-1, -1, 4, 5, 4, 4]])

    found = same_topic_in_last_6(np.asarray([[4, 5, 5, 9]]), last)

    assert found.tolist() == [[3.0, 1.0, 2.0, 0.0]]


def test_a_request_scores_forty_candidates_or_more(world: World) -> None:
    from simulator.days import scene_of
    from simulator.luck import keys
    from simulator.slates import desk, find

    memory = before_the_log(world)
    lived(world, DEFAULT, 0, memory)
    scene = scene_of(world, DEFAULT, 1, memory, visits(world, 1, memory.habit, memory.invited))
    at, free = desk(len(world.videos.video_ids)), []
    for person in range(100):
        of = keys(7, person)[0]
        find(DEFAULT, scene.known, person, 300, of, memory.people.seen[person], at)
        free.append((at.found >= 0).sum())

    assert np.median(free) >= 40
