"""Coverage, exposure and overlap agree with loops written from their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluation import coverage
from evaluation.per_user import F64, I64

amounts = st.lists(st.integers(0, 50), min_size=1, max_size=20).map(
    lambda values: np.array(values, np.float64)
)
slates = arrays(np.int64, st.tuples(st.integers(2, 6), st.integers(1, 5)), elements=st.integers(-1, 6))


def gini_by_hand(values: F64) -> float:
    differences = [abs(a - b) for a, b in itertools.product(values, values)]
    return float(np.mean(differences) / (2 * values.mean())) if values.sum() else float("nan")


def overlap_by_hand(rows: I64) -> float:
    sets = [set(row[row >= 0].tolist()) for row in rows]
    return float(np.mean([len(a & b) / max(len(a | b), 1) for a, b in itertools.combinations(sets, 2)]))


def distance_by_hand(vectors: F64) -> float:
    units = [v / np.linalg.norm(v) for v in vectors]
    return float(np.mean([1 - a @ b for a, b in itertools.combinations(units, 2)]))


@given(values=amounts)
def test_gini_is_half_the_mean_difference_over_the_mean(values: F64) -> None:
    assert coverage.gini(values) == pytest.approx(gini_by_hand(values), nan_ok=True)


@given(values=amounts)
def test_gini_is_twice_the_area_above_the_lorenz_curve_less_its_corners(values: F64) -> None:
    x, y = coverage.lorenz(values)
    area = float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)))

    assert coverage.gini(values) == pytest.approx(
        1 - 2 * area if values.sum() else np.nan, nan_ok=True, abs=1e-9
    )


def test_gini_is_zero_among_equals_and_almost_one_when_one_has_all() -> None:
    assert coverage.gini(np.full(10, 3.0)) == pytest.approx(0)
    assert coverage.gini(np.array([0.0] * 9 + [5.0])) == pytest.approx(0.9)


@given(rows=slates)
def test_overlap_is_the_mean_jaccard_of_all_pairs(rows: I64) -> None:
    assert coverage.overlap(rows) == pytest.approx(overlap_by_hand(rows))


def test_everybody_seeing_the_same_in_any_order_is_an_overlap_of_one() -> None:
    assert coverage.overlap(np.array([[1, 2, 3], [3, 1, 2]])) == pytest.approx(1.0)


def test_one_slate_alone_overlaps_with_nothing() -> None:
    assert np.isnan(coverage.overlap(np.array([[1, 2]])))


def test_coverage_counts_each_eligible_video_once_and_ignores_others() -> None:
    assert coverage.catalogue_coverage(np.array([1, 1, 2, 99]), np.array([1, 2, 3, 4])) == pytest.approx(0.5)


def test_exposure_counts_creators_who_were_never_shown_as_zero() -> None:
    assert coverage.exposures(np.array([5, 5, 8, 1]), np.array([8, 5, 7])).tolist() == [2, 0, 1]


def test_the_top_share_of_few_creators_is_that_of_the_first_one() -> None:
    assert coverage.top_share(np.array([1.0, 3.0])) == pytest.approx(0.75)


@given(vectors=arrays(np.float64, (4, 3), elements=st.floats(0.1, 5)))
def test_intra_list_distance_is_the_mean_cosine_distance_of_pairs(vectors: F64) -> None:
    assert coverage.intra_list_distance(vectors[None])[0] == pytest.approx(
        distance_by_hand(vectors), abs=1e-9
    )


def test_a_list_of_one_has_no_distance() -> None:
    assert np.isnan(coverage.intra_list_distance(np.ones((1, 1, 2)))[0])


def test_the_distinct_share_ignores_what_has_no_label() -> None:
    labels = np.array([[1, 1, 2, -1], [-1, -1, -1, -1]])

    found = coverage.distinct_share(labels)

    assert found[0] == pytest.approx(2 / 3)
    assert np.isnan(found[1])
