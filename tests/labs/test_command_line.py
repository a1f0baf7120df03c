"""Can the labs be asked from the command line?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from feature_repo.places import Run
from labs.__main__ import VERBS, main


def test_without_a_verb_the_labs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0

    printed = capsys.readouterr().out
    assert all(verb in printed for verb in VERBS)


def test_an_unknown_lab_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["true-values"]) == 2

    assert "bench-serving" in capsys.readouterr().err


def test_every_lab_explains_itself_without_heavy_imports() -> None:
    code = "import sys; from labs.__main__ import main; main([sys.argv[1], '--help'])"
    heavy = "finally:\n    assert not {'feast', 'lightgbm', 'jax', 'pandas', 'mlflow'} & set(sys.modules)"
    wrapped = f"import sys\ntry:\n    {code.replace('; ', chr(10) + '    ')}\n{heavy}"
    for verb in VERBS:
        done = subprocess.run(
            [sys.executable, "-c", wrapped, verb], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "usage: python -m labs" in done.stdout


def test_the_truth_of_real_logs_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGS", "kuairand")

    assert main(["true-value"]) == 2


def test_without_a_champion_the_command_to_run_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAR", str(tmp_path))

    assert main(["true-value"]) == 1
    assert "make train" in capsys.readouterr().err


def test_the_true_value_report_has_every_policy_with_intervals(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("VAR", str(trained.places.root.parent)),
        ("SCALE", "tiny"),
        ("SEED", str(trained.seed)),
    ):
        monkeypatch.setenv(name, value)

    assert main(["true-value", "--people", "20", "--version", "1"]) == 0

    figures = json.loads((trained.places.reports / "true-value.json").read_text())["figures"]
    assert {"champion", "oracle", "random", "logistic"} <= set(figures["policies"])
    assert set(figures["policies"]["champion"]["satisfaction"]) == {"value", "low", "high", "n"}
    assert figures["policies"]["oracle"]["share_of_headroom"]["value"] == pytest.approx(1.0)
    assert set(figures["champion_less"]) == set(figures["policies"]) - {"champion", "oracle"}


def test_the_ceilings_report_has_every_label_of_both_surfaces(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAR", str(trained.places.root.parent))
    monkeypatch.setenv("SCALE", "tiny")

    assert main(["ceilings", "--last-days", "7"]) == 0

    figures = json.loads((trained.places.reports / "ceilings.json").read_text())["figures"]
    assert set(figures) == {"swipe", "grid"}
    assert set(figures["swipe"]) == {"click", "long_view", "like"}
    assert 0.5 < figures["swipe"]["long_view"]["auc"]["low"] < figures["swipe"]["long_view"]["auc"]["value"]


@pytest.mark.parametrize("lab", ["true-value", "bench-serving"])
def test_a_setting_that_names_nothing_is_a_sentence_on_the_screen(
    lab: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEED", "abc")

    assert main([lab]) == 1
    assert "SEED is 'abc', must be a whole number" in capsys.readouterr().err


def test_the_truth_of_one_world_is_not_asked_of_anothers_log(
    trained: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAR", str(trained.places.root.parent))
    monkeypatch.setenv("SCALE", "tiny")
    monkeypatch.setenv("SEED", str(trained.seed + 1))

    assert main(["true-value", "--version", "1"]) == 1
    assert f"make evaluate SEED={trained.seed}" in capsys.readouterr().err
