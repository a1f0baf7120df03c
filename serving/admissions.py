"""How many requests are worked on and how many wait: whoever would wait too long is refused at once.

Law: a lane never has more than `at_once` requests in work nor more than `waiting` before them, and nobody it
lets in has waited longer than `patience_s`. So a burst costs the few it refuses a second try, not everybody
their latency. Pure: whoever asks tells the time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

SMOOTHING = 0.05
"""Weight of the newest duration in the mean that expected waits are made of: about the last twenty."""


@dataclass(frozen=True)
class Width:
    """How wide a lane is."""

    at_once: int
    waiting: int
    patience_s: float


@dataclass(eq=False)
class Place:
    """One request's place in a lane; `called` is told whether it may go in, if it has to wait."""

    arrived_s: float
    called: Callable[[bool], None]
    began_s: float | None = None

    @property
    def is_in_work(self) -> bool:
        return self.began_s is not None


@dataclass
class Lane:
    """One kind of request: those in work, and those before them in order of arrival. For one thread."""

    name: str
    width: Width
    in_work: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    """How many were sent away since the start."""
    mean_s: float = field(default=0.0, init=False)
    """How long work takes, about."""
    _before: deque[Place] = field(default_factory=deque, init=False)

    @property
    def waiting(self) -> int:
        return len(self._before)

    def arrive(self, now_s: float, called: Callable[[bool], None]) -> Place | None:
        """A place, in work already or waiting to be called; None if it is refused."""
        if self.in_work < self.width.at_once:
            self.in_work += 1
            return Place(now_s, called, now_s)
        if self.waiting >= self.width.waiting or self._expected_s() > self.width.patience_s:
            self.refused += 1
            return None
        place = Place(now_s, called)
        self._before.append(place)
        return place

    def leave(self, place: Place, now_s: float) -> None:
        """Work ended, well or not: the next in patience is called."""
        assert place.began_s is not None
        self.mean_s += SMOOTHING * (now_s - place.began_s - self.mean_s)
        self.in_work -= 1
        while self._before and self.in_work < self.width.at_once:
            self._call(self._before.popleft(), now_s)

    def give_up(self, place: Place) -> None:
        """Whoever waits has waited long enough, or has gone."""
        if place in self._before:
            self._before.remove(place)
            self.refused += 1

    def retry_after_s(self) -> int:
        """When to come again, in whole seconds as HTTP wants them."""
        return max(1, math.ceil(self._expected_s()))

    def _expected_s(self) -> float:
        """How long one more would wait: those before it, and one place to become free."""
        return (self.waiting + 1) * self.mean_s / self.width.at_once

    def _call(self, place: Place, now_s: float) -> None:
        in_time = now_s - place.arrived_s <= self.width.patience_s
        if in_time:
            self.in_work += 1
            place.began_s = now_s
        else:
            self.refused += 1
        place.called(in_time)
