"""Drift: fixed methods, fixed thresholds, and a fifth of the columns before anything is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import wasserstein_distance

from feature_repo.matrix import COLUMNS
from monitoring.drift import (
    WATCHED,
    ColumnDrift,
    Drift,
    Watch,
    drift,
    drift_findings,
    judged_columns,
    too_few,
    unknown_jumps,
)
from monitoring.findings import Verdict


def rows(seed: int = 0, n: int = 1500) -> pl.DataFrame:
    """Rows of the matrix: small whole numbers for codes, normal amounts for the rest."""
    rng = np.random.default_rng(seed)
    draws = {name: rng.normal(size=n) for name in COLUMNS}
    codes = {name: rng.integers(0, 4, n) for name, w in WATCHED.items() if isinstance(w, Watch) and w.codes}
    return pl.DataFrame({**draws, **codes}).select(pl.col(name).cast(pl.Float32) for name in COLUMNS)


def drifted(far: int, of: int) -> Drift:
    columns = [ColumnDrift(name, "psi", 0.9 if n < far else 0.0, 0.2) for n, name in enumerate(COLUMNS[:of])]
    return Drift(tuple(columns), {})


def test_every_column_of_the_matrix_is_watched_or_says_why_not() -> None:
    assert set(WATCHED) == set(COLUMNS)
    assert all(
        watch.threshold > 0 if isinstance(watch, Watch) else len(watch) > 20 for watch in WATCHED.values()
    )


def test_clocks_and_ages_are_not_judged() -> None:
    judged = judged_columns(rows(), rows())

    assert not {"hour_of_day", "is_weekend", "user_tenure_days", "video_age_hours"} & set(judged)


def test_a_column_nobody_knows_is_not_judged() -> None:
    unknown = rows().with_columns(video_headline_score=pl.lit(float("nan")))

    assert "video_headline_score" not in judged_columns(unknown, unknown)


def test_a_fifth_of_the_columns_may_drift_and_one_more_may_not() -> None:
    assert not drift_findings(drifted(8, 40))[0].failed
    assert drift_findings(drifted(9, 40))[0].failed


def test_drifted_columns_are_named_furthest_first() -> None:
    near, far = ColumnDrift("surface", "psi", 0.3, 0.2), ColumnDrift("video_topic", "psi", 2.0, 0.2)

    assert [column.column for column in Drift((near, far), {}).drifted] == ["video_topic", "surface"]


def test_a_column_that_lost_its_source_is_a_broken_log_and_not_a_drift() -> None:
    torn = rows().with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("video_topic")).alias("video_topic")
    )
    jumps = unknown_jumps(rows(), torn)

    _, missing = drift_findings(Drift(drifted(0, 5).columns, jumps))

    assert jumps == {"video_topic": pytest.approx(0.5)}
    assert (missing.check, missing.verdict) == ("missing", Verdict.FAILED)


def test_a_few_rows_are_not_judged() -> None:
    (found,) = too_few(rows(), rows(n=499))

    assert found.verdict is Verdict.NOT_JUDGED
    assert too_few(rows(n=500), rows(n=500)) == []


def psi_by_hand(reference: pl.Series, current: pl.Series) -> float:
    """sum (p - q) ln(p / q) over the codes."""
    codes = sorted(set(reference.to_list()))
    p, q = ([float((side == code).mean() or 0) for code in codes] for side in (reference, current))
    return float(sum((a - b) * np.log(a / b) for a, b in zip(p, q, strict=True)))


@pytest.mark.slow
def test_evidently_finds_what_was_moved_and_agrees_with_the_definitions(tmp_path: Path) -> None:
    some = ["video_duration_s", "video_topic", "surface", "tower_score", "video_like_rate_7d", "hour_of_day"]
    reference, current = rows(1).select(some), rows(2).select(some)
    moved = current.with_columns(
        video_duration_s=pl.col("video_duration_s") + 1,
        video_topic=(pl.col("video_topic") > 2).cast(pl.Float32),
    )

    found = drift(reference, moved, tmp_path)

    distances = {column.column: column.distance for column in found.columns}
    spread = float(reference["video_duration_s"].cast(pl.Float64).to_numpy().std())
    by_scipy = wasserstein_distance(reference["video_duration_s"], moved["video_duration_s"]) / spread
    assert {column.column for column in found.drifted} == {"video_duration_s", "video_topic"}
    assert distances["video_duration_s"] == pytest.approx(by_scipy, rel=1e-3)
    assert distances["surface"] == pytest.approx(
        psi_by_hand(reference["surface"], moved["surface"]), abs=1e-6
    )
    assert json.loads((tmp_path / "drift.json").read_text())["drifted"] == 2
    assert "<html" in (tmp_path / "drift.html").read_text()[:2000]
