"""The logged propensities are exact: they are what counting finds, and they add to one."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from simulator.days import before_the_log, digested
from simulator.logging_policy import (
    EXPLORATION,
    SLATE,
    SOURCE_OF_COLUMN,
    TEMPERATURE,
    Requests,
    Slates,
    allowed,
    candidates,
    mixed,
    scores,
    slates,
)
from simulator.luck import keys
from simulator.pairs import Pairs
from simulator.targets import EXPLORED_SHARE
from simulator.truth import World

CORPUS = 6
FOUND = [4, 1, 3]
LOGITS = np.asarray([0.3, 0.0, -0.2])
SEEN = 2


def many_slates(n: int) -> Slates:
    """n requests of one person who has seen video 2 of six; three candidates, padded to a slate."""
    seen = Pairs(1, CORPUS)
    seen.add(np.asarray([0]), np.asarray([SEEN]))
    found = np.full((n, SLATE), -1)
    found[:, :3] = FOUND
    logits = np.zeros((n, SLATE))
    logits[:, :3] = LOGITS
    of = Requests(np.zeros(n, dtype=np.int64), keys(7, np.arange(n)), np.full(n, CORPUS))
    return slates(found, logits, allowed(found, of, seen), of, seen)


@pytest.fixture(scope="module")
def counted() -> Slates:
    return many_slates(120_000)


def by_hand(order: tuple[int, ...]) -> list[float]:
    """The definition, item by item: (1 - e) * share of the softmax left + e / videos left to see."""
    left = dict(zip(FOUND, np.exp(LOGITS / TEMPERATURE), strict=True))
    chances = []
    for slot, video in enumerate(order):
        softmax = left.get(video, 0.0) / sum(left.values())
        chances.append((1 - EXPLORED_SHARE) * softmax + EXPLORED_SHARE / (CORPUS - 1 - slot))
        left.pop(video, None)
    return chances


@pytest.mark.parametrize("order", list(permutations([0, 1, 3, 4, 5], 2)))
def test_pairs_come_first_as_often_as_their_propensities_say(counted: Slates, order: tuple[int, int]) -> None:
    n = len(counted.videos)

    times = (counted.videos[:, :2] == order).all(axis=1).sum()
    expected = np.prod(by_hand(order))

    assert abs(times - n * expected) < 4.5 * np.sqrt(n * expected) + 1


def test_every_logged_propensity_is_the_definition(counted: Slates) -> None:
    rows = np.concatenate([np.flatnonzero(counted.explored.any(axis=1))[:300], np.arange(300)])

    for row in rows:
        shown = tuple(counted.videos[row][counted.videos[row] >= 0].tolist())
        assert counted.propensities[row, : len(shown)].tolist() == pytest.approx(by_hand(shown))


def test_the_propensities_of_a_slot_add_to_one() -> None:
    for above in ([], [4], [5, 3]):
        rest = [video for video in (0, 1, 3, 4, 5) if video not in above]
        assert sum(by_hand((*above, video))[-1] for video in rest) == pytest.approx(1.0)


def test_explored_slots_are_as_many_as_said_and_uniform(counted: Slates) -> None:
    slots = (counted.videos[:, 0] >= 0).sum()
    explored = counted.videos[:, 0][counted.explored[:, 0]]

    assert abs(len(explored) - slots * EXPLORED_SHARE) < 4.5 * np.sqrt(slots * EXPLORED_SHARE)
    assert set(explored.tolist()) == {0, 1, 3, 4, 5}
    assert np.bincount(explored, minlength=CORPUS)[[0, 1, 3, 4, 5]].std() < 4.5 * np.sqrt(len(explored) / 5)
    assert (counted.sources[counted.explored] == EXPLORATION).all()


def test_no_video_is_in_a_slate_twice_and_none_was_seen(counted: Slates) -> None:
    ordered = np.sort(counted.videos, axis=1)
    real = ordered[:, 1:] >= 0

    assert not ((ordered[:, 1:] == ordered[:, :-1]) & real).any()
    assert not (counted.videos == SEEN).any()


def test_mixing_with_the_uniform_draw_keeps_the_softmax_in_proportion() -> None:
    shares = np.asarray([0.5, 0.25, 0.25, 0.0])

    found = mixed(shares, np.full(4, 4))

    assert found.sum() == pytest.approx(1.0)
    assert found[3] == pytest.approx(EXPLORED_SHARE / 4)


def requests_at_noon(world: World) -> Requests:
    people = np.arange(100)
    moment = world.start_us + 12 * 3_600_000_000
    return Requests(people, keys(7, people), np.full(100, int(world.videos.existing_at(moment))))


def test_a_request_scores_forty_candidates_or_more_and_all_of_them_exist(world: World) -> None:
    memory, of = before_the_log(world), requests_at_noon(world)
    found = candidates(digested(world, 0, memory), of)

    free = allowed(found, of, memory.seen)

    assert np.median(free.sum(axis=1)) >= 40
    assert (found < of.existing[:, None]).all()


def test_repeated_candidates_are_scored_once(world: World) -> None:
    memory, of = before_the_log(world), requests_at_noon(world)
    found = np.full((100, len(SOURCE_OF_COLUMN)), 5)

    assert allowed(found, of, memory.seen).sum(axis=1).tolist() == [1] * 100


def test_a_better_counted_video_scores_higher(world: World) -> None:
    known = digested(world, 0, before_the_log(world))
    best, worst = int(np.argmax(known.video_scores)), int(np.argmin(known.video_scores))
    width = len(SOURCE_OF_COLUMN)

    found = scores(known, np.zeros(1, dtype=np.int64), np.asarray([[best, worst] + [0] * (width - 2)]))

    lift = known.affinity[0, known.topics[[best, worst]]]
    assert found[0, 0] - lift[0] > found[0, 1] - lift[1]


def test_a_slate_has_ten_slots(counted: Slates) -> None:
    assert counted.videos.shape[1] == SLATE == 10
