"""Health: the server's own figures, judged; too few requests are never a fault."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from feature_repo.places import Places
from monitoring.findings import Finding, Verdict
from monitoring.health import FILE, Health, health, read_health

WALL_S = 1_000_000.0


def figures(**changes: Any) -> dict[str, Any]:
    well = {
        "now_us": 5,
        "ready": True,
        "release_id": "r-1",
        "refused_release": None,
        "mirror_age_s": 60.0,
        "requests": 1000,
        "errors": 0,
        "feeds": 500,
        "fallbacks": 0,
        "degraded": {},
        "ms": {"http /v1/feed": {"p50": 5.0, "p99": 20.0, "n": 500}},
        "contracts": {"rows": 250_000, "columns": {}, "breaches": []},
    }
    return {**well, **changes}


def by_subject(**changes: Any) -> dict[str, Finding]:
    return {finding.subject: finding for finding in health(Health(figures(**changes), 1.0))}


def test_a_well_server_fails_no_check() -> None:
    assert {finding.verdict for finding in by_subject().values()} == {Verdict.OK}


def test_a_server_that_never_ran_is_not_judged() -> None:
    (found,) = health(None)

    assert found.verdict is Verdict.NOT_JUDGED
    assert "make serve" in found.says


def test_two_errors_in_a_hundred_may_be_chance_and_fifty_in_a_thousand_may_not() -> None:
    assert not by_subject(requests=100, errors=2)["errors"].failed
    assert by_subject(requests=1000, errors=50)["errors"].failed


def test_a_failing_component_is_named() -> None:
    found = by_subject(fallbacks=200, degraded={"source:trending": 200})["fallbacks"]

    assert found.failed
    assert "source:trending x200" in found.says


def test_a_refused_champion_is_a_fault_with_the_servers_own_words() -> None:
    found = by_subject(refused_release="heads/like.txt has sha256 1, its manifest promises 2")["champion"]

    assert found.failed
    assert "promises" in found.says


def test_slowness_is_judged_from_a_hundred_feeds_on() -> None:
    slow = {"p50": 5.0, "p99": 500.0}

    assert by_subject(ms={"http /v1/feed": {**slow, "n": 99}})["p99 of a feed"].verdict is Verdict.NOT_JUDGED
    assert by_subject(ms={"http /v1/feed": {**slow, "n": 100}})["p99 of a feed"].failed


def test_a_mirror_that_is_not_renewed_is_a_fault() -> None:
    assert by_subject(mirror_age_s=2 * 3600)["age of the mirror"].failed


def test_a_broken_contract_is_told_with_its_owner_once_enough_candidates_were_scored() -> None:
    told = {"rows": 250_000, "breaches": ["video_duration_s: values out of range 3; ask creators"]}

    assert by_subject(contracts={**told, "rows": 9_999})["feature contracts"].verdict is Verdict.NOT_JUDGED
    assert "ask creators" in by_subject(contracts=told)["feature contracts"].says


def test_a_server_that_has_served_nothing_has_no_error_rate() -> None:
    assert by_subject(requests=0, feeds=0)["errors"].verdict is Verdict.NOT_JUDGED


@pytest.mark.parametrize(("age_s", "clock"), [(30.0, 5), (300.0, None)])
def test_the_clock_of_a_stopped_server_is_not_the_worlds(
    tmp_path: Path, age_s: float, clock: int | None
) -> None:
    places = Places(tmp_path)
    places.server.mkdir()
    (places.server / FILE).write_text(json.dumps(figures()))
    os.utime(places.server / FILE, (WALL_S - age_s, WALL_S - age_s))

    found = read_health(places, WALL_S)

    assert found is not None
    assert found.now_us == clock


def test_no_file_is_no_health(tmp_path: Path) -> None:
    assert read_health(Places(tmp_path), WALL_S) is None
