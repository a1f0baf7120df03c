"""Does the parent keep its workers running, and end with them?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from serving.workers import Worker

SUPERVISES = """
import os, signal
from serving.workers import supervise

def serve(worker):
    os.write(1, f"{worker.place} {os.getpid()}\\n".encode())
    signal.pause()

supervise(2, serve)
"""


def test_a_worker_that_was_killed_is_replaced_and_sigterm_ends_all() -> None:
    parent = subprocess.Popen([sys.executable, "-c", SUPERVISES], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    first, second = sorted(parent.stdout.readline().split() for _ in range(2))

    os.kill(int(first[1]), signal.SIGKILL)
    again = parent.stdout.readline().split()
    parent.send_signal(signal.SIGTERM)

    assert (first[0], second[0], again[0]) == ("0", "1", "0")
    assert parent.wait() == 0
    for _, pid in (first, second, again):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_ids_of_different_workers_never_meet_and_always_rise() -> None:
    workers = [Worker(place, 3) for place in range(3)]

    ids = [[worker.request_id(least) for least in range(100, 130)] for worker in workers]

    assert len(set().union(*ids)) == sum(len(set(mine)) for mine in ids)
    assert all(mine[n] >= 100 + n for mine in ids for n in range(30))


def test_the_first_worker_writes_the_files_of_an_only_one() -> None:
    assert (Worker().named("health.json"), Worker(2, 3).named("health.json")) == (
        "health.json",
        "health-2.json",
    )
