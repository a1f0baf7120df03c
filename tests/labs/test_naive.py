"""Is the naive server an honest rival? It must answer what ours answers."""

from __future__ import annotations

import numpy as np
import pytest

from feature_repo.clock import HOUR_US
from feature_repo.log import EventLog
from feature_repo.places import Run
from labs.bench.naive_feed import naive_feed
from labs.true_value import release_of
from serving.compose import assembled, world_at
from serving.feed import Feed
from serving.models import models_of
from serving.state import PeopleState

PEOPLE = (1, 2, 3, 50, 399, 123_456)
"""The last was never seen."""


@pytest.fixture(scope="module")
def feeds(trained: Run) -> tuple[Feed, Feed, PeopleState, int]:
    from feature_repo.store import open_store

    log = EventLog(trained.places.log)
    now_us = log.end_us()
    release, world = release_of(trained.places, version=1), world_at(trained.places, now_us)
    models = models_of(release, world.catalog)
    ours = assembled(models, release.policy, world)
    naive = naive_feed(ours, models, world.catalog, open_store(trained.places), release.feature_service)
    return ours, naive, PeopleState.from_log(log, world.catalog, now_us), now_us + HOUR_US


@pytest.mark.parametrize("person", PEOPLE)
def test_both_feeds_choose_the_same_slate_from_the_same_chance(
    feeds: tuple[Feed, Feed, PeopleState, int], person: int
) -> None:
    ours, naive, state, now_us = feeds
    query = state.query(person, request_id=person, now_us=now_us)

    mine, theirs = (feed.rank(query, np.random.default_rng([7, person])) for feed in (ours, naive))

    assert mine.slate.ids.tolist() == theirs.slate.ids.tolist()
    assert mine.choice.propensities == pytest.approx(theirs.choice.propensities)
    np.testing.assert_array_equal(mine.scored["features"], theirs.scored["features"])
    assert theirs.degraded == ()
