"""Exact values are what drawing finds, in 99.9 % bands: slates, policies, examination, the built-in feed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from feature_repo.scales import Scale
from simulator import rollouts
from simulator.coefficients import PUBLISHED
from simulator.days import before_the_log, scene_of, shared_out
from simulator.enumeration import (
    Softmax,
    all_slates,
    browsed_worth,
    examination_curve,
    policy_worth,
    reach_probabilities,
    slate_probabilities,
    slate_worth,
    swiped_worth,
    taken,
)
from simulator.exposures import GRID, SWIPE, Exposures
from simulator.luck import keys
from simulator.person_days import Scene
from simulator.slates import DEFAULT, desk, find
from simulator.swipes import REMEMBERED, Encounters, browsed, swiped
from simulator.truth import humans, public_at
from simulator.visits import visits
from simulator.worlds import END_US, World

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
BAND = 3.29
"""Standard errors of a 99.9 % band."""
ITEMS, SLOTS = 5, 3


@pytest.fixture(scope="module")
def small() -> World:
    return World(Scale("small", users=120), seed=5)


@pytest.fixture(scope="module")
def corpus(small: World) -> Ints:
    return public_at(small)[:ITEMS]


@pytest.fixture(scope="module")
def scores(small: World, corpus: Ints) -> Floats:
    return small.satisfaction(small.people.user_ids[:, None], corpus)


def meetings(world: World, corpus: Ints, people: int = 20) -> Encounters:
    return world.encounters(
        world.rows_of_people(humans(world)[:people, None]), world.rows_of_videos(corpus), END_US
    )


def repeated(of: Encounters, times: int) -> Encounters:
    """Every row so many times."""
    return Encounters(**{name: np.repeat(part, times, axis=0) for name, part in vars(of).items()})


def agree(drawn: ArrayLike, exact: Floats | float) -> bool:
    """The mean of the draws [n] lies in the 99.9 % band around the exact mean."""
    gaps = np.asarray(drawn, dtype=np.float64) - exact
    return bool(abs(gaps.mean()) < BAND * gaps.std(ddof=1) / np.sqrt(len(gaps)))


def test_a_swiped_slate_is_worth_what_walking_it_finds(small: World, corpus: Ints) -> None:
    of, times = meetings(small, corpus), 3_000
    many, luck = repeated(of, times), keys(3, np.arange(20 * times))
    last = np.full((20 * times, REMEMBERED), -1)
    steps = np.broadcast_to(np.arange(ITEMS), (20 * times, ITEMS))
    found = swiped(small.coefficients, many, np.ones_like(steps, dtype=bool), last, luck, steps)

    exact = swiped_worth(small.coefficients, of)

    assert agree(found.reached.sum(axis=1), np.repeat(exact.length, times))
    assert agree((found.reached * many.satisfaction).sum(axis=1), np.repeat(exact.satisfaction, times))
    assert agree(1.0 - found.left, np.repeat(exact.stays, times))


def test_a_page_of_covers_is_worth_what_browsing_it_finds(small: World, corpus: Ints) -> None:
    of, times = meetings(small, corpus), 3_000
    many, luck = repeated(of, times), keys(4, np.arange(20 * times))
    steps = np.broadcast_to(np.arange(ITEMS), (20 * times, ITEMS))
    found = browsed(small.coefficients, many, np.ones_like(steps, dtype=bool), luck, steps)

    exact = browsed_worth(small.coefficients, of)

    assert agree(found.tapped.sum(axis=1), np.repeat(exact.length, times))
    assert agree((found.tapped * many.satisfaction).sum(axis=1), np.repeat(exact.satisfaction, times))
    assert agree(1.0 - found.left, np.repeat(exact.stays, times))
    for position, share in enumerate(examination_curve(small, ITEMS)):
        assert position == 0 or agree(found.examined[:, position], share)


def test_boredom_is_part_of_the_survival() -> None:
    world = World(Scale("small", users=120), seed=5)
    of = meetings(world, public_at(world)[:2], people=1)
    same = Encounters(**vars(of) | {"topics": np.zeros_like(of.topics)})
    other = Encounters(**vars(of) | {"topics": np.asarray([[0, 1]])})

    bored, fresh = (reach_probabilities(world.coefficients, each) for each in (same, other))

    assert bored[0, 1] == fresh[0, 1]
    assert bored[0, 2] < fresh[0, 2]


def test_slate_probabilities_are_the_definition_and_add_to_one() -> None:
    rule, weights = Softmax(0.5, explored_share=0.2), np.exp(np.asarray([0.3, 0.0, -0.4, 1.0]) / 0.5)
    slates = all_slates(4, 3)

    found = slate_probabilities(0.5 * np.log(weights)[None], slates, rule)[0]

    assert found.sum() == pytest.approx(1.0)
    for slate, chance in zip(slates.tolist(), found, strict=True):
        left, by_hand = dict(enumerate(weights)), 1.0
        for item in slate:
            by_hand *= 0.8 * left[item] / sum(left.values()) + 0.2 / len(left)
            del left[item]
        assert chance == pytest.approx(by_hand)


def test_what_was_not_found_is_shown_by_exploration_only() -> None:
    scores, slates = np.asarray([[0.0, 0.0, -np.inf]]), all_slates(3, 2)

    chance = slate_probabilities(scores, slates, Softmax(0.4, explored_share=0.1))[0]

    assert chance[slates[:, 0] == 2].sum() == pytest.approx(0.1 / 3)


def test_too_many_slates_name_the_other_way() -> None:
    with pytest.raises(ValueError, match=r"rollouts\.worth_of"):
        all_slates(40, 10)


def test_a_policy_is_worth_what_its_walks_find(small: World, corpus: Ints, scores: Floats) -> None:
    people, rule = humans(small)[:60], Softmax(0.4, explored_share=0.1, slots=SLOTS)

    exact = rollouts.worth_of(small, people, scores, corpus, rule)
    walked = rollouts.walked_worth(small, people, scores, corpus, rule, repeats=60)

    assert exact.exact
    assert not walked.exact
    for gaps, errors in (
        (walked.length - exact.length, walked.length_error),
        (walked.satisfaction - exact.satisfaction, walked.satisfaction_error),
    ):
        assert abs(gaps.mean()) < BAND * np.sqrt((errors**2).mean() / len(people))


def test_what_is_too_much_to_enumerate_is_walked(small: World) -> None:
    many, people = public_at(small)[:40], humans(small)[:10]
    scores = np.zeros((len(small.people.user_ids), len(many)))

    found = rollouts.worth_of(small, people, scores, many, Softmax(1.0, slots=6), repeats=5)

    assert not found.exact
    assert (found.length >= 1.0).all()
    assert (found.length_error > 0.0).any()


def test_a_colder_softmax_is_worth_more_than_a_uniform_draw(
    small: World, corpus: Ints, scores: Floats
) -> None:
    people = humans(small)

    greedy, uniform = (
        rollouts.worth_of(small, people, scores, corpus, Softmax(0.01, explored, SLOTS))
        for explored in (0.0, 1.0)
    )

    assert greedy.satisfaction.mean() > uniform.satisfaction.mean()


def test_a_slate_of_ids_is_worth_what_its_encounters_are(small: World, corpus: Ints) -> None:
    of = meetings(small, corpus, people=3)

    for surface, exact in ((SWIPE, swiped_worth), (GRID, browsed_worth)):
        found = slate_worth(small, humans(small)[:3], np.tile(corpus, (3, 1)), surface=surface)

        assert found.satisfaction == pytest.approx(exact(small.coefficients, of).satisfaction)


@dataclass(frozen=True)
class FirstSessions:
    """The first request of each person's day in worlds of other luck, from a corpus of five; and its law."""

    rows: Exposures  # [sessions, 5]
    worth: Floats  # [sessions] expected satisfaction
    length: Floats  # [sessions] expected impressions or taps
    first: Floats  # [sessions, 5] chance of each video to be on top
    corpus: Ints


def first_sessions(surface: int, lucks: int = 60) -> FirstSessions:
    """Lived by the compiled day, and enumerated; only where retrieval found all five, so all is known."""
    half_and_half = PUBLISHED._replace(grid_share=0.5)
    worlds = [World(Scale("small", users=120), 5, half_and_half, luck_seed=luck) for luck in range(lucks)]
    parts = [_lived(world, surface) for world in worlds]
    columns = zip(*((p.rows, p.worth, p.length, p.first) for p in parts), strict=True)
    rows, worth, length, first = (np.concatenate(column) for column in columns)
    return FirstSessions(rows, worth, length, first, parts[0].corpus)


def _lived(world: World, surface: int) -> FirstSessions:
    memory = before_the_log(world)
    memory.public = five = memory.public[-ITEMS:]
    scene = scene_of(world, SURE, 0, memory, visits(world, 0, memory.habit, memory.invited))
    found_all = _finds_all(world, scene)
    rows = shared_out(scene, 0, len(world.videos.video_ids), 1, 1024)
    wanted = (rows["session"] == 0) & (rows["request"] == 0) & (rows["surface"] == surface)
    rows = rows[wanted & found_all[rows["person"]]].reshape(-1, ITEMS)
    people, now = rows["person"][:, :1].astype(np.int64), rows["served_us"][:, :1]
    scores = scene.known.video_scores[five] + scene.known.affinity[people, scene.known.topics[five]]
    of = world.encounters(people, five, now, weariness=-world.coefficients.novelty)
    rule, slates = Softmax(SURE.temperature, SURE.explored_share, ITEMS), all_slates(ITEMS, ITEMS)
    exact = policy_worth(world.coefficients, of, scores, rule, surface)
    chance = slate_probabilities(scores, slates, rule)
    first = np.stack([chance[:, slates[:, 0] == item].sum(axis=1) for item in range(ITEMS)], axis=1)
    return FirstSessions(rows, exact.satisfaction, exact.length, first, five)


def _finds_all(world: World, scene: Scene) -> NDArray[np.bool_]:
    """Which people's first request of the day retrieves all five videos; no bots."""
    at, nothing, found = desk(len(scene.known.topics)), scene.memory.seen[0] & 0, ~scene.people.bot
    luck = keys(world.luck, world.people.user_ids, 0, 0)
    for person in np.flatnonzero(found).tolist():
        find(SURE, scene.known, person, ITEMS, luck[person], nothing, at)
        found[person] = (at.found >= 0).sum() == ITEMS
    return found


SURE = DEFAULT._replace(trending_share=1.0, lean=1.0, follow_bonus=0.0, explored_share=0.2)
"""Retrieval that finds all of five videos as good as always; exploration that can be counted."""


@pytest.mark.parametrize("surface", [SWIPE, GRID])
def test_the_built_in_feed_is_worth_what_enumeration_says(surface: int) -> None:
    found = first_sessions(surface)

    assert len(found.rows) > 1_200
    reached = found.rows["reached"]
    assert agree(reached.sum(axis=1), found.length)
    assert agree((reached * found.rows["satisfaction"]).sum(axis=1), found.worth)


def test_the_built_in_feed_puts_on_top_what_its_propensities_say() -> None:
    found = first_sessions(SWIPE)
    top = found.rows[:, 0]

    at = np.searchsorted(found.corpus, top["video"])
    assert top["propensity"] == pytest.approx(found.first[np.arange(len(at)), at], abs=1e-9)
    for item, video in enumerate(found.corpus):
        assert agree((top["video"] == video), found.first[:, item])


def test_eyes_fall_on_covers_as_often_as_the_curve_says() -> None:
    found = first_sessions(GRID)

    for position, share in enumerate(examination_curve(World(Scale("small", users=120), 5), ITEMS)):
        looked = found.rows["examined"][:, position]
        assert (looked == 1.0).all() if position == 0 else agree(looked, share)


def test_encounters_are_taken_in_the_order_of_each_slate(small: World, corpus: Ints) -> None:
    of, slates = meetings(small, corpus, people=2), np.asarray([[4, 0], [1, 2]])

    found = taken(of, slates)

    assert found.pull.tolist() == of.pull[:, slates].reshape(4, 2).tolist()
