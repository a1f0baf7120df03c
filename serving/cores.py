"""Which core a process answers on, where several processes share the cores out among themselves.

The threads of a process that answer take turns at one interpreter: two cores do not make them faster, and
what one of them leaves in the caches of a core the next one finds there. What runs aside (features are
renewed, health is told) may use any core. A process that serves alone is nobody's neighbour, and goes where
there is room.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from serving.workers import ONLY, Worker


@dataclass(frozen=True)
class Cores:
    """The cores of one process by number; none where the system does not tell them apart."""

    home: frozenset[int] = frozenset()
    """Where requests are answered."""
    every: frozenset[int] = frozenset()


def cores_of(worker: Worker, ours: Collection[int]) -> Cores:
    """Neighbours live on neighbouring cores, and with more of them than cores on the same."""
    if worker.of == ONLY.of or not ours:
        return Cores(frozenset(ours), frozenset(ours))
    home = sorted(ours)[worker.place % len(ours)]
    return Cores(frozenset([home]), frozenset(ours))


def usable_cores() -> frozenset[int]:
    """The cores this process may use; none where the system does not say."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def stay_on(cores: Collection[int]) -> None:
    """The calling thread, and those it starts from now on, use these cores alone; without any, all."""
    if cores:
        os.sched_setaffinity(0, cores)
