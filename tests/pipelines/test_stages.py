"""Stages: made once per content, never half, never out of order."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.stages import KEPT, UNFINISHED, OutOfOrder, Stage


def a_stage(log: str = "abc", **settings: object) -> Stage:
    return Stage("train-towers", {"log": log}, settings, ("pipelines/splits.py",))


def write_answer(folder: Path) -> None:
    (folder / "answer.txt").write_text("42")


def stop(folder: Path) -> None:
    write_answer(folder)
    raise KeyboardInterrupt


def test_the_second_time_is_reused(tmp_path: Path) -> None:
    first = a_stage().made(tmp_path, write_answer)

    second = a_stage().made(tmp_path, stop)

    assert not first.reused
    assert second.reused
    assert second.path == first.path
    assert str(second) == "reused"


@pytest.mark.parametrize("other", [a_stage(log="abd"), a_stage(seed=8)])
def test_another_input_or_setting_is_another_artifact(other: Stage, tmp_path: Path) -> None:
    made = a_stage().made(tmp_path, write_answer)

    assert not other.is_made(tmp_path)
    assert other.key != made.key


def test_another_source_is_another_artifact() -> None:
    whole = Stage("train-towers", {"log": "abc"}, {}, ("pipelines/stages.py",))

    assert whole.key != a_stage().key


def test_a_stopped_run_leaves_nothing_that_is_trusted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        a_stage().made(tmp_path, stop)

    assert not a_stage().is_made(tmp_path)


def test_what_a_stopped_run_left_is_deleted_by_the_next(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        a_stage().made(tmp_path, stop)

    a_stage().made(tmp_path, write_answer)

    assert list((tmp_path / "train-towers").glob(f"{UNFINISHED}*")) == []


def test_a_verb_out_of_order_names_the_command_to_run_first(tmp_path: Path) -> None:
    with pytest.raises(OutOfOrder, match="Run `python -m pipelines train-towers` first"):
        a_stage().needed(tmp_path)


def test_old_artifacts_are_deleted_and_the_newest_stay(tmp_path: Path) -> None:
    made = [a_stage(seed=seed).made(tmp_path, write_answer).path for seed in range(KEPT + 2)]

    assert [path.exists() for path in made] == [False] * 2 + [True] * KEPT
