"""Explanations are kept for a bounded time, number and size, and tell the whole journey of a request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from feature_repo.clock import HOUR_US, SECOND_US
from serving.compose import assembled
from serving.explanations import MOST_MODELS, MOST_WHOLE, Explanations, NotExplained, Origin, explanation_of
from serving.feed import Funnel
from serving.journeys import explained
from serving.models import models_of
from serving.policies import Policy
from serving.wire import ExplainedRequest
from tests.serving.builders import NOW_US, Fails, a_catalog, a_query, a_release, a_world


class Watch:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def funnels(origin: Origin) -> list[Funnel]:
    feed = assembled(origin.models, origin.release.policy, a_world())
    return [feed.rank(a_query(request_id=number), np.random.default_rng(0)) for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def origin() -> Origin:
    return an_origin()


def an_origin(**policy: Any) -> Origin:
    """A release over the small world, its mirror a second old."""
    release = a_release(policy=Policy(**policy))
    return Origin(release, models_of(release, a_catalog()), seed=7, features_time_us=NOW_US - SECOND_US)


def test_the_oldest_beyond_the_number_is_dropped_and_said_to_be(
    funnels: list[Funnel], origin: Origin
) -> None:
    kept = Explanations(most=2)
    for funnel in funnels:
        kept.keep(funnel, origin)

    assert len(kept) == 2
    assert kept.of(3).funnel.query.request_id == 3
    with pytest.raises(NotExplained, match="request 1 is no longer kept: the last 2 requests"):
        kept.of(1)


def test_what_is_older_than_the_time_is_dropped(funnels: list[Funnel], origin: Origin) -> None:
    watch = Watch()
    kept = Explanations(kept_for_s=60, monotonic=watch)
    kept.keep(funnels[0], origin)
    watch.seconds = 61.0

    with pytest.raises(NotExplained, match="no longer kept"):
        kept.of(1)


def test_a_request_never_served_is_said_to_be_so() -> None:
    with pytest.raises(NotExplained, match="request 9 was not served by this server"):
        Explanations().of(9)


def test_only_the_chosen_keep_their_features(funnels: list[Funnel], origin: Origin) -> None:
    kept = Explanations()
    kept.keep(funnels[0], origin)

    explanation = kept.of(1)
    assert "features" not in explanation.funnel.scored
    assert len(explanation.features) == len(funnels[0].slate)
    assert "like" in explanation.funnel.scored


def test_no_more_bytes_are_kept_than_the_bound(funnels: list[Funnel], origin: Origin) -> None:
    one = explanation_of(funnels[0], origin).nbytes
    kept = Explanations(most_bytes=2 * one + one // 2)

    for funnel in funnels:
        kept.keep(funnel, origin)

    assert len(kept) == 2
    assert kept.nbytes <= 2 * one + one // 2


def test_few_wait_to_be_made_slim_even_if_nobody_settles(funnels: list[Funnel], origin: Origin) -> None:
    kept = Explanations()

    for number in range(MOST_WHOLE + 1):
        assert kept.nbytes == 0
        kept.keep(replace(funnels[0], query=replace(funnels[0].query, request_id=number)), origin)

    assert kept.nbytes > 0
    assert len(kept) == MOST_WHOLE + 1


def test_no_more_releases_are_held_in_memory_than_the_bound(funnels: list[Funnel], origin: Origin) -> None:
    kept = Explanations()
    for number in range(MOST_MODELS + 2):
        asked = replace(funnels[0], query=replace(funnels[0].query, request_id=number))
        kept.keep(asked, replace(origin, models=replace(origin.models)))

    assert len(kept) == MOST_MODELS


def told_of(origin: Origin, **query: Any) -> ExplainedRequest:
    """The journey of one request of person 1, who saw two videos and hid two of one creator."""
    feed = assembled(origin.models, origin.release.policy, a_world())
    known = {"seen": np.array([1, 2]), "hidden": np.array([5, 17]), "blocked": np.array([105])}
    asked = a_query(**{"now_us": NOW_US - 2 * HOUR_US, "limit": 8, **known, **query})
    return explained(explanation_of(feed.rank(asked, np.random.default_rng(3)), origin))


def test_every_candidate_is_accounted_for_by_reason(origin: Origin) -> None:
    told = told_of(origin)

    removed = {reason: set(ids) for each in told.removed.values() for reason, ids in each.because.items()}
    assert sum(each.count for each in told.removed.values()) + told.cut + len(told.scored) == told.distinct
    assert removed["hidden"] == {5, 17}
    assert removed["blocked_creator"] == {29, 41, 53}
    assert all(sum(map(len, each.because.values())) == each.count for each in told.removed.values())


def test_a_filter_that_failed_is_the_reason_itself(origin: Origin) -> None:
    feed = assembled(origin.models, origin.release.policy, a_world())
    closed = replace(feed, filters=[Fails("integrity")])

    told = explained(explanation_of(closed.rank(a_query(), np.random.default_rng(0)), origin))

    assert told.slate == []
    assert set(told.removed["integrity"].because) == {"unchecked"}


def test_the_parts_of_the_heads_add_up_to_the_value(origin: Origin) -> None:
    for item in told_of(origin).slate:
        parts = [head.part for head in item.heads.values()]

        assert sum(part for part in parts if part is not None) == pytest.approx(item.value)
        assert all(head.raw == head.calibrated for head in item.heads.values() if 0 < (head.raw or 0) < 1)


def test_every_source_that_found_an_item_is_told_with_its_rank(origin: Origin) -> None:
    told = told_of(origin)

    assert sum(source.first for source in told.sources.values()) == len(told.scored)
    assert sum(source.chosen for source in told.sources.values()) == len(told.slate)
    for item in told.slate:
        assert item.found_by[0].source == item.source
        assert all(found.rank < told.sources[found.source].found for found in item.found_by)


def test_ages_are_the_mirrors_for_videos_and_none_for_people(origin: Origin) -> None:
    ages = told_of(origin, now_us=NOW_US).feature_ages_s

    assert (ages["video_stats"], ages["creator_stats"], ages["user_stats"]) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("selector", ["decay", "mmr", "dpp"])
def test_without_chance_every_move_is_the_greedy_one_and_beats_its_runner_up(selector: str) -> None:
    """What is told was worked out afterwards: it must agree with what the selector did."""
    slate = told_of(an_origin(selector=selector), explore=False).slate

    assert [item.move.rank for item in slate] == [0] * 8
    for item in slate:
        left = (item.move.worth or 0.0) - (item.move.paid or 0.0)
        assert left >= (item.move.runner_up_left or 0.0)
    assert slate[0].move.paid == 0.0


def test_the_runner_up_of_a_greedy_slot_is_best_without_what_was_chosen(origin: Origin) -> None:
    slate = told_of(origin, explore=False).slate

    without = [item.video_id for item in slate[:1]]
    again = told_of(origin, explore=False, seen=np.sort(np.array([1, 2, *without])))
    assert slate[0].move.runner_up == again.slate[0].video_id
