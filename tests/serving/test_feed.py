"""The laws of a feed: what each verb may do, what a failure does, and what the funnel tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.feed import Feed, Funnel
from tests.serving.builders import Fails, Finds, Refuses, Says, Scores, a_feed, a_query, ranked

ids = st.lists(st.integers(0, 50), max_size=30, unique=True)


def rank(feed: Feed, **query: Any) -> Funnel:
    return feed.rank(a_query(**query), np.random.default_rng(0))


def test_the_best_scored_come_first() -> None:
    assert ranked(a_feed(sources=[Finds(3, 9, 5)])) == [9, 5, 3]


def test_a_slate_is_never_longer_than_asked() -> None:
    assert len(ranked(a_feed(sources=[Finds(*range(40))]), a_query(limit=4))) == 4


def test_a_video_found_twice_is_considered_once_and_credited_to_the_first_source() -> None:
    funnel = rank(a_feed(sources=[Finds(1, 2, name="first"), Finds(2, 3, name="second")]))

    assert funnel.union.ids.tolist() == [1, 2, 3]
    assert [funnel.source_of(row) for row in range(3)] == ["first", "first", "second"]
    assert funnel.union["found_by"].tolist() == [0b01, 0b11, 0b10]


def test_a_source_brings_no_more_than_its_quota() -> None:
    feed = a_feed(sources=[Finds(1, 2, 3, name="many")], quotas={"many": 2})

    assert rank(feed).union.ids.tolist() == [1, 2]


def test_no_more_candidates_are_scored_than_the_policy_says() -> None:
    assert len(rank(a_feed(sources=[Finds(*range(40))], most_candidates=7)).scored) == 7


@given(first=ids, second=ids, refused=ids)
def test_filters_remove_exactly_what_they_refuse_and_reorder_nothing(
    first: list[int], second: list[int], refused: list[int]
) -> None:
    sources = [Finds(*first, name="first"), Finds(*second, name="second")]

    funnel = rank(a_feed(sources=sources, filters=[Refuses(*refused)]))

    wanted = [video for video in dict.fromkeys(first + second) if video not in refused]
    assert funnel.scored.ids.tolist() == wanted
    assert funnel.removed() == {"refuses": len(funnel.union) - len(wanted)}


@given(found=ids, one=ids, other=ids)
def test_the_order_of_filters_changes_who_is_told_but_not_what_is_kept(
    found: list[int], one: list[int], other: list[int]
) -> None:
    filters = [Refuses(*one, name="one"), Refuses(*other, name="other")]
    there = rank(a_feed(sources=[Finds(*found)], filters=filters))
    back = rank(a_feed(sources=[Finds(*found)], filters=filters[::-1]))

    assert there.scored.ids.tolist() == back.scored.ids.tolist()


def test_the_funnel_names_the_first_filter_that_objected() -> None:
    feed = a_feed(sources=[Finds(1, 2, 3)], filters=[Refuses(1, name="one"), Refuses(1, 2, name="two")])

    assert rank(feed).removed() == {"one": 1, "two": 1}


def test_a_source_that_fails_is_named_and_served_without() -> None:
    funnel = rank(a_feed(sources=[Fails("broken"), Finds(4)]))

    assert funnel.slate.ids.tolist() == [4]
    assert funnel.degraded == ("source:broken",)


def test_a_hydrator_that_fails_gives_unknown_values() -> None:
    feed = a_feed(hydrators=[Fails("broken", gives=("age",))])

    funnel = rank(feed)

    assert np.isnan(funnel.scored["age"]).all()
    assert funnel.degraded == ("hydrator:broken",)


def test_a_hydrator_with_a_wrong_length_counts_as_failed() -> None:
    funnel = rank(a_feed(hydrators=[Says("age", lambda ids: ids[:1])]))

    assert funnel.degraded == ("hydrator:age",)
    assert len(funnel.slate) == 2


def test_a_filter_that_fails_refuses_every_candidate() -> None:
    funnel = rank(a_feed(filters=[Fails("integrity")]))

    assert len(funnel.slate) == 0
    assert funnel.removed() == {"integrity": 2}
    assert funnel.degraded == ("filter:integrity",)


def test_a_scorer_that_fails_hands_over_to_the_next() -> None:
    funnel = rank(a_feed(scorers=[Fails("value"), Scores()]))

    assert funnel.slate.ids.tolist() == [8, 7]
    assert funnel.degraded == ("scorer:value",)


def test_without_any_scorer_the_order_found_is_served() -> None:
    funnel = rank(a_feed(scorers=[Fails("value")]))

    assert funnel.slate.ids.tolist() == [7, 8]
    assert funnel.unscored == 2


def test_an_unknown_score_sorts_last_and_is_counted() -> None:
    odd = Says("score", lambda ids: np.where(ids == 9, np.nan, ids.astype(np.float64)))

    funnel = rank(a_feed(sources=[Finds(9, 3, 4)], hydrators=[odd], scorers=[Scores("score")]))

    assert funnel.slate.ids.tolist() == [4, 3, 9]
    assert funnel.unscored == 1


def test_a_reader_that_fails_leaves_a_stranger() -> None:
    funnel = rank(a_feed(readers=[Fails("store")]))

    assert funnel.query.person.features == {}
    assert funnel.degraded == ("reader:store",)


def test_nothing_found_is_an_empty_slate() -> None:
    assert ranked(a_feed(sources=[Finds()])) == []


def test_every_stage_is_timed_in_order() -> None:
    funnel = rank(a_feed(hydrators=[Says("age", lambda ids: ids)]))

    assert list(funnel.ms) == ["person", "find", "filter", "age", "score", "choose"]


@pytest.mark.parametrize("explore", [True, False])
def test_the_query_reaches_the_funnel_unchanged(explore: bool) -> None:
    assert rank(a_feed(), explore=explore).query.explore is explore
