"""A lived day holds to the last cell, and what is planted in the serving side is found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from feature_repo.catalogue import feature_named
from feature_repo.places import Run
from feature_repo.reports import read_report
from labs.audit_parity import PLANTS, copied, main
from monitoring.skew import MIRRORED
from serving import registry

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Told:
    """What the command said of a day: its exit code and its report."""

    code: int
    report: dict[str, Any]

    @property
    def columns(self) -> dict[str, dict[str, int]]:
        """The causes of each column that differs."""
        return {name: found["causes"] for name, found in self.report["served"]["columns"].items()}

    def named(self, cause: str) -> set[str]:
        return {name for name, causes in self.columns.items() if cause in causes}


Audited = Callable[[str], Told]


@pytest.fixture(scope="module")
def audit(served: Run) -> Audited:
    """The command over a short day with something planted; each day is lived once."""
    told: dict[str, Told] = {}
    var = str(served.places.root.parent)
    asked = {"LOGS": served.logs, "SCALE": served.scale, "SEED": str(served.seed), "VAR": var}

    def audited(plant: str) -> Told:
        if plant not in told:
            with pytest.MonkeyPatch.context() as environment:
                for name, value in asked.items():
                    environment.setenv(name, value)
                code = main(["--plant", plant, "--hours", "0.25", "--people", "40", "--folder", var])
            name = "audit-parity" if plant == "none" else f"audit-parity-{plant}"
            told[plant] = Told(code, read_report(served.places, name)["figures"])
        return told[plant]

    return audited


def test_a_day_holds_to_the_last_cell_by_three_ways(audit: Audited) -> None:
    day = audit("none")

    assert day.code == 0
    assert day.report["holds"]
    assert day.report["served"]["rows"] == day.report["impressions"] > 300
    assert day.report["served"]["mismatched"] == 0
    for way in ("brute_force", "feast_duckdb"):
        assert day.report[way]["cells"] > 0
        assert day.report[way]["differing"] == {}


def test_what_a_clean_day_must_explain_is_stale_and_little(audit: Audited) -> None:
    day = audit("none")

    assert {cause for causes in day.columns.values() for cause in causes} <= {"stale"}
    assert set(day.columns) <= MIRRORED
    assert day.report["served"]["explained_share"] < 0.01


@pytest.mark.parametrize("plant", [plant for plant in PLANTS if plant != "none"])
def test_whatever_is_planted_fails_the_audit_and_is_named(audit: Audited, plant: str) -> None:
    day = audit(plant)

    assert day.code == 1
    assert not day.report["holds"]
    assert day.named(PLANTS[plant][1])
    assert (
        day.report["brute_force"]["differing"] == {}
    )  # offline ways agree: serving was spoiled, not the past


def test_a_unit_is_named_in_the_column_it_was_planted_in_alone(audit: Audited) -> None:
    assert audit("unit").named("unit") == {"video_duration_s"}


def test_a_default_is_named_where_people_are_unknown(audit: Audited) -> None:
    found = audit("default").named("default")

    assert {feature_named(name).view for name in found} == {"user_profile"}


def test_an_old_table_is_named_in_what_is_mirrored(audit: Audited) -> None:
    assert audit("stale-table").named(PLANTS["stale-table"][1]) <= MIRRORED


def test_a_boundary_is_named_in_what_people_just_did(audit: Audited) -> None:
    found = audit("boundary").named(PLANTS["boundary"][1])

    assert "user_impressions_1h" in found
    assert {feature_named(name).entity for name in found} <= {"user", "user_topic"}


def test_a_run_is_left_as_it_was(served: Run, audit: Audited) -> None:
    audit("none")

    assert not served.places.journal.exists()
    assert not list(served.places.root.parent.glob("fourplanes-parity-*"))


def test_a_copy_has_a_champion_and_shares_only_what_never_changes(served: Run, tmp_path: Path) -> None:
    copy = copied(served, tmp_path)

    assert registry.champion(copy.places) is not None
    part = next(served.places.log.rglob("*.parquet")).relative_to(served.places.root)
    online = Path("feast") / "online.db"
    shared = [(served.places.root / each).samefile(copy.places.root / each) for each in (part, online)]
    assert shared == [True, False]
