"""The evidence of an audit: what was stored after a slate, which rows are compared, and by how many ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from feature_repo.clock import INSTANT, MINUTE_US
from feature_repo.journal import Journal
from feature_repo.log import EventLog
from feature_repo.matrix import COLUMNS
from feature_repo.places import Places
from feature_repo.steps import read_manifest
from monitoring.audit_parity import Audit, Offline, Second, audited, second, served_rows, stored_after
from monitoring.parity import Evidence, Parity, parity
from tests.feature_repo.builders import Story, at, watched_event

NOON = at(hours=12)


def a_slate(impression: int, user: int, moment_us: int = NOON, **more: Any) -> dict[str, Any]:
    """One served event as the journal takes it."""
    event = {
        "kind": "served",
        "event_id": f"served/{impression}",
        "event_time_us": moment_us,
        "known_time_us": moment_us,
        "request_id": impression,
        "impression_id": impression,
        "user_id": user,
        "video_id": 10,
        "position": 0,
        "propensity": 1.0,
        "explored": False,
        "source": "trending",
        "surface": 0,
        "release_id": "r1",
    }
    return {**event, **more}


def a_watch(event_id: str, user: int, known_us: int) -> dict[str, Any]:
    return watched_event(event_id, user_id=user, event_time_us=known_us, known_time_us=known_us)


def late_of(
    folder: Path, stored: Sequence[dict[str, Any]], rows: Sequence[tuple[int, int, int]]
) -> list[int]:
    """`stored_after` for (impression, user, moment) once these events were stored in this order."""
    places = Places(folder)
    journal = Journal(places.journal)
    for event in stored:
        journal.append([event])
    journal.close()
    asked = pl.DataFrame(list(rows), schema=["impression_id", "user_id", "event_time"], orient="row")
    found = stored_after(places, asked.with_columns(pl.col("event_time").cast(INSTANT)))
    return [int(known_us) for known_us in found]


def test_an_event_known_before_a_slate_and_stored_after_it_came_late(tmp_path: Path) -> None:
    stored = [a_slate(64, user=1), a_watch("w1", 1, NOON - 5)]

    assert late_of(tmp_path, stored, [(64, 1, NOON)]) == [NOON - 5]


@pytest.mark.parametrize(
    "stored",
    [
        [a_watch("w1", 1, NOON - 5), a_slate(64, user=1)],
        [a_slate(64, user=1), a_watch("w1", 1, NOON)],
        [a_slate(64, user=1), a_watch("w1", 1, NOON + MINUTE_US)],
        [a_slate(64, user=1), a_watch("w1", 2, NOON - 5)],
        [a_slate(64, user=1), a_slate(128, user=1, moment_us=NOON - 5)],
        [a_watch("w1", 1, NOON - 5)],
        [],
    ],
    ids=["stored-before", "at-the-moment", "known-later", "another-person", "a-slate", "no-slate", "empty"],
)
def test_nothing_came_late_that(tmp_path: Path, stored: list[dict[str, Any]]) -> None:
    assert late_of(tmp_path, stored, [(64, 1, NOON)]) == [-1]


def test_of_several_late_events_the_first_that_was_known_is_told(tmp_path: Path) -> None:
    stored = [a_slate(64, user=1), a_watch("w1", 1, NOON - 3), a_watch("w2", 1, NOON - 9)]

    assert late_of(tmp_path, stored, [(64, 1, NOON)]) == [NOON - 9]


def test_each_impression_is_told_in_the_order_asked(tmp_path: Path) -> None:
    stored = [
        a_slate(64, user=1),
        a_watch("w1", 1, NOON - 5),
        a_slate(128, user=1, moment_us=NOON + 9),
        a_slate(192, user=2),
        a_watch("w2", 2, NOON - 1),
    ]

    rows = [(192, 2, NOON), (128, 1, NOON + 9), (64, 1, NOON)]
    assert late_of(tmp_path, stored, rows) == [NOON - 1, -1, NOON - 5]


def test_the_order_is_the_journals_after_the_log_absorbed_it_too(tmp_path: Path) -> None:
    places, journal = Places(tmp_path), Journal(Places(tmp_path).journal)
    journal.append([a_slate(64, user=1)])
    journal.append([a_watch("w1", 1, NOON - 5)])
    journal.drain_into(EventLog(places.log))
    journal.close()

    assert late_of(tmp_path, [], [(64, 1, NOON)]) == [NOON - 5]


def a_log(folder: Path, slates: Sequence[dict[str, Any]]) -> EventLog:
    """A small world with these slates in it."""
    story = Story()
    story.joins(1)
    story.uploads(10, creator=5, topic=3)
    story.swipes(1, 10, at(hours=1))
    story.events["served"] += slates
    return story.log(folder)


def with_features(slate: dict[str, Any], value: float = 0.0) -> dict[str, Any]:
    return {**slate, "features": [value] * len(COLUMNS), "features_time_us": slate["event_time_us"]}


def test_only_impressions_with_features_of_this_matrix_are_audited_in_order_of_time(tmp_path: Path) -> None:
    slates = [
        with_features(a_slate(640, user=1, moment_us=NOON + 9)),
        with_features(a_slate(704, user=1)),
        a_slate(768, user=1),
        {**a_slate(832, user=1), "features": [1.0, 2.0]},
    ]

    found = served_rows(a_log(tmp_path, slates))

    assert found["impression_id"].to_list() == [704, 640]


def stored(**columns: list[float]) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in columns.items()}


def test_a_second_way_that_agrees_in_float32_differs_nowhere() -> None:
    mine = stored(a=[1.0, np.nan, 0.1], b=[0.0, 1.0, 2.0])
    theirs = stored(a=[1.0, np.nan, float(np.float32(0.1))], b=[0.0, 1.0, 2.0])

    assert second("another", mine, theirs) == Second("another", 3, 6, {})


def test_a_second_way_tells_how_many_cells_differ_by_feature() -> None:
    mine, theirs = (
        stored(a=[1.0, 2.0, 3.0], b=[0.0, 1.0, 2.0]),
        stored(a=[1.0, 9.0, np.nan], b=[0.0, 1.0, 2.0]),
    )

    found = second("another", mine, theirs)

    assert found.differing == {"a": 2}
    assert found.figures() == {"rows": 3, "cells": 6, "differing": {"a": 2}}


def an_equal_parity(rows: int = 3) -> Parity:
    equal = np.ones((rows, len(COLUMNS)), np.float32)
    return parity(Evidence(equal, equal, equal, equal))


@pytest.mark.parametrize(
    ("served", "differing", "holds"),
    [
        (an_equal_parity(), {}, True),
        (an_equal_parity(), {"a": 1}, False),
        (an_equal_parity(rows=0), {}, False),
    ],
    ids=["all-ways-agree", "a-second-way-differs", "nothing-served"],
)
def test_an_audit_holds_if_every_way_agrees_about_something(
    served: Parity, differing: dict[str, int], holds: bool
) -> None:
    found = Audit(served, (Second("one", 3, 6, {}), Second("other", 3, 6, differing)))

    assert found.holds is holds
    assert found.figures()["holds"] is holds
    assert set(found.figures()) == {"holds", "served", "one", "other"}


def test_a_run_that_served_nothing_with_features_does_not_hold(tmp_path: Path) -> None:
    places = Places(tmp_path / "run")
    a_log(places.log, [a_slate(640, user=1)])

    found = audited(places, Places(tmp_path / "offline"), sample=10, feast_sample=5, seed=1)

    assert (found.served.rows, found.holds) == (0, False)


def test_made_up_features_do_not_hold_and_the_columns_are_named(tmp_path: Path) -> None:
    places = Places(tmp_path / "run")
    a_log(places.log, [with_features(a_slate(640, user=1), value=-1.0)])

    found = audited(places, Places(tmp_path / "offline"), sample=10, feast_sample=5, seed=1)

    assert not found.holds
    assert {each.way: dict(each.differing) for each in found.seconds} == {
        "brute_force": {},
        "feast_duckdb": {},
    }
    assert {each.column for each in found.served.columns if each.mismatched} == set(COLUMNS)


def test_an_audit_leaves_the_run_as_it_was_and_builds_features_elsewhere(tmp_path: Path) -> None:
    places, scratch = Places(tmp_path / "run"), Places(tmp_path / "offline")
    log = a_log(places.log, [])

    Offline.of(places, scratch)

    assert not places.features.exists()
    found = read_manifest(scratch.features)
    assert found is not None
    assert found.until_us >= log.all_known_us()
