"""World time: a server's clock is the end of its log plus the time it has been running."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Microseconds since 1970, in world time."""


class WorldClock:
    """Starts at a moment and never goes back; a log that appeared meanwhile moves it forward."""

    def __init__(self, start_us: int, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._offset_us = start_us - monotonic_ns() // 1000

    def __call__(self) -> int:
        return self._offset_us + self._monotonic_ns() // 1000

    def advance_to(self, moment_us: int) -> None:
        """Not before this moment."""
        self._offset_us += max(0, moment_us - self())
