"""What is prepared beside the work is there after it, and its failure is not lost."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from threading import Event

import pytest

from pipelines.asides import done_aside


def test_work_and_preparation_run_at_the_same_time() -> None:
    begun, prepared = Event(), Event()

    def prepare() -> None:
        begun.wait(60)
        prepared.set()

    with done_aside(prepare):
        begun.set()
        assert prepared.wait(60)


def test_what_is_prepared_is_there_after_the_work() -> None:
    prepared: list[str] = []

    with done_aside(partial(prepared.append, "library")):
        pass

    assert prepared == ["library"]


def test_a_preparation_that_fails_is_told_after_the_work() -> None:
    done: list[str] = []
    prepare = partial(import_module, "no_such_library")

    with pytest.raises(ModuleNotFoundError, match="no_such_library"), done_aside(prepare):
        done.append("work")

    assert done == ["work"]


def test_an_error_of_the_work_is_the_one_that_is_told() -> None:
    with (
        pytest.raises(ValueError, match="the work"),
        done_aside(partial(import_module, "no_such_library")),
    ):
        raise ValueError("the work failed")
