"""Which core a process answers on: the best there is, and of several processes each on one of its own.

The threads of a process that answer take turns at one interpreter: two cores do not make them faster, waking
a thread on another core takes longer than on its own, and what one of them leaves in a core's caches the next
one finds there. What runs aside (features are renewed, health is told) may use any core. Whoever wants a
process elsewhere says so when starting it: `taskset -c 2,3 make serve` leaves it cores 2 and 3.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from serving.workers import Worker

DESCRIBED = Path("/sys/devices/system/cpu")
"""Where Linux describes its cores."""
SPEEDS = ("cpufreq/cpuinfo_max_freq", "cpu_capacity")
"""Files that say how fast a core is, the first that is there."""


@dataclass(frozen=True)
class Cores:
    """The cores of one process by number; none where the system does not tell them apart."""

    home: frozenset[int] = frozenset()
    """Where requests are answered."""
    every: frozenset[int] = frozenset()


def cores_of(worker: Worker, ours: Collection[int], described: Path = DESCRIBED) -> Cores:
    """Each of several processes on the next best core; with more of them than cores some on the same."""
    if not ours:
        return Cores()
    best = best_first(ours, described)
    return Cores(frozenset([best[worker.place % len(best)]]), frozenset(ours))


def best_first(ours: Collection[int], described: Path = DESCRIBED) -> list[int]:
    """The cores by number: fast ones before slow ones, but what shares its core with another after all that
    need not. Cores that are not described are as good as the next.
    """
    groups = {core: _shared_with(described / f"cpu{core}", core) for core in ours}
    first_of = {group: min(core for core in ours if groups[core] == group) for group in groups.values()}

    def place(core: int) -> tuple[bool, int, int]:
        return core != first_of[groups[core]], -_speed(described / f"cpu{core}"), core

    return sorted(ours, key=place)


def _shared_with(core: Path, number: int) -> str:
    """What names all that shares its core."""
    found = core / "topology" / "thread_siblings_list"
    return found.read_text("ascii").strip() if found.exists() else str(number)


def _speed(core: Path) -> int:
    """Whichever of its kinds the system tells; only to be compared with that of other cores."""
    for kind in SPEEDS:
        if (core / kind).exists():
            return int((core / kind).read_text("ascii"))
    return 0


def usable_cores() -> frozenset[int]:
    """The cores this process may use; none where the system does not say."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def stay_on(cores: Collection[int]) -> None:
    """The calling thread, and those it starts from now on, use these cores alone; without any, all."""
    if cores:
        os.sched_setaffinity(0, cores)
