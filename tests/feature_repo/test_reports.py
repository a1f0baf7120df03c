"""Do figures reach a file whole, in JSON's own words, and say what they rest on? (reports, the catalogue's
command)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from feature_repo.__main__ import main
from feature_repo.catalogue import FEATURES
from feature_repo.places import Places, Run
from feature_repo.reports import estimate, read_report, write_report


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run("simulated", "tiny", 7, Places(tmp_path))


def test_a_report_says_which_run_it_is_of(run: Run) -> None:
    write_report(run, "evaluate", {"auc": estimate(0.7, 0.6, 0.8, 100)})

    found = read_report(run.places, "evaluate")
    assert (found["verb"], found["seed"], found["scale"], found["logs"]) == (
        "evaluate",
        7,
        "tiny",
        "simulated",
    )
    assert found["figures"]["auc"] == {"value": 0.7, "low": 0.6, "high": 0.8, "n": 100}


def test_numpy_becomes_plain_and_what_is_no_number_becomes_null(run: Run) -> None:
    figures = {"a": np.float32(0.5), "b": np.arange(2), "c": float("nan"), "d": (1, None), 5: Path("x")}

    write_report(run, "train", figures)  # type: ignore[arg-type]

    assert read_report(run.places, "train")["figures"] == {
        "a": 0.5,
        "b": [0, 1],
        "c": None,
        "d": [1, None],
        "5": "x",
    }


def test_a_report_leaves_no_half_file_behind(run: Run) -> None:
    write_report(run, "train", {})
    write_report(run, "train", {"again": 1})

    assert [path.name for path in run.places.reports.iterdir()] == ["train.json"]


def test_a_missing_report_says_what_writes_it(run: Run) -> None:
    with pytest.raises(FileNotFoundError, match="written by `evaluate`"):
        read_report(run.places, "evaluate")


def test_the_catalogue_prints_every_feature(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalogue"]) == 0

    printed = capsys.readouterr().out
    assert all(feature.name in printed for feature in FEATURES)
