"""The command line: every verb has a file, help is quick, errors are sentences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.__main__ import NEXT, VERBS, main
from pipelines.shell import flat, shown
from pipelines.train import ORDER

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_file_and_names_the_next_command(verb: str) -> None:
    assert (ROOT / "pipelines" / f"{verb.replace('-', '_')}.py").exists()
    assert NEXT[verb].startswith(("python -m ", "make "))


def test_train_runs_every_verb_but_the_five_that_are_asked_for() -> None:
    assert set(VERBS) - set(ORDER) == {"audit-leakage", "canary", "evaluate", "rollback", "train"}


def test_help_imports_nothing_heavy() -> None:
    told = "import sys, pipelines.__main__ as m; m.parser().format_help(); print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert not {"feast", "mlflow", "jax", "lightgbm", "polars", "numpy"} & set(loaded.stdout.split())


@pytest.mark.usefixtures("nowhere")
def test_without_a_log_the_command_that_makes_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--quiet"]) == 1
    assert "python -m simulator logs" in capsys.readouterr().err


@pytest.mark.usefixtures("nowhere")
def test_a_day_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAIN_UNTIL", "tomorrow")

    assert main(["train-towers"]) == 1
    assert "TRAIN_UNTIL is 'tomorrow', must be a day like 2022-05-01" in capsys.readouterr().err


def test_an_estimate_is_shown_with_its_interval() -> None:
    assert shown({"value": 0.5, "low": 0.4, "high": 0.6, "n": 3}) == "0.5000 [0.4000, 0.6000]"
    assert shown({"value": None, "low": None, "high": None, "n": 0}) == "- [-, -]"


def test_figures_are_shown_under_their_dotted_names() -> None:
    assert flat({"a": {"b": 1, "c": {"d": True}}}) == [("a.b", "1"), ("a.c.d", "True")]


@pytest.mark.usefixtures("nowhere")
def test_a_rollback_without_a_champion_is_refused_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollback"]) == 1
    assert "there is no champion. `make train`" in capsys.readouterr().err
