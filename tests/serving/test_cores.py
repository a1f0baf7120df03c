"""Where several processes share the machine, does each answer on its own core, and only answer there?"""

from __future__ import annotations

import asyncio

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.places import Places
from serving.app import Edge, create_app
from serving.cores import Cores, cores_of, stay_on, usable_cores
from serving.lanes import FEEDS, Lanes
from serving.live import Live
from serving.workers import ONLY, Worker

numbers = st.frozensets(st.integers(0, 63), min_size=1)
on_linux = pytest.mark.skipif(not usable_cores(), reason="the system does not tell cores apart")


def test_who_serves_alone_goes_where_there_is_room() -> None:
    assert cores_of(ONLY, {0, 1, 5}).home == {0, 1, 5}


@given(numbers, st.integers(2, 64))
def test_neighbours_share_a_core_only_where_there_are_fewer_cores_than_they(
    ours: frozenset[int], of: int
) -> None:
    homes = [cores_of(Worker(place, of), ours).home for place in range(of)]

    assert all(len(home) == 1 and home <= ours for home in homes)
    assert len(set(homes)) == min(of, len(ours))


def test_where_cores_are_not_told_apart_nobody_stays_anywhere() -> None:
    assert cores_of(Worker(1, 2), ()) == Cores()
    stay_on(())


@on_linux
def test_the_threads_of_a_lane_stay_on_its_core_and_the_caller_where_it_was() -> None:
    before = usable_cores()
    core = min(before)

    found = asyncio.run(Lanes(cores={core}).run(FEEDS, usable_cores))

    assert found == {core}
    assert usable_cores() == before


@on_linux
def test_what_runs_aside_may_use_every_core(
    live: Live, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, aside = usable_cores(), set()
    monkeypatch.setattr(live, "freshen", lambda: aside.add(usable_cores()))
    edge = Edge(cores=Cores(frozenset([min(every)]), every))

    with TestClient(create_app(live, places, edge=edge)) as client:  # its event loop has a thread of its own
        client.get("/healthz")

    assert aside == {every}
