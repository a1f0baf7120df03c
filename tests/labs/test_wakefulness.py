"""Is every core kept busy with what nobody else wants, and by nobody afterwards?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labs.bench.wakefulness import awake
from serving.cores import usable_cores

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux only")


def children() -> list[int]:
    told = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii")
    return [int(pid) for pid in told.split()]


def test_each_core_has_a_loop_of_the_idle_class_until_the_block_is_left() -> None:
    before = children()

    with awake() as loops:
        found = [pid for pid in children() if pid not in before]
        assert all(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found)  # nothing once it ended
        assert {os.sched_getscheduler(pid) for pid in found} == {os.SCHED_IDLE}
        assert sorted(min(os.sched_getaffinity(pid)) for pid in found) == sorted(usable_cores())

    assert loops == len(found)
    assert children() == before
