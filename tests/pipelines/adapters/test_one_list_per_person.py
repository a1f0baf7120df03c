"""A log without slates: a person's held-out impressions are one list, and a list has one moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from feature_repo.clock import SECOND_US
from feature_repo.log import EventLog
from feature_repo.places import Places, Run
from pipelines.adapters.kuairand import ingest
from pipelines.build_training_set import asked_time
from pipelines.plan import Plan
from pipelines.watches import labels_of
from tests.pipelines.adapters.conftest import HOUR_MS, NOON_MS, impressions

MakePlan = Callable[[str], Plan]


@pytest.fixture
def a_plan(a_folder: Callable[..., Path], tmp_path: Path) -> MakePlan:
    """The plan of six days with three impressions each, as if they came from these logs."""
    days = [[NOON_MS + (24 * day + hour) * HOUR_MS for hour in range(3)] for day in range(6)]
    rows = pl.concat([impressions(time_ms=[*times]) for times in days])

    def make(logs: str) -> Plan:
        plan = Plan(Run(logs, "tiny", 7, Places(tmp_path / "var")))
        ingest(a_folder(impressions_a=rows), EventLog(plan.run.places.log))
        return plan

    return make


def asked_seconds_late(plan: Plan, split: str) -> list[int]:
    """Seconds between the moment a row is asked about and its impression."""
    window = dict(plan.splits.ranker)[split]
    table = labels_of(plan.log, window).with_columns(asked_time(plan, split))
    late = table["event_time"].to_physical() - table["asked_time"].to_physical()
    return [gap // SECOND_US for gap in late]


def test_held_out_rows_of_a_log_without_slates_are_asked_about_at_their_start(a_plan: MakePlan) -> None:
    plan = a_plan("kuairand")

    start_hours = (NOON_MS * 1000 - plan.splits.test.start_us) % (24 * HOUR_MS * 1000) // (HOUR_MS * 1000)
    assert asked_seconds_late(plan, "test") == [3600 * (start_hours + hour) for hour in range(3)]


@pytest.mark.parametrize(("logs", "split"), [("kuairand", "train"), ("simulated", "test")])
def test_every_other_row_is_asked_about_when_it_was_shown(a_plan: MakePlan, logs: str, split: str) -> None:
    assert set(asked_seconds_late(a_plan(logs), split)) == {0}
