"""Keep the machine awake: where nothing computes, what runs next starts on a core that slept.

A rented core that was idle is given to others, and is slow for the first milliseconds of the next request. A
server that is asked a few times a second then measures how idle the machine was, and its tail moves with
whatever else runs beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from serving.cores import usable_cores

LOOP = "import os\nwhile os.getppid() == {parent}:\n    sum(range(10_000))"
"""Ends with us, however we end."""


@contextmanager
def awake() -> Iterator[int]:
    """Every core computes, in what nothing else wants of its time, until the block is left; how many do."""
    cores = usable_cores() if hasattr(os, "SCHED_IDLE") else frozenset()
    with ExitStack() as opened:
        for core in cores:
            loop = subprocess.Popen([sys.executable, "-c", LOOP.format(parent=os.getpid())])
            opened.callback(loop.wait)
            opened.callback(loop.kill)
            os.sched_setaffinity(loop.pid, {core})
            os.sched_setscheduler(loop.pid, os.SCHED_IDLE, os.sched_param(0))
        yield len(cores)
