"""Explanations are kept for a bounded time and number, and a missing one says why."""

from __future__ import annotations

import numpy as np
import pytest

from serving.compose import compose
from serving.explanations import Explanations, NotExplained
from serving.feed import Funnel
from tests.serving.builders import a_query, a_release, a_world


class Watch:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def funnels() -> list[Funnel]:
    feed = compose(a_release(), a_world())
    return [feed.rank(a_query(request_id=number), np.random.default_rng(0)) for number in (1, 2, 3)]


def test_the_oldest_beyond_the_number_is_dropped_and_said_to_be(funnels: list[Funnel]) -> None:
    kept = Explanations(most=2)
    for funnel in funnels:
        kept.keep(funnel, "r-1", {})

    assert len(kept) == 2
    assert kept.of(3).funnel.query.request_id == 3
    with pytest.raises(NotExplained, match="request 1 is no longer kept: the last 2 requests"):
        kept.of(1)


def test_what_is_older_than_the_time_is_dropped(funnels: list[Funnel]) -> None:
    watch = Watch()
    kept = Explanations(kept_for_s=60, monotonic=watch)
    kept.keep(funnels[0], "r-1", {})
    watch.seconds = 61.0

    with pytest.raises(NotExplained, match="no longer kept"):
        kept.of(1)


def test_a_request_never_served_is_said_to_be_so() -> None:
    with pytest.raises(NotExplained, match="request 9 was not served by this server"):
        Explanations().of(9)


def test_only_the_chosen_keep_their_features(funnels: list[Funnel]) -> None:
    kept = Explanations()
    kept.keep(funnels[0], "r-1", {"like": funnels[0].scored["like"]})

    explanation = kept.of(1)
    assert "features" not in explanation.funnel.scored
    assert len(explanation.features) == len(funnels[0].slate)
    assert "like" in explanation.funnel.scored
