"""World time: a server's clock is the end of its log plus the time it has been running, times its speed."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Microseconds since 1970, in world time."""


MOST_SPEED = 3600
"""An hour of the world per second; faster, and a person's next watch would be a day after their last."""


class WorldClock:
    """Starts at a moment and never goes back; a log that appeared meanwhile moves it forward.

    `speed` is seconds of world time per second, 1 to MOST_SPEED.
    """

    def __init__(
        self, start_us: int, monotonic_ns: Callable[[], int] = time.monotonic_ns, speed: float = 1.0
    ) -> None:
        if not 1 <= speed <= MOST_SPEED:
            raise ValueError(f"the clock's speed is {speed:g}, must be 1 to {MOST_SPEED}.")
        self._monotonic_ns, self.speed = monotonic_ns, speed
        self._began_ns = monotonic_ns()
        self._offset_us = start_us

    def __call__(self) -> int:
        return self._offset_us + int((self._monotonic_ns() - self._began_ns) * self.speed) // 1000

    def advance_to(self, moment_us: int) -> None:
        """Not before this moment."""
        self._offset_us += max(0, moment_us - self())
