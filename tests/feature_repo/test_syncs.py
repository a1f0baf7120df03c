"""Does everybody who waits for the disk share a sync, and never one that began before their write?"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from feature_repo.syncs import SharedSync


class Disk:
    """Counts its syncs; the first goes on until it may end."""

    def __init__(self) -> None:
        self.syncs = 0
        self.began, self.may_end = threading.Event(), threading.Event()

    def sync(self) -> None:
        self.syncs += 1
        self.began.set()
        assert self.may_end.wait(30)


@pytest.mark.parametrize("waiting", [1, 5])
def test_whoever_wrote_during_a_sync_waits_for_one_more_and_all_of_them_for_the_same(waiting: int) -> None:
    disk, shared = Disk(), SharedSync()
    with ThreadPoolExecutor(1 + waiting) as threads:
        first = threads.submit(shared.reach, disk.sync)
        assert disk.began.wait(30)
        others = [threads.submit(shared.reach, disk.sync) for _ in range(waiting)]
        while shared._asked < 1 + waiting:
            pass
        assert not any(each.done() for each in (first, *others))
        disk.may_end.set()

    assert disk.syncs == 2


def test_one_after_the_other_each_has_a_sync_of_its_own() -> None:
    disk, shared = Disk(), SharedSync()
    disk.may_end.set()

    for _ in range(3):
        shared.reach(disk.sync)

    assert disk.syncs == 3


def test_a_sync_that_failed_serves_nobody() -> None:
    disk, shared = Disk(), SharedSync()
    disk.may_end.set()

    with pytest.raises(OSError, match="broken"):
        shared.reach(_broken)
    shared.reach(disk.sync)

    assert disk.syncs == 1


def _broken() -> None:
    raise OSError("broken")
