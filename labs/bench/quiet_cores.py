"""Was the core quiet? The same little work is timed on it before and after a request.

What a rented machine calls a core is often half of one: while a neighbour computes on the other half, all
that runs on ours takes about half as long again, for milliseconds or for minutes, and no counter of ours says
so. A server is held to what it takes on a quiet core: which requests found one must be measured, not hoped.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.cores import stay_on, usable_cores

Mask = npt.NDArray[np.bool_]

STEPS = 1_500
"""Of the work: long enough to tell a core's two speeds apart, and short beside a slate."""
BEST = 0.02
"""The share of looks that are the core at its best: fewer would be the clock's luck."""
NOISE = 1.2
"""At most so many times its best is quiet; beside a neighbour it is half as much again."""


@dataclass(frozen=True)
class Core:
    """The core that a server answers on, as the client sees it, who stays elsewhere if there is another."""

    home: Collection[int]
    elsewhere: Collection[int]

    @classmethod
    def of(cls, home: Collection[int], usable: Collection[int]) -> Core:
        return cls(home, set(usable) - set(home) or usable)

    def work_ms(self) -> float:
        """How long the work takes there now."""
        stay_on(self.home)
        began = time.perf_counter()
        _work()
        ms = (time.perf_counter() - began) * 1e3
        stay_on(self.elsewhere)
        return ms


def were_quiet(work_ms: Sequence[tuple[float, float]]) -> Mask:
    """bool[n], which requests had the core to themselves, from the work before and after each. Where it never
    was at its best this errs towards quiet: what is found then is slower than what is true.
    """
    looks = np.array(work_ms, np.float64).reshape(-1, 2)
    if not len(looks):
        return np.zeros(0, np.bool_)
    return np.asarray((looks <= NOISE * np.quantile(looks, BEST)).all(axis=1))


@contextmanager
def staying_on(cores: Collection[int]) -> Iterator[None]:
    """We, and whoever is started meanwhile, stay on these cores; afterwards on those we had."""
    before = usable_cores()
    stay_on(cores)
    try:
        yield
    finally:
        stay_on(before)


def _work() -> None:
    """What an interpreter does all day: numbers, strings and a dictionary that grows."""
    made: dict[int, str] = {}
    for step in range(STEPS):
        made[step] = str(step)
