"""Keep the machine awake: no core sleeps between two requests.

A server that is asked a few times a second leaves its cores idle most of the time, and how fast an idle core
begins may change with whatever else runs on the machine. Whoever compares one quarter of an hour with another
had better keep that the same.
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
