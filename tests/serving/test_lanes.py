"""Lanes with an event loop under them: who waits is called, and one flood takes nothing from another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TypeVar

import pytest

from serving.admissions import Width
from serving.lanes import ADMIN, EVENTS, EXPLANATIONS, FEEDS, Lanes

Answer = TypeVar("Answer")


def ran(story: Coroutine[None, None, Answer]) -> Answer:
    return asyncio.run(story)


def narrow(waiting: int = 1, patience_s: float = 60.0) -> Lanes:
    return Lanes({FEEDS: Width(1, waiting, patience_s), EVENTS: Width(1, 1, 60.0)})


@pytest.mark.parametrize(
    ("path", "lane"),
    [
        ("/v1/feed", FEEDS),
        ("/v1/events", EVENTS),
        ("/v1/explain/7", EXPLANATIONS),
        ("/admin/rollback", ADMIN),
        ("/healthz", None),
        ("/readyz", None),
        ("/metrics", None),
        ("/nothing", None),
    ],
)
def test_every_kind_of_request_has_its_lane_and_probes_have_none(path: str, lane: str | None) -> None:
    found = Lanes().lane_of(path)

    assert (found.name if found else None) == lane


def test_who_waits_is_called_when_a_place_is_free() -> None:
    async def story() -> bool:
        lanes = narrow()
        feeds = lanes.by_name[FEEDS]
        first = await lanes.enter(feeds)
        second = asyncio.create_task(lanes.enter(feeds))
        await asyncio.sleep(0)
        assert first is not None
        assert not second.done()
        lanes.leave(feeds, first)
        place = await second
        return place is not None and place.is_in_work

    assert ran(story())


def test_who_finds_the_queue_full_is_refused_at_once_and_another_lane_is_not() -> None:
    async def story() -> tuple[bool, bool]:
        lanes = narrow(waiting=0)
        await lanes.enter(lanes.by_name[FEEDS])
        refused = await lanes.enter(lanes.by_name[FEEDS]) is None
        return refused, await lanes.enter(lanes.by_name[EVENTS]) is not None

    assert ran(story()) == (True, True)


def test_patience_ends_even_if_nobody_leaves() -> None:
    async def story() -> int:
        lanes = narrow(patience_s=0.001)
        feeds = lanes.by_name[FEEDS]
        await lanes.enter(feeds)
        assert await lanes.enter(feeds) is None
        return feeds.waiting

    assert ran(story()) == 0


def test_a_client_who_goes_away_leaves_no_gap_in_the_lane() -> None:
    async def story() -> tuple[int, int]:
        lanes = narrow()
        feeds = lanes.by_name[FEEDS]
        first = await lanes.enter(feeds)
        gone = asyncio.create_task(lanes.enter(feeds))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert first is not None
        lanes.leave(feeds, first)
        return feeds.waiting, feeds.in_work

    assert ran(story()) == (0, 0)


def test_work_is_done_by_a_thread_of_the_lane() -> None:
    name = ran(narrow().run(FEEDS, lambda: threading.current_thread().name))

    assert name.startswith(FEEDS)
