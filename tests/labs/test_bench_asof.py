"""Does the benchmark of historical joins compare like with like, and would it notice a wrong answer?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from labs.bench.asof_join import (
    COLUMNS,
    START_US,
    World,
    by_hand,
    differing_cells,
    measure,
    rows,
    write_labels,
    write_sources,
)

SMALL = World(users=60, videos=90, categories=4, days=5)
N = 1_500


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return measure([N], 7, tmp_path_factory.mktemp("asof"), rivals_upto=N, world=SMALL, rounds=1)


def test_every_arm_gives_every_cell_found_by_hand(figures: dict[str, Any]) -> None:
    arms = figures["sizes"][str(N)]["arms"]

    assert list(arms) == ["ours", "polars", "duckdb"]
    assert {name: arm["differing_cells"] for name, arm in arms.items()} == dict.fromkeys(arms, 0)
    assert all(arm["compared_cells"] == N * len(COLUMNS) for arm in arms.values())
    assert 0.0 < arms["ours"]["null_share"] < 0.5
    assert arms["ours"]["order_kept"]


def test_the_table_has_a_line_per_arm_and_says_how_often_each_ran(figures: dict[str, Any]) -> None:
    lines = rows(figures)

    assert [line[:2] for line in lines] == [("1,500", "ours"), ("1,500", "polars"), ("1,500", "duckdb")]
    assert [line[-1] for line in lines] == ["1", "1", "1"]
    assert {len(line) for line in lines} == {8}


def test_the_world_is_the_same_for_the_same_seed_and_unsorted(tmp_path: Path) -> None:
    told = write_sources(np.random.default_rng(3), tmp_path, SMALL)
    first = pl.read_parquet(tmp_path / "user_cat.parquet")

    assert write_sources(np.random.default_rng(3), tmp_path, SMALL) == told
    assert pl.read_parquet(tmp_path / "user_cat.parquet").equals(first)
    assert not first["event_timestamp"].is_sorted()
    assert not first.select("user_id", "category", "event_timestamp").is_duplicated().any()


def test_a_search_by_hand_takes_the_newest_row_within_its_ttl(tmp_path: Path) -> None:
    write_sources(np.random.default_rng(3), tmp_path, SMALL)
    write_labels(np.random.default_rng(4), tmp_path, SMALL, 400)
    label = pl.read_parquet(tmp_path / "labels_400.parquet").row(321, named=True)
    table = pl.read_parquet(tmp_path / "user_daily.parquet").filter(pl.col("user_id") == label["user_id"])
    mine = table.filter(pl.col("event_timestamp") <= label["event_timestamp"]).sort("event_timestamp")

    found = by_hand(tmp_path, 400, np.asarray([321]))

    assert found[0, 0] == mine["user_daily_0"][-1]
    assert label["event_timestamp"].timestamp() * 1e6 >= START_US


def test_a_wrong_answer_is_counted_and_a_missing_one_too() -> None:
    nan = float("nan")
    wanted = np.asarray([[0.5, nan], [0.25, nan]], np.float32)

    assert differing_cells(wanted.copy(), wanted) == 0
    assert differing_cells(np.asarray([[0.5, 0.0], [nan, nan]]), wanted) == 2
