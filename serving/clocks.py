"""World time: a server's clock is the end of its log plus the time it has been running, times its speed.

Servers of one run share one clock: the first says when it began, and whoever comes while one is running keeps
that time. The machine's monotonic clock is the same for all of them.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable
from pathlib import Path

from feature_repo.places import BadSetting
from feature_repo.reports import write_text_atomically
from serving.locks import RunLock

Clock = Callable[[], int]
"""Microseconds since 1970, in world time."""


MOST_SPEED = 3600
"""An hour of the world per second; faster, and a person's next watch would be a day after their last."""


class WorldClock:
    """Starts at a moment and never goes back; a log that appeared meanwhile moves it forward.

    `speed` is seconds of world time per second, 1 to MOST_SPEED; `began_ns`, when it was `start_us`: now.
    """

    def __init__(
        self,
        start_us: int,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        speed: float = 1.0,
        began_ns: int | None = None,
    ) -> None:
        if not 1 <= speed <= MOST_SPEED:
            raise ValueError(f"the clock's speed is {speed:g}, must be 1 to {MOST_SPEED}.")
        self._monotonic_ns, self.speed = monotonic_ns, speed
        self._began_ns = monotonic_ns() if began_ns is None else began_ns
        self._offset_us = start_us

    def __call__(self) -> int:
        return self._offset_us + int((self._monotonic_ns() - self._began_ns) * self.speed) // 1000

    def advance_to(self, moment_us: int) -> None:
        """Not before this moment."""
        self._offset_us += max(0, moment_us - self())

    def close(self) -> None:
        """Run no longer; a clock of its own leaves nothing behind."""


class SharedClock(WorldClock):
    """The clock of every server that runs on this folder now; it starts at `start_us` if nobody else runs."""

    def __init__(self, folder: Path, start_us: int, speed: float = 1.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        told = folder / "clock.json"
        with RunLock(folder / "starting.lock"):
            self._running = (folder / "clock.lock").open("a")  # held shared for as long as we run
            if _is_alone(self._running.fileno()):
                super().__init__(start_us, speed=speed)
                began = {"start_us": start_us, "began_ns": self._began_ns, "speed": speed}
                write_text_atomically(told, json.dumps(began) + "\n")
            else:
                began = json.loads(told.read_text("utf-8"))
                _refuse_another_speed(speed, began["speed"])
                super().__init__(began["start_us"], speed=speed, began_ns=began["began_ns"])
            fcntl.flock(self._running, fcntl.LOCK_SH)
        self.advance_to(start_us)

    def close(self) -> None:
        """Whoever comes after all have closed starts anew."""
        self._running.close()


def _is_alone(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_another_speed(mine: float, theirs: float) -> None:
    if mine != theirs:
        raise BadSetting(
            f"SPEED is {mine:g}, must be {theirs:g} as of the server that runs on this run already."
        )
