"""Several processes behind one port: who is who, and a parent that keeps them running.

Law: the workers of a run share its journal and its online store, so each knows before every slate what the
others acknowledged of the person. Request ids of different workers never meet. They know the same, so each
writes only what events or time changed since the last of them wrote.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("serving.workers")

AGAIN_AFTER_S = 1.0
"""A worker that ended by itself is started again, but not more often than this."""


@dataclass(frozen=True)
class Worker:
    """One of `of` processes that serve the same run."""

    place: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.place < self.of:
            raise ValueError(f"worker {self.place} of {self.of}: places go from 0 to {self.of - 1}.")

    @property
    def is_first(self) -> bool:
        return self.place == 0

    def named(self, file: str) -> str:
        """A file that each worker writes for itself; the first one's has the plain name."""
        stem, _, ending = file.rpartition(".")
        return file if self.is_first else f"{stem}-{self.place}.{ending}"

    def request_id(self, at_least: int) -> int:
        """The first number from here on that is this worker's."""
        return at_least + (self.place - at_least) % self.of


ONLY = Worker()


def supervise(workers: int, serve: Callable[[Worker], None]) -> None:
    """Run `serve` in this many processes until we are asked to stop; one that ends by itself is replaced.

    Must be called before threads and heavy libraries are there: children are forked.
    """
    children = {_forked(serve, Worker(place, workers)): Worker(place, workers) for place in range(workers)}
    asked: list[int] = []

    def stop(sign: int, _: object) -> None:
        asked.append(sign)
        for pid in children:
            os.kill(pid, sign)

    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, stop)
    while children:
        pid, status = os.wait()
        worker = children.pop(pid, None)
        if worker is not None and not asked:
            log.error("worker %d ended with status %d; starting it again", worker.place, status)
            time.sleep(AGAIN_AFTER_S)
            children[_forked(serve, worker)] = worker


def _forked(serve: Callable[[Worker], None], worker: Worker) -> int:
    """A child that serves and ends; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, signal.SIG_DFL)
        serve(worker)
        code = 0
    except KeyboardInterrupt:
        code = 0
    finally:
        os._exit(code)
