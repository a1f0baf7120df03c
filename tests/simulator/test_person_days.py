"""The compiled day and its twin on arrays tell the same story, item by item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from feature_repo.clock import DAY_US
from simulator import behaviour
from simulator.behaviour import REACTIONS
from simulator.days import Lived, before_the_log, days, lived
from simulator.dials import Dial
from simulator.exposures import GRID, SWIPE, Exposures, reacted
from simulator.luck import Keys, keys
from simulator.scenarios import Scenario
from simulator.slates import DEFAULT, SLATE
from simulator.swipes import REMEMBERED, Encounters, browsed, swiped
from simulator.swipes import reacted as drawn_reactions
from simulator.worlds import World

FOLLOW = "follow"


@dataclass(frozen=True)
class Replayed:
    """Whole slates of a lived day [n, 10] and what the twin makes of the same meetings with the same luck."""

    rows: Exposures
    of: Encounters
    luck: Keys
    last_topics: NDArray[np.int64]


@pytest.fixture(scope="module")
def first_day(world: World) -> Lived:
    """Nobody is weary of anything but by novelty, as nothing was seen before."""
    return lived(world, DEFAULT, 0, before_the_log(world))


def replayed(world: World, day: Lived, surface: int) -> Replayed:
    """Every whole slate of people on this surface; `felt` must agree too, so encounters are the World's."""
    rows = day.rows[~world.people.bot[day.rows["person"]] & (day.rows["surface"] == surface)]
    starts = np.flatnonzero(rows["position"] == 0)
    whole = starts[np.diff(np.append(starts, len(rows))) == SLATE]
    slates = rows[whole[:, None] + np.arange(SLATE)]
    people = slates["person"][:, :1].astype(np.int64)
    of = world.encounters(people, slates["video"], slates["served_us"], -world.coefficients.novelty)
    luck = keys(world.luck, world.people.user_ids[people[:, 0]], slates["session"][:, 0])
    return Replayed(slates, of, luck, _topics_before(world, rows, whole))


def _topics_before(world: World, rows: Exposures, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Topics of the six items before each slate in its session; those before a next slate were all seen."""
    back = starts[:, None] - np.arange(REMEMBERED, 0, -1)
    before = rows[np.maximum(back, 0)]
    own = (before["person"] == rows["person"][starts, None]) & (
        before["session"] == rows["session"][starts, None]
    )
    return np.where(own & (back >= 0), world.videos.topics[before["video"]], -1)


@pytest.fixture(scope="module")
def swipes(world: World, first_day: Lived) -> Replayed:
    return replayed(world, first_day, SWIPE)


def test_both_feel_the_same_pull_and_satisfaction(swipes: Replayed) -> None:
    seen = swipes.rows["reached"]

    assert seen.sum() > 1_000
    assert swipes.rows["pull"][seen] == pytest.approx(swipes.of.pull[seen], abs=1e-5)
    assert swipes.rows["satisfaction"][seen] == pytest.approx(swipes.of.satisfaction[seen], abs=1e-5)


def test_both_watch_the_same_and_leave_at_the_same_item(world: World, swipes: Replayed) -> None:
    rows, present = swipes.rows, np.ones(swipes.rows.shape, dtype=bool)

    twin = swiped(world.coefficients, swipes.of, present, swipes.last_topics, swipes.luck, rows["step"])

    assert (twin.reached == rows["reached"]).all()
    assert np.abs(twin.watched_ms - rows["watched_ms"])[rows["reached"]].max() <= 1


def test_both_react_alike(world: World, swipes: Replayed) -> None:
    rows, seen = swipes.rows, swipes.rows["reached"]

    twin = drawn_reactions(
        world.coefficients, swipes.of, rows["watched_ms"], swipes.luck[:, None], rows["step"]
    )

    for number, name in enumerate(REACTIONS):
        found = reacted(rows, number)
        if name == FOLLOW:  # the lived day forgets the follow of somebody followed already
            assert (found <= twin[name]).all()
        else:
            assert (found == twin[name])[seen].all()
    assert reacted(rows, 0).sum() > 10


def test_both_browse_a_page_alike(world: World, first_day: Lived) -> None:
    pages = replayed(world, first_day, GRID)
    rows, present = pages.rows, np.ones(pages.rows.shape, dtype=bool)

    twin = browsed(world.coefficients, pages.of, present, pages.luck, rows["step"])

    assert rows["reached"].sum() > 10
    assert (twin.examined == rows["examined"]).all()
    assert (twin.tapped == rows["reached"]).all()
    assert np.abs(twin.watched_ms - rows["watched_ms"]).max() <= 1


def test_a_page_after_which_the_app_was_closed_is_the_last_of_its_session(
    world: World, first_day: Lived
) -> None:
    pages = replayed(world, first_day, GRID)

    twin = browsed(
        world.coefficients, pages.of, np.ones(pages.rows.shape, bool), pages.luck, pages.rows["step"]
    )

    first = pages.rows[:, 0]
    goes_on = (first["person"][:-1] == first["person"][1:]) & (first["session"][:-1] == first["session"][1:])
    assert not (goes_on & twin.left[:-1]).any()


def a_world_with(kind: str, **values: float) -> World:
    """The tiny world with one dial over the middle half of its first day."""
    start_us = World("tiny", 7).start_us
    dial = Dial(kind, start_us + DAY_US // 4, start_us + 3 * DAY_US // 4, tuple(values.items()))
    return World("tiny", 7, scenario=Scenario("dialled", (dial,), start_us))


def test_a_viral_topic_pulls_more_while_it_is_viral() -> None:
    world = a_world_with("viral", topic=0, logits=2.0)
    rows = next(days(world)).rows
    rows = rows[~world.people.bot[rows["person"]] & rows["reached"]]

    fresh = behaviour.weariness(world.coefficients, 0.0)
    told = world.encounters(rows["person"], rows["video"], rows["served_us"], fresh).pull
    calm = World("tiny", 7).encounters(rows["person"], rows["video"], rows["served_us"], fresh).pull

    assert rows["pull"] == pytest.approx(told)
    assert set(np.round(told - calm, 6).tolist()) == {0.0, 2.0}


def test_likes_at_other_odds_come_to_who_liked_already_and_more(world: World) -> None:
    dialled = a_world_with("like_times", times=20.0)
    usual, more = (next(days(each)).rows for each in (world, dialled))
    likes, dialled_likes = (reacted(rows, 0) for rows in (usual, more))

    inside = dialled.scenario.dials[0].holds_at(usual["served_us"])

    assert (more["video"] == usual["video"]).all()
    assert (likes <= dialled_likes).all()
    assert (likes == dialled_likes)[~inside].all()
    assert dialled_likes[inside].sum() > 5 * likes[inside].sum() > 0
