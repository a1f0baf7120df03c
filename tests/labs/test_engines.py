"""Does the comparison of engines see a difference where there is one, and only there?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_repo.catalogue import PROFILES, USER_STATS, VIEWS
from feature_repo.clock import INSTANT
from feature_repo.places import Places
from feature_repo.spark_engine import missing_for_spark
from labs.engines import main, steps_compared, training_compared
from tests.feature_repo.builders import a_busy_story, at

MISSING = missing_for_spark()


def steps(*rows: tuple[int, int, float]) -> pl.DataFrame:
    """User steps whose every feature is one number: (user, moment, number)."""
    values = {name: pl.Series([value for _, _, value in rows], dtype=pl.Float32) for name in USER_STATS.names}
    moments = pl.Series([moment for _, moment, _ in rows], dtype=pl.Int64).cast(INSTANT)
    return pl.DataFrame({"user_id": [user for user, _, _ in rows], **values, "event_timestamp": moments})


ONE = steps((1, at(hours=1), 3.0), (1, at(hours=2), 4.0), (2, at(hours=1), 5.0))


def test_a_row_that_repeats_the_one_before_is_no_difference() -> None:
    repeated = pl.concat([ONE, steps((1, at(hours=3), 4.0))])

    found = steps_compared(USER_STATS, ONE, repeated)
    assert (found.rows, found.rows_spark, found.differing) == (3, 4, 0)


def test_one_bit_is_a_difference() -> None:
    next_up = float(np.nextafter(np.float32(4.0), np.float32(5.0)))
    other = steps((1, at(hours=1), 3.0), (1, at(hours=2), next_up), (2, at(hours=1), 5.0))

    assert steps_compared(USER_STATS, ONE, other).differing == len(USER_STATS.names)


@pytest.mark.parametrize("lost", range(3))
def test_a_missing_step_is_a_difference(lost: int) -> None:
    kept = ONE.filter(pl.int_range(pl.len()) != lost)

    assert steps_compared(USER_STATS, ONE, kept).differing == len(USER_STATS.names)


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="user_stats has columns"):
        steps_compared(USER_STATS, ONE, ONE.with_columns(pl.col("user_id").cast(pl.Int32)))


def test_a_missing_training_row_differs_in_every_cell() -> None:
    rows = steps((1, 0, 1.0), (2, 0, float("nan"))).with_columns(impression_id=pl.Series([64, 128]))

    assert training_compared(USER_STATS, rows, rows[::-1]).differing == 0
    assert training_compared(USER_STATS, rows, rows.head(1)).differing == len(USER_STATS.names)


def test_without_spark_the_line_that_installs_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)

    assert main([]) == 2
    assert "uv pip install" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(MISSING is not None, reason=f"Spark needs {MISSING}")
def test_both_engines_agree_on_a_log_and_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path / "simulated-tiny")
    a_busy_story(np.random.default_rng(3), at(days=4), swipes=150).log(places.log)
    monkeypatch.setenv("VAR", str(tmp_path))
    monkeypatch.setenv("SCALE", "tiny")

    assert main([]) == 0

    figures = json.loads((places.reports / "engines.json").read_text())["figures"]
    assert set(figures["steps"]) == set(figures["training"]) == {view.name for view in VIEWS}
    assert all(figures["steps"][view.name]["cells"] > 0 for view in PROFILES)
    assert {path.name for path in places.root.iterdir()} == {"log", "reports"}
