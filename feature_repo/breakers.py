"""A circuit breaker: what keeps failing, or answers too late, is left alone for a while and then tried once.

Law: while it rests nothing is called; when the rest is over one call tries, and everybody else goes on
without until that call has answered in time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

Answer = TypeVar("Answer")
LONGEST_REST_S = 4.0
"""What was given back is found again within this time."""


class Resting(Exception):
    """Not called at all: it failed too often just now. Its cause is the last failure."""


@dataclass
class Breaker:
    """Guards the calls to one thing others can do without. Safe to share between threads."""

    name: str
    budget_ms: float
    """An answer that took longer is used, and counts as a failure."""
    failures: int = 3
    """So many in a row, and it rests."""
    rest_s: float = 1.0
    """The first rest; a try that fails doubles the next one, up to LONGEST_REST_S."""
    monotonic: Callable[[], float] = time.monotonic
    ours: tuple[type[Exception], ...] = ()
    """Errors that say nothing against the thing called: whoever called it is to blame."""
    opened: int = field(default=0, init=False)
    """How often it went to rest."""
    last: Exception | None = field(default=None, init=False)
    """The newest failure; None if it was one of slowness."""
    _failed: int = field(default=0, init=False)
    _rests_until_s: float = field(default=0.0, init=False)
    _next_rest_s: float = field(default=0.0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def is_open(self) -> bool:
        """Whether calls are being refused, or only one may try."""
        return self._failed >= self.failures

    def call(self, call: Callable[[], Answer], more_ms: float = 0.0) -> Answer:
        """What the call answers; `Resting` without calling while it rests; its own error when it fails.

        A call with more to do may have more milliseconds.
        """
        started_s = self.monotonic()
        self._admit(started_s)
        try:
            answer = call()
        except self.ours:
            raise
        except Exception as error:
            self._count_failure(error)
            raise
        if (self.monotonic() - started_s) * 1000 > self.budget_ms + more_ms:
            self._count_failure(None)
        elif self._failed:
            self._recover()
        return answer

    def _admit(self, now_s: float) -> None:
        """Whoever comes first after the rest begins the next one: if the call hangs, only it does."""
        if not self.is_open:
            return
        with self._lock:
            if now_s < self._rests_until_s:
                raise Resting(f"{self.name} failed {self._failed} times in a row; left alone.") from self.last
            self._rests_until_s = now_s + self._next_rest_s

    def _count_failure(self, error: Exception | None) -> None:
        with self._lock:
            self._failed, self.last = self._failed + 1, error
            self.opened += self._failed == self.failures
            longer_s = min(2 * self._next_rest_s, LONGEST_REST_S)
            self._next_rest_s = longer_s if self._failed > self.failures else self.rest_s
            self._rests_until_s = self.monotonic() + self._next_rest_s

    def _recover(self) -> None:
        with self._lock:
            self._failed = 0
