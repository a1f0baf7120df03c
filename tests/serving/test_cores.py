"""Does a process answer on the best core that is left for it, and only answer there?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.places import Places
from labs.bench.clients import Client
from serving.app import Edge, create_app
from serving.cores import Cores, best_first, cores_of, stay_on, usable_cores
from serving.lanes import FEEDS, Lanes
from serving.live import Live
from serving.workers import ONLY, Worker
from tests.serving.builders import a_process

numbers = st.frozensets(st.integers(0, 63), min_size=1)
on_linux = pytest.mark.skipif(not usable_cores(), reason="the system does not tell cores apart")


NOWHERE = Path("/nowhere")
TWICE = {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3", 4: "4", 5: "5"}
"""Two fast cores of two threads each, and two slow ones."""


def described(folder: Path, siblings: Mapping[int, str], speeds: Mapping[int, int]) -> Path:
    """What Linux would say of these cores."""
    for core, shared in siblings.items():
        (folder / f"cpu{core}" / "topology").mkdir(parents=True)
        (folder / f"cpu{core}" / "topology" / "thread_siblings_list").write_text(shared + "\n")
    for core, speed in speeds.items():
        (folder / f"cpu{core}" / "cpu_capacity").write_text(f"{speed}\n")
    return folder


def test_fast_cores_come_first_and_the_second_thread_of_one_last(tmp_path: Path) -> None:
    speeds = dict.fromkeys(range(4), 1024) | dict.fromkeys((4, 5), 400)

    assert best_first(TWICE, described(tmp_path, TWICE, speeds)) == [0, 2, 4, 5, 1, 3]


def test_a_second_thread_whose_first_is_not_ours_has_its_core_for_itself(tmp_path: Path) -> None:
    assert best_first([1, 2, 3], described(tmp_path, TWICE, {})) == [1, 2, 3]


def test_who_serves_alone_answers_on_the_best_core(tmp_path: Path) -> None:
    folder = described(tmp_path, {0: "0", 1: "1"}, {0: 400, 1: 1024})

    assert cores_of(ONLY, {0, 1}, folder) == Cores(frozenset([1]), frozenset([0, 1]))


@given(numbers, st.integers(1, 64))
def test_neighbours_share_a_core_only_where_there_are_fewer_cores_than_they(
    ours: frozenset[int], of: int
) -> None:
    homes = [cores_of(Worker(place, of), ours, NOWHERE).home for place in range(of)]

    assert all(len(home) == 1 and home <= ours for home in homes)
    assert len(set(homes)) == min(of, len(ours))


def test_where_cores_are_not_told_apart_nobody_stays_anywhere() -> None:
    assert cores_of(Worker(1, 2), (), NOWHERE) == Cores()
    stay_on(())


@on_linux
def test_the_threads_of_a_lane_stay_on_the_core_of_its_loop_and_others_where_they_were() -> None:
    before = usable_cores()
    core = min(before)

    def at_home() -> frozenset[int]:
        stay_on({core})
        return asyncio.run(Lanes().run(FEEDS, usable_cores))

    with ThreadPoolExecutor(1) as loop:
        found = loop.submit(at_home).result()

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


@on_linux
def test_a_server_answers_on_the_best_core_with_its_loop_and_its_lanes(tmp_path: Path) -> None:
    with a_process(tmp_path, "--drain-s", "0") as (server, port):
        with Client(port) as client:
            client.answer("POST", "/v1/feed", b'{"user_id": 7}')  # refused by a thread of its lane
        threads = [int(thread.name) for thread in Path(f"/proc/{server.pid}/task").iterdir()]
        homes = {thread: os.sched_getaffinity(thread) for thread in threads}
        server.terminate()

    best = {best_first(usable_cores())[0]}
    assert homes[server.pid] == best
    assert sum(home == best for home in homes.values()) >= len(["the loop", "a lane"])
