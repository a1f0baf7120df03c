"""A lock among threads and processes: who holds it knows everything, and nobody learns or tells meanwhile.

Law: it is taken by one thread of one process of a run at a time; the same thread may take it again. A process
that dies gives it back. Whoever holds its `threads` alone keeps other threads of this process out, and lets
other processes go on.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from pathlib import Path
from types import TracebackType

log = logging.getLogger("serving.locks")

MARK_BYTES = 8


class RunLock:
    """Held with `with`; a file of the run stands for it between processes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a")
        self.threads = threading.RLock()
        """Of this process: taken before the run's."""
        self._depth = 0

    def __enter__(self) -> RunLock:
        self.threads.acquire()
        try:
            if self._depth == 0:
                fcntl.flock(self._file, fcntl.LOCK_EX)
        except BaseException:  # or whoever comes next would wait for a lock that nobody gives back
            self.threads.release()
            raise
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self.threads.release()

    def close(self) -> None:
        self._file.close()


class Mark:
    """A number that whoever holds a lock leaves for the next who does, whatever the process; 0 until then."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self._file = path.open("r+b", buffering=0)

    def read(self) -> int:
        return int.from_bytes(os.pread(self._file.fileno(), MARK_BYTES, 0), "little")

    def leave(self, number: int) -> bool:
        """Whether it could be left; a full disk may keep the one before."""
        try:
            return os.pwrite(self._file.fileno(), number.to_bytes(MARK_BYTES, "little"), 0) == MARK_BYTES
        except OSError:
            log.exception("a mark could not be left in %s", self._file.name)
            return False

    def close(self) -> None:
        self._file.close()
