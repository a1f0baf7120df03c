"""Parity: a cell is equal, stale, late or wrong, and what was done to a column has a name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from feature_repo.catalogue import feature_named
from feature_repo.matrix import COLUMNS
from monitoring.parity import (
    CLOSE,
    MOST_EXPLAINED,
    RATIOS,
    UNEXPLAINED,
    Column,
    ColumnParity,
    Evidence,
    column_parity,
    differing,
    parity,
)
from monitoring.skew import MIRRORED, Matrix

MIRRORED_COLUMN, PERSONS_COLUMN = "video_like_rate_7d", "user_like_rate_7d"
N = 100

cells = st.one_of(st.floats(-2, 2, width=32), st.sampled_from([0.0, 1.0, float("nan")]))
columns = arrays(np.float32, 12, elements=cells)


def values(seed: int = 0, n: int = N) -> Column:
    """Numbers between 1 and 2 that no unit, type or default explains."""
    return np.random.default_rng(seed).uniform(1, 2, n).astype(np.float32)


def of_one(name: str, served: Column, joined: Column, **more: Any) -> ColumnParity:
    """One column's parity; what is not given was not otherwise: the mirror is the join, nothing came late."""
    others = {"mirrored": joined, "late": joined, **more}
    hypotheses = {cause: column[:, None] for cause, column in others.pop("hypotheses", {}).items()}
    wide = {each: column[:, None] for each, column in others.items()}
    return column_parity(name, 0, Evidence(served[:, None], joined[:, None], **wide, hypotheses=hypotheses))


def matrix(rows: int = 4) -> Matrix:
    return np.random.default_rng(1).uniform(1, 2, (rows, len(COLUMNS))).astype(np.float32)


def evidence(served: Matrix, joined: Matrix, mirrored: Matrix | None = None) -> Evidence:
    return Evidence(served, joined, joined if mirrored is None else mirrored, joined)


def changed(original: Matrix, column: str, by: float, rows: int = 1) -> Matrix:
    other = original.copy()
    other[:rows, COLUMNS.index(column)] += np.float32(by)
    return other


@given(columns)
def test_a_column_equals_itself_and_unknown_equals_unknown(column: Column) -> None:
    found = of_one(PERSONS_COLUMN, column, column)

    assert (found.equal, found.mismatched, dict(found.causes), found.named) == (12, 0, {}, "")


@given(st.sampled_from([MIRRORED_COLUMN, PERSONS_COLUMN]), columns, columns, columns, columns, columns)
def test_every_cell_is_counted_once(
    name: str, served: Column, joined: Column, mirrored: Column, late: Column, other: Column
) -> None:
    found = of_one(name, served, joined, mirrored=mirrored, late=late, hypotheses={"other": other})

    assert found.equal + sum(found.causes.values()) == found.cells == 12
    assert found.equal + found.explained + found.mismatched == 12
    assert 0 not in found.causes.values()


@pytest.mark.parametrize("name", COLUMNS)
def test_only_what_is_served_from_the_mirror_may_be_stale(name: str) -> None:
    then, now = values(1), values(2)

    found = of_one(name, then, now, mirrored=then)

    assert found.explained == (N if name in MIRRORED else 0)
    assert found.mismatched == N - found.explained


def test_the_mirror_holds_videos_and_creators_and_nobodys_own_features() -> None:
    assert {feature_named(name).entity for name in MIRRORED} == {"video", "creator"}


@pytest.mark.parametrize("name", [MIRRORED_COLUMN, PERSONS_COLUMN])
def test_what_is_the_join_without_an_event_stored_after_the_slate_is_late(name: str) -> None:
    without, now = values(1), values(2)

    found = of_one(name, without, now, late=without)

    assert (dict(found.causes), found.mismatched, found.largest) == ({"late": N}, 0, 0.0)


def test_what_both_stale_and_late_would_explain_is_counted_once() -> None:
    then, now = values(1), values(2)

    assert dict(of_one(MIRRORED_COLUMN, then, now, mirrored=then, late=then).causes) == {"stale": N}


def test_two_neighbouring_float32_numbers_are_a_mismatch_of_their_distance() -> None:
    joined = np.ones(1, np.float32)
    served = np.nextafter(joined, np.float32(2))

    found = of_one(PERSONS_COLUMN, served, joined)

    assert (found.mismatched, found.largest) == (1, float(served[0]) - 1)


@pytest.mark.parametrize(("served", "joined"), [(1.5, np.nan), (np.nan, 1.5)])
def test_known_against_unknown_is_a_mismatch_without_bound(served: float, joined: float) -> None:
    found = of_one("user_tenure_days", np.full(N, served, np.float32), np.full(N, joined, np.float32))

    assert (found.mismatched, found.largest) == (N, float("inf"))


def test_the_towers_score_may_differ_in_its_last_digits_and_no_other_column_may() -> None:
    joined = values()

    assert of_one("tower_score", joined + np.float32(5e-5), joined).equal == N
    assert of_one("history_topic_share", joined + np.float32(5e-5), joined).mismatched == N


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("over", [False, True])
def test_a_column_in_another_unit_is_named_so(ratio: float, over: bool) -> None:
    joined = values()

    found = of_one(
        "video_duration_s", joined / np.float32(ratio) if over else joined * np.float32(ratio), joined
    )

    assert (found.named, dict(found.causes)) == ("unit", {"unit": N})


def test_units_that_differ_from_cell_to_cell_are_no_unit() -> None:
    joined = values()
    ratios = np.resize(np.array(RATIOS, np.float32), N)

    assert of_one("video_duration_s", joined * ratios, joined).named == UNEXPLAINED


def test_a_ratio_that_is_nearly_one_between_units_is_none() -> None:
    joined = values()

    assert (
        of_one("video_duration_s", joined * np.float32(1000 * (1 + 3 * CLOSE)), joined).named == UNEXPLAINED
    )


def test_a_zero_for_the_unknown_is_a_default() -> None:
    unknown = np.full(N, np.nan, np.float32)

    assert of_one("user_fans_band", np.zeros_like(unknown), unknown).named == "default"


@pytest.mark.parametrize("name", ["user_impressions_1h", PERSONS_COLUMN, MIRRORED_COLUMN, "user_fans_band"])
def test_the_catalogues_default_though_something_is_known_is_a_default(name: str) -> None:
    default = np.full(N, feature_named(name).default, np.float32)

    assert of_one(name, default, values() + 1).named == "default"


@pytest.mark.parametrize("cut", [np.trunc, np.rint, lambda column: column.astype(np.float16)])
def test_a_column_that_lost_digits_is_of_another_type(cut: Any) -> None:
    joined = values() * np.float32(30)

    found = of_one("video_duration_s", cut(joined).astype(np.float32), joined)

    assert found.named == "type"
    assert found.largest < 1


@pytest.mark.parametrize("cause", ["boundary (1 us early)", "old table (as last loaded)"])
def test_a_column_that_is_the_join_at_another_moment_is_named_by_it(cause: str) -> None:
    then, now = values(1), values(2)
    others = {"boundary (1 us late)": values(3), cause: then}

    found = of_one(PERSONS_COLUMN, then, now, hypotheses=others)

    assert (found.named, dict(found.causes)) == (cause, {cause: N})


@pytest.mark.parametrize(
    ("accounted", "causes"), [(90, {"old": 90, UNEXPLAINED: 10}), (89, {UNEXPLAINED: N})]
)
def test_a_cause_accounts_for_nearly_all_mismatches_or_is_not_named(
    accounted: int, causes: dict[str, int]
) -> None:
    served, now = values(1), values(2)
    old = np.where(np.arange(N) < accounted, served, values(3))

    assert dict(of_one(PERSONS_COLUMN, served, now, hypotheses={"old": old}).causes) == causes


def test_a_cause_is_looked_for_among_mismatches_only() -> None:
    served, joined, old = values(1), values(1), values(3)
    joined[:10], old[:10] = values(2)[:10], served[:10]

    found = of_one(PERSONS_COLUMN, served, joined, hypotheses={"old": old})

    assert (found.equal, dict(found.causes)) == (90, {"old": 10})


def test_what_no_hypothesis_accounts_for_is_unexplained() -> None:
    found = of_one(PERSONS_COLUMN, values(1), values(2), hypotheses={"old": values(3)})

    assert (found.named, dict(found.causes)) == (UNEXPLAINED, {UNEXPLAINED: N})


def test_a_run_whose_cells_are_all_equal_holds_and_has_no_column_to_show() -> None:
    found = parity(evidence(matrix(), matrix()))

    assert found.holds
    assert (found.rows, found.cells) == (4, 4 * len(COLUMNS))
    assert found.figures()["columns"] == {}


def test_nothing_served_does_not_hold() -> None:
    assert not parity(evidence(matrix(0), matrix(0))).holds


def test_one_wrong_cell_is_enough_not_to_hold() -> None:
    right = matrix(1_000)

    found = parity(evidence(changed(right, PERSONS_COLUMN, by=0.3), right))

    assert (found.mismatched, found.holds) == (1, False)


@pytest.mark.parametrize(("stale", "holds"), [(56, True), (57, False)])
def test_a_hundredth_of_cells_may_be_explained_and_no_more(stale: int, holds: bool) -> None:
    now = matrix(100)
    then = changed(now, MIRRORED_COLUMN, by=0.3, rows=stale)
    assert len(COLUMNS) * len(now) * MOST_EXPLAINED == 56, "the bound moved: so must the cases"

    found = parity(evidence(then, now, mirrored=then))

    assert (found.mismatched, found.holds) == (0, holds)
    assert found.explained_share == pytest.approx(stale / found.cells)


def test_the_rows_that_differ_are_those_with_a_wrong_cell() -> None:
    right = matrix()
    score_off = changed(right, "tower_score", by=5e-5, rows=2)

    assert differing(changed(score_off, "video_duration_s", by=0.3), right).tolist() == [
        True,
        False,
        False,
        False,
    ]


def test_figures_name_each_column_that_differs_with_its_causes_and_largest_difference() -> None:
    right = matrix(1_000)
    wrong = changed(right, "video_duration_s", by=2.0, rows=3)

    figures = parity(evidence(wrong, right)).figures()

    assert figures["mismatched"] == 3
    assert figures["columns"] == {
        "video_duration_s": {"cells": 1_000, "causes": {UNEXPLAINED: 3}, "largest": pytest.approx(2.0)}
    }
