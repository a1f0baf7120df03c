"""Commands fail in one line, and know which processes still run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from feature_repo.processes import exit_code, is_running


def failing(error: BaseException) -> int:
    raise error


def test_a_failure_we_have_words_for_is_one_line_and_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("release", lambda: failing(ValueError("no rows")), "stopped") == 1
    assert capsys.readouterr().err == "release: no rows\n"


def test_ctrl_c_says_what_was_left_and_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("release", lambda: failing(KeyboardInterrupt()), "stopped cleanly") == 130
    assert capsys.readouterr().err == "stopped cleanly\n"


def test_a_failure_nobody_foresaw_keeps_its_traceback() -> None:
    with pytest.raises(AssertionError):
        exit_code("release", lambda: failing(AssertionError()), "stopped")


def test_a_process_runs_until_it_has_ended() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    assert is_running(os.getpid())
    assert not is_running(ended.pid)
