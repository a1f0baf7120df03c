"""Real rows, where somebody brought them, stand beside the world's; a broken folder is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from simulator.card_rows import Observed
from simulator.real_rows import BadRealRows, beside, by_duration, folder_from_environment, read_rows, table

HOUR_MS = 3_600_000


def a_folder(path: Path, **changes: list[int] | list[str] | None) -> Path:
    """Two days of four impressions: three videos of the pool, one never shown; None drops a column."""
    columns = {
        "user_id": [1, 1, 2, 2],
        "video_id": [1, 1, 1, 2],
        "time_ms": [0, HOUR_MS, 2 * HOUR_MS, 47 * HOUR_MS],
        "play_time_ms": [0, 20_000, 5_000, 10_000],
        "duration_ms": [10_000, 40_000, 0, 10_000],
    } | changes
    path.mkdir(parents=True)
    pl.DataFrame({name: column for name, column in columns.items() if column is not None}).write_parquet(
        path / "impressions_1.parquet"
    )
    pool = pl.DataFrame({"video_id": [1, 2, 3], "video_duration": [40_000.0, 10_000.0, None]})
    pool.write_parquet(path / "videos_basic.parquet")
    return path


def a_world(people: int = 50, videos: int = 40) -> Observed:
    """Many impressions per person over ten days; person and video drawn with skew."""
    rng = np.random.default_rng(7)
    n = 5_000
    day = 86_400_000_000
    rows = pl.DataFrame(
        {
            "user_id": rng.integers(0, people, n) + 1,
            "video_id": np.minimum(rng.geometric(0.15, n), videos),
            "served_us": np.sort(rng.integers(0, 10 * day, n)),
            "play": rng.exponential(10.0, n),
            "duration_s": rng.uniform(5.0, 60.0, n),
        }
    ).with_columns(long_view=(pl.col("play") >= 18).cast(pl.Float64))
    pool = pl.DataFrame({"video_id": np.arange(1, videos + 1), "duration_s": rng.uniform(5.0, 60.0, videos)})
    return Observed(rows, rows.select("user_id"), pool)


def test_a_duration_of_zero_is_unknown(tmp_path: Path) -> None:
    rows = read_rows(a_folder(tmp_path / "real"))

    assert np.isnan(rows.shown[2])
    assert rows.ratio.tolist() == [0.0, 0.5, 1.0]


def test_videos_never_shown_are_of_the_pool(tmp_path: Path) -> None:
    rows = read_rows(a_folder(tmp_path / "real"))

    assert sorted(rows.per_video.tolist()) == [0, 1, 3]
    assert rows.days == 2


def test_the_worlds_counts_are_thinned_to_the_real_means(tmp_path: Path) -> None:
    real = read_rows(a_folder(tmp_path / "real"))

    found = beside(a_world(), tmp_path / "real", tmp_path / "reports", 7)

    theirs, ours = found.quantiles["impressions per person, 2 days"]
    assert theirs[3] == real.per_person.mean() == 2.0
    assert ours[3] == pytest.approx(2.0, abs=1.0)


def test_the_page_of_plots_is_a_picture_in_the_runs_reports(tmp_path: Path) -> None:
    found = beside(a_world(), a_folder(tmp_path / "real"), tmp_path / "reports", 7)

    assert found.plots == (tmp_path / "reports" / "card_real_rows.png",)
    assert found.plots[0].read_bytes().startswith(b"\x89PNG")
    assert table(found).row_count == 2 * len(found.quantiles) + 2


def test_the_report_holds_both_ginis_and_says_of_what(tmp_path: Path) -> None:
    found = beside(a_world(), a_folder(tmp_path / "real"), tmp_path / "reports", 7)

    ginis = found.figures["exposure_gini"]
    assert isinstance(ginis, dict)
    assert ginis["real"] == pytest.approx(1 / 2)
    assert "all 3 videos of the pool" in ginis["pools"]["real"]


def test_long_view_by_duration_counts_each_impression_of_known_duration_once(tmp_path: Path) -> None:
    rows = read_rows(a_folder(tmp_path / "real"))

    assert by_duration(rows, np.array([0.0, 20.0, 100.0])).tolist() == [0.5, 1.0]


def test_a_folder_without_impressions_is_no_real_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REAL_LOGS", str(tmp_path))

    assert folder_from_environment() is None


def test_the_folder_may_hold_kuairand_pure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = a_folder(tmp_path / "kuairand_pure")
    monkeypatch.setenv("REAL_LOGS", str(tmp_path))

    assert folder_from_environment() == inner


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "real", play_time_ms=None)

    with pytest.raises(BadRealRows, match=r"impressions_1\.parquet: column 'play_time_ms' is missing"):
        read_rows(folder)


def test_a_column_of_text_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "real", duration_ms=["long", "short", "short", "short"])

    with pytest.raises(BadRealRows, match="duration_ms"):
        read_rows(folder)


def test_a_folder_without_its_pool_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "real")
    (folder / "videos_basic.parquet").unlink()

    with pytest.raises(BadRealRows, match=r"videos_basic\.parquet is missing"):
        read_rows(folder)


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "real")
    (folder / "impressions_1.parquet").write_bytes(b"nothing")

    with pytest.raises(BadRealRows, match="not a readable parquet file"):
        read_rows(folder)
