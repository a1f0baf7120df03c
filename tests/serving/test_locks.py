"""Is it one at a time, among threads and among processes?"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from serving.locks import Mark, RunLock
from tests.serving.builders import NOW_US

COUNTS = """
import sys
from pathlib import Path
from serving.locks import RunLock

lock, count = RunLock(Path(sys.argv[1]) / "lock"), Path(sys.argv[1]) / "count"
for _ in range(300):
    with lock, lock:
        count.write_text(str(int(count.read_text()) + 1))
"""


def test_processes_that_count_in_one_file_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")

    counting = [subprocess.Popen([sys.executable, "-c", COUNTS, str(tmp_path)]) for _ in range(3)]

    assert [each.wait() for each in counting] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "900"


def test_threads_that_count_lose_nothing(tmp_path: Path) -> None:
    lock, counted = RunLock(tmp_path / "lock"), [0]

    def count() -> None:
        for _ in range(2_000):
            with lock:
                counted[0] = counted[0] + 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert counted == [8_000]


def test_who_could_not_take_it_does_not_keep_others_out(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "lock")
    lock.close()  # no system can lock a file that is closed

    failures = list[type]()

    def takes() -> None:
        try:
            with lock:
                raise AssertionError("a closed file was locked.")
        except ValueError as error:
            failures.append(type(error))

    for _ in range(4):  # a thread of its own each: one that has the lock may take it again
        thread = threading.Thread(target=takes, daemon=True)
        thread.start()
        thread.join(timeout=30)

    assert failures == [ValueError] * 4


def test_who_holds_a_lock_finds_what_the_one_before_left(tmp_path: Path) -> None:
    mine, others = Mark(tmp_path / "mark"), Mark(tmp_path / "mark")
    assert mine.read() == 0

    for left_us in (NOW_US, 7):
        others.leave(left_us)
        assert (mine.read(), Mark(tmp_path / "mark").read()) == (left_us, left_us)


def test_a_full_disk_keeps_the_mark_that_was_left_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    mark = Mark(tmp_path / "mark")
    assert mark.leave(7)
    monkeypatch.setattr(os, "pwrite", full)

    assert not mark.leave(8)
    assert mark.read() == 7
    assert "could not be left" in caplog.text
