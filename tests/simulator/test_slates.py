"""The logged propensities are exact: they are what counting finds, and they add to one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.luck import keys
from simulator.slates import (
    CANDIDATES,
    DEFAULT,
    EXPLORATION,
    EXPLORED_SHARE,
    NONE,
    SLATE,
    UNIFORM,
    Desk,
    Known,
    Policy,
    candidate,
    choose,
    desk,
    find,
    mixed,
)

CORPUS = 6
FOUND = [4, 1, 3]
LOGITS = np.asarray([0.3, 0.0, -0.2])
SEEN = 2


@dataclass(frozen=True)
class Counted:
    """Many slates of one person: videos (-1 pads), sources, explored, propensities, [n, 10]."""

    videos: NDArray[np.int64]
    sources: NDArray[np.int64]
    explored: NDArray[np.bool_]
    propensities: NDArray[np.float64]


def known_of(videos: int, people: int = 1) -> Known:
    """A policy that knows every video, one topic, one creator, whom everybody follows."""
    rows = np.arange(videos)
    return Known(
        video_scores=np.linspace(-1, 1, videos),
        affinity=np.zeros((people, 24)),
        topic_odds=np.cumsum(np.full((people, 24), 1 / 24), axis=1),
        topics=rows % 24,
        corpus=rows,
        corpus_us=rows,
        trending=rows[::-1].copy(),
        topic_starts=np.searchsorted(np.sort(rows % 24), np.arange(25)),
        topic_rows=np.argsort(rows % 24, kind="stable"),
        follow_starts=np.arange(people + 1),
        follow_rows=np.zeros(people, np.int64),
        creator_starts=np.asarray([0, videos]),
        creator_rows=rows[::-1].copy(),
    )


def bits_of(seen: list[int], videos: int) -> NDArray[np.uint8]:
    bits = np.zeros(videos // 8 + 1, np.uint8)
    for video in seen:
        bits[video >> 3] |= np.uint8(1 << (video & 7))
    return bits


def one_slate(policy: Policy, of: np.uint64, at: Desk) -> int:
    """Three scored candidates for a person who has seen video 2 of six."""
    at.found[:], at.found[:3], at.scores[:3] = NONE, FOUND, LOGITS
    return choose(policy, known_of(CORPUS), CORPUS, CORPUS - 1, of, bits_of([SEEN], CORPUS), at)


def many_slates(n: int, policy: Policy = DEFAULT) -> Counted:
    at = desk(CORPUS)
    videos, sources = np.full((n, SLATE), NONE), np.zeros((n, SLATE), np.int64)
    explored, propensities = np.zeros((n, SLATE), bool), np.zeros((n, SLATE))
    for row, of in enumerate(keys(7, np.arange(n))):
        filled = one_slate(policy, of, at)
        videos[row, :filled], sources[row, :filled] = at.videos[:filled], at.sources[:filled]
        explored[row, :filled], propensities[row, :filled] = at.explored[:filled], at.propensities[:filled]
    return Counted(videos, sources, explored, propensities)


@pytest.fixture(scope="module")
def counted() -> Counted:
    return many_slates(60_000)


def by_hand(order: tuple[int, ...]) -> list[float]:
    """The definition, item by item: (1 - e) * share of the softmax left + e / videos left to see."""
    left = dict(zip(FOUND, np.exp(LOGITS / DEFAULT.temperature), strict=True))
    chances = []
    for slot, video in enumerate(order):
        softmax = left.get(video, 0.0) / sum(left.values()) if left else 0.0
        chances.append((1 - EXPLORED_SHARE) * softmax + EXPLORED_SHARE / (CORPUS - 1 - slot))
        left.pop(video, None)
    return chances


@pytest.mark.parametrize("order", list(permutations([0, 1, 3, 4, 5], 2)))
def test_pairs_come_first_as_often_as_their_propensities_say(
    counted: Counted, order: tuple[int, int]
) -> None:
    n = len(counted.videos)

    times = (counted.videos[:, :2] == order).all(axis=1).sum()
    expected = np.prod(by_hand(order))

    assert abs(times - n * expected) < 4.5 * np.sqrt(n * expected) + 1


def test_every_logged_propensity_is_the_definition(counted: Counted) -> None:
    rows = np.concatenate([np.flatnonzero(counted.explored.any(axis=1))[:300], np.arange(300)])

    for row in rows:
        shown = tuple(counted.videos[row][counted.videos[row] >= 0].tolist())
        assert counted.propensities[row, : len(shown)].tolist() == pytest.approx(by_hand(shown))


def test_the_propensities_of_a_slot_add_to_one() -> None:
    for above in ([], [4], [5, 3]):
        rest = [video for video in (0, 1, 3, 4, 5) if video not in above]
        assert sum(by_hand((*above, video))[-1] for video in rest) == pytest.approx(1.0)


def test_explored_slots_are_as_many_as_said_and_uniform(counted: Counted) -> None:
    slots = (counted.videos[:, 0] >= 0).sum()
    explored = counted.videos[:, 0][counted.explored[:, 0]]

    assert abs(len(explored) - slots * EXPLORED_SHARE) < 4.5 * np.sqrt(slots * EXPLORED_SHARE)
    assert set(explored.tolist()) == {0, 1, 3, 4, 5}
    assert np.bincount(explored, minlength=CORPUS)[[0, 1, 3, 4, 5]].std() < 4.5 * np.sqrt(len(explored) / 5)
    assert (counted.sources[counted.explored] == EXPLORATION).all()


def test_no_video_is_in_a_slate_twice_and_none_was_seen(counted: Counted) -> None:
    ordered = np.sort(counted.videos, axis=1)
    real = ordered[:, 1:] >= 0

    assert not ((ordered[:, 1:] == ordered[:, :-1]) & real).any()
    assert not (counted.videos == SEEN).any()


def test_the_uniform_policy_shows_everything_there_is_with_equal_odds() -> None:
    found = many_slates(200, UNIFORM)

    assert np.sort(found.videos[:, :5], axis=1).tolist() == [[0, 1, 3, 4, 5]] * 200
    assert found.propensities[:, :5].tolist() == [pytest.approx([1 / 5, 1 / 4, 1 / 3, 1 / 2, 1.0])] * 200


def test_mixing_with_the_uniform_draw_keeps_the_softmax_in_proportion() -> None:
    found = [mixed(EXPLORED_SHARE, share, 4) for share in (0.5, 0.25, 0.25, 0.0)]

    assert sum(found) == pytest.approx(1.0)
    assert found[3] == pytest.approx(EXPLORED_SHARE / 4)


def test_every_candidate_exists_at_the_moment_of_its_request() -> None:
    known, of, existing = known_of(500), keys(7, 3)[0], 400
    young = known._replace(trending=known.corpus[:300], creator_rows=known.corpus[:300])
    young = young._replace(topic_rows=np.sort(known.topic_rows) % 300, creator_starts=np.asarray([0, 300]))

    found = [candidate(DEFAULT, young, 0, existing, column, of) for column in range(CANDIDATES)]

    assert all(0 <= video < existing for video in found)


def test_repeated_and_seen_candidates_are_not_scored() -> None:
    at, known = desk(4), known_of(4)

    find(DEFAULT, known, 0, 4, keys(7, 3)[0], bits_of([0], 4), at)

    assert sorted(at.found[at.found >= 0].tolist()) == [1, 2, 3]


def test_a_better_counted_video_scores_higher() -> None:
    at, known = desk(40), known_of(40)

    find(DEFAULT._replace(follow_bonus=0.0), known, 0, 40, keys(7, 3)[0], bits_of([], 40), at)

    real = at.found >= 0
    assert (np.argsort(at.found[real]) == np.argsort(at.scores[real])).all()
    assert real.sum() > 10
