"""Lanes of requests and the threads that work in them: each kind of request is let in by itself.

Law: a lane has as many threads as may be in work at once, so whoever is let in never waits for a thread, and
a flood of one kind takes none from another. Probes are in no lane: they are always answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from serving.admissions import Lane, Place, Width

Answer = TypeVar("Answer")

FEEDS, EVENTS, EXPLANATIONS, ADMIN = "feeds", "events", "explanations", "admin"
WIDTHS: Mapping[str, Width] = {
    # Two slates at once: one computes while the other's log is written. More would share one interpreter.
    FEEDS: Width(at_once=2, waiting=16, patience_s=0.100),
    # An event refused may never be sent again: those who tell something may wait a hundred times as long.
    EVENTS: Width(at_once=2, waiting=256, patience_s=2.0),
    EXPLANATIONS: Width(at_once=1, waiting=4, patience_s=1.0),
    ADMIN: Width(at_once=1, waiting=2, patience_s=5.0),
}
LANE_OF: Mapping[str, str] = {"/v1/feed": FEEDS, "/v1/events": EVENTS}
LANE_UNDER: Mapping[str, str] = {"/v1/explain/": EXPLANATIONS, "/admin/": ADMIN}
"""By the path's beginning."""


class Lanes:
    """Every lane of a server. For one event loop: it starts their threads, and they stay on its cores."""

    def __init__(self, widths: Mapping[str, Width] = WIDTHS) -> None:
        self.by_name = {name: Lane(name, width) for name, width in widths.items()}
        self._threads = {
            name: ThreadPoolExecutor(max(1, width.at_once), name) for name, width in widths.items()
        }

    def lane_of(self, path: str) -> Lane | None:
        """The lane of a request; None for probes, pages and what does not exist."""
        name = LANE_OF.get(path)
        if name is None:
            name = next((lane for start, lane in LANE_UNDER.items() if path.startswith(start)), None)
        return None if name is None else self.by_name[name]

    async def enter(self, lane: Lane) -> Place | None:
        """A place in work, after a short wait if there must be one; None: too many are there."""
        called: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def call(may: bool) -> None:
            if not called.done():
                called.set_result(may)

        place = lane.arrive(time.monotonic(), call)
        if place is None or place.is_in_work:
            return place
        try:
            async with asyncio.timeout(lane.width.patience_s):
                return place if await called else None
        except TimeoutError:
            return self._left_waiting(lane, place)
        except asyncio.CancelledError:
            if self._left_waiting(lane, place):
                lane.leave(place, time.monotonic())
            raise

    def leave(self, lane: Lane, place: Place) -> None:
        """Work ended: whoever waits is called."""
        lane.leave(place, time.monotonic())

    async def run(self, name: str, call: Callable[[], Answer]) -> Answer:
        """The call's answer, made by a thread of the lane."""
        return await asyncio.get_running_loop().run_in_executor(self._threads[name], call)

    def close(self) -> None:
        """What threads are doing ends; nothing new begins."""
        for threads in self._threads.values():
            threads.shutdown(wait=True)

    @staticmethod
    def _left_waiting(lane: Lane, place: Place) -> Place | None:
        """The place if it was called in the very moment its patience ended; else it is given up."""
        if place.is_in_work:
            return place
        lane.give_up(place)
        return None
