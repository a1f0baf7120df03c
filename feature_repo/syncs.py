"""Bringing a file to the disk, once for everybody who waits for it.

Law: when a call returns, all that was written before it began is on disk. A sync that began after somebody's
write is theirs too, so however many wait, one sync runs and at most one more is to come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class SharedSync:
    """Called by any thread, after its write."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._syncing = threading.Lock()
        self._asked = self._reached = 0

    def reach(self, sync: Callable[[], None]) -> None:
        """Returns when it is on disk. `sync` brings there what was written before it was called, or raises;
        it then fails for this caller alone, and the next in line tries again.
        """
        with self._asking:
            self._asked += 1
            mine = self._asked
        with self._syncing:
            if self._reached >= mine:
                return
            reached = self._asked
            sync()
            self._reached = reached
