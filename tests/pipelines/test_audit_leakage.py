"""The training snapshot is audited on a trained run: as it is nothing leaks, and what is planted is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from evaluation.leakage import Finding, leaks
from feature_repo.clock import DAY_US, HOUR_US
from feature_repo.log import EventLog
from feature_repo.matrix import COLUMNS
from feature_repo.places import Places, Run
from pipelines.audit_leakage import LeakFound, closing, known_before, of_columns, order_of_time, recount, run
from pipelines.build_training_set import SNAPSHOT
from pipelines.plan import Plan
from pipelines.recounts import stored
from pipelines.shell import Told
from pipelines.stages import read_json
from pipelines.train_towers import load as load_towers
from pipelines.training_sets import Rows, read_rows
from tests.feature_repo.builders import a_story, at

pytestmark = pytest.mark.slow
SAMPLE = 300
RATE, COUNT = "video_long_watch_rate_7d", "creator_impressions_24h"


@pytest.fixture(scope="module")
def plan(trained: Run) -> Plan:
    return Plan(trained)


@pytest.fixture(scope="module")
def rows(plan: Plan) -> Rows:
    return read_rows(plan.rows.needed(plan.work).path / SNAPSHOT)


@pytest.fixture(scope="module")
def anew(plan: Plan) -> Callable[[Rows], list[str]]:
    """The columns that a recount of a sample of rows accuses."""
    towers = load_towers(plan.towers.needed(plan.work))
    return lambda rows: accused(recount(plan.log, towers, rows, np.random.default_rng(1), SAMPLE))


def accused(findings: list[Finding]) -> list[str]:
    return [finding.column.split(" ~ ")[0] for finding in leaks(findings)]


def planted(rows: Rows, column: str, values: NDArray[np.generic]) -> Rows:
    matrix = rows.matrix.copy()
    matrix[:, COLUMNS.index(column)] = values
    return Rows(rows.table, matrix)


def some(rows: Rows) -> Rows:
    """Every fiftieth row."""
    return rows.where(np.arange(len(rows)) % 50 == 0)


def later(plan: Plan, rows: Rows, column: str, by_us: int) -> Rows:
    """The column as it is some time after each row."""
    table = rows.table.with_columns(pl.col("asked_time") + pl.duration(microseconds=by_us))
    return planted(rows, column, stored(plan.log, table)[column])


def over_all_days(rows: Rows) -> NDArray[np.float64]:
    """Each video's mean label over the whole snapshot, the row's own label and later ones included."""
    mean = pl.col("long_watch").cast(pl.Float64).mean().over("video_id")
    return np.asarray(rows.table.select(mean).to_series().to_numpy())


def a_copy_of_the_run(run: Run, folder: Path) -> Plan:
    """The log by link; what stages made, and may be spoiled, by copy."""
    places = Places(folder / run.places.root.name)
    places.root.mkdir()
    places.log.symlink_to(run.places.log.absolute())
    for stage in ("build-training-set", "train-towers"):
        shutil.copytree(run.places.work / stage, places.work / stage)
    return Plan(replace(run, places=places))


def test_as_it_is_no_sampled_row_knows_more_than_was_known(
    rows: Rows, anew: Callable[[Rows], list[str]]
) -> None:
    assert anew(rows) == []


def test_as_it_is_no_column_gives_a_label_away_and_days_are_in_order(plan: Plan, rows: Rows) -> None:
    findings = [*of_columns(rows), *order_of_time(rows, plan.splits.towers.end_us)]

    assert accused(findings) == []
    assert {len(row) for row in closing(findings)} == {6}


def test_a_mean_over_all_days_is_newer_than_its_rows(rows: Rows, anew: Callable[[Rows], list[str]]) -> None:
    assert anew(planted(rows, RATE, over_all_days(rows))) == [RATE]


@pytest.mark.parametrize("by_us", [HOUR_US, DAY_US])
def test_a_feature_of_an_hour_or_a_day_later_is_newer_than_its_rows(
    by_us: int, plan: Plan, rows: Rows, anew: Callable[[Rows], list[str]]
) -> None:
    assert anew(later(plan, some(rows), COUNT, by_us)) == [COUNT]


def test_a_label_with_few_rows_flipped_is_named_whatever_column_it_hides_in(rows: Rows) -> None:
    flips = np.random.default_rng(2).random(len(rows)) < 0.001
    leaky = np.abs(rows.label("long_watch") - flips)

    assert set(accused(of_columns(planted(rows, COUNT, leaky)))) == {COUNT}


def test_watch_time_among_the_features_is_named(rows: Rows) -> None:
    findings = of_columns(planted(rows, COUNT, rows.label("watched_ms")))

    assert "creator_impressions_24h ~ watched_ms" in [finding.column for finding in leaks(findings)]


def test_a_split_at_random_is_no_split_by_time(plan: Plan, rows: Rows) -> None:
    shuffled = rows.table["split"].shuffle(seed=3)
    mixed = Rows(rows.table.with_columns(shuffled), rows.matrix)

    found = accused(list(order_of_time(mixed, plan.splits.towers.end_us)))

    assert {"train", "calibrate"} <= set(found)


def test_rows_asked_after_they_were_shown_are_found(plan: Plan, rows: Rows) -> None:
    late = rows.table.with_columns(pl.col("asked_time") + pl.duration(microseconds=1))

    found = accused(list(order_of_time(Rows(late, rows.matrix), plan.splits.towers.end_us)))

    assert found == ["asked_time"]


def test_a_log_of_before_holds_nothing_known_later(tmp_path: Path) -> None:
    log = a_story().log(tmp_path / "all")

    cut = known_before(log, tmp_path / "before", at(hours=9, minutes=1))

    assert cut.all_known_us() <= at(hours=9, minutes=1)
    assert len(cut.read("watched")) == 2
    assert isinstance(cut, EventLog)


def test_a_spoiled_snapshot_is_refused_by_name_and_reported(trained: Run, tmp_path: Path) -> None:
    plan = a_copy_of_the_run(trained, tmp_path)
    path = plan.rows.needed(plan.work).path / SNAPSHOT
    table = pl.read_parquet(path)
    in_test = (
        table.filter(pl.col("split") == "test").group_by("video_id").agg(leak=pl.col("watched_ms").mean())
    )
    spoiled = table.join(in_test, on="video_id", how="left", maintain_order="left")
    spoiled.with_columns(pl.col("leak").cast(pl.Float32).alias(COUNT)).drop("leak").write_parquet(path)

    with pytest.raises(LeakFound, match="shares the days after train: creator_impressions_24h"):
        run(plan, Told(quiet=True))

    told = read_json(plan.run.places.reports / "audit-leakage.json")["figures"]
    named = {each["column"] for each in told["findings"] if each["verdict"] == "LEAKS"}
    assert named == {COUNT}
