"""Are bit vectors the same trees? To the last bit, whatever is missing, and refused where they cannot be."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from serving.calibrators import IDENTITY
from serving.heads import Heads
from serving.scales import BLOCK
from serving.tree_scorers import TreeScorer, _add_trees, _lowest_bit
from serving.tree_texts import NotHeld

COLUMNS = 5


def rows(n: int, seed: int, missing: float = 0.2) -> np.ndarray:
    """Few distinct values, zeros of both signs among them, so that many lie exactly on a threshold."""
    rng = np.random.default_rng(seed)
    matrix = (rng.integers(-6, 7, (n, COLUMNS)) / 3).astype(np.float32)
    matrix[rng.random((n, COLUMNS)) < 0.05] = -0.0
    matrix[rng.random((n, COLUMNS)) < missing] = np.nan
    return matrix


@cache
def a_booster(
    leaves: int = 31, missing: float = 0.2, objective: str = "binary", kinds: int = 0, **more: Any
) -> Any:
    """Trees on few rows; the first `kinds` columns are categories."""
    matrix = rows(4_000, 1, missing)
    noise = np.random.default_rng(2).normal(size=len(matrix))
    label = np.nan_to_num(matrix) @ np.arange(COLUMNS) + noise > 0
    params = {"objective": objective, "num_leaves": leaves, "min_data_in_leaf": 1, "verbosity": -1}
    how = {**params, "num_threads": 1, "deterministic": True, "seed": 3, **more}
    matrix[:, :kinds] = np.round(np.abs(matrix[:, :kinds]))
    table = lightgbm.Dataset(matrix, label.astype(float), categorical_feature=[*range(kinds)])
    return lightgbm.train(how, table, 12)


@given(st.integers(0, 3 * BLOCK), st.integers(2, 256), st.sampled_from([0.0, 0.2]), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_scores_are_lightgbms_to_the_last_bit(n: int, leaves: int, missing: float, seed: int) -> None:
    booster, matrix = a_booster(leaves, missing), rows(n, seed, 0.3)

    found = TreeScorer.of(booster.model_to_string()).raw(matrix)

    wanted = booster.predict(matrix, raw_score=True) if n else np.zeros(0)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("objective", ["binary", "regression", "cross_entropy"])
def test_predictions_are_lightgbms_to_the_last_bit(objective: str) -> None:
    booster, matrix = a_booster(objective=objective), rows(1_000, 4)

    found = TreeScorer.of(booster.model_to_string()).predict(matrix)

    np.testing.assert_array_equal(found, booster.predict(matrix))


def test_infinite_values_end_in_the_outermost_leaves() -> None:
    booster, matrix = a_booster(), rows(100, 5)
    matrix[::3, 0], matrix[1::3, 4] = np.inf, -np.inf

    found = TreeScorer.of(booster.model_to_string()).raw(matrix)

    np.testing.assert_array_equal(found, booster.predict(matrix, raw_score=True))


def test_more_thresholds_than_a_byte_counts_are_ranked_in_two() -> None:
    matrix = np.random.default_rng(8).normal(size=(4_000, COLUMNS)).astype(np.float32)
    how = {"objective": "regression", "max_bin": 2_000, "num_leaves": 200, "min_data_in_leaf": 1}
    table = lightgbm.Dataset(matrix, np.sin(9 * matrix[:, 0]) + matrix[:, 1])
    booster = lightgbm.train({**how, "verbosity": -1, "num_threads": 1}, table, 12)

    scorer = TreeScorer.of(booster.model_to_string())

    assert scorer.bars.itemsize == 2
    np.testing.assert_array_equal(scorer.raw(matrix), booster.predict(matrix, raw_score=True))


def test_a_tree_that_never_splits_is_its_one_leaf() -> None:
    booster = a_booster(min_data_in_leaf=10_000)

    found = TreeScorer.of(booster.model_to_string()).raw(rows(3, 0))

    np.testing.assert_array_equal(found, booster.predict(rows(3, 0), raw_score=True))


def test_rows_shared_among_threads_have_the_scores_of_one() -> None:
    trees, matrix = TreeScorer.of(a_booster().model_to_string()), rows(3 * BLOCK + 1, 6)

    assert trees.raw(matrix, threads=3).tolist() == trees.raw(matrix).tolist()


def test_a_matrix_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the matrix is \[2, 4\], must have 5 columns"):
        TreeScorer.of(a_booster().model_to_string()).raw(rows(2, 0)[:, :4])


REFUSED: dict[str, dict[str, Any]] = {
    "at most 256": {"leaves": 257},
    "numerical splits only": {"kinds": 2},
    "linear leaves": {"linear_tree": True, "missing": 0.0},
    "NaN for missing": {"zero_as_missing": True},
    "averages its trees": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    "the objective is 'poisson'": {"objective": "poisson"},
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_bytes_cannot_hold_is_refused_and_scored_by_lightgbm(says: str) -> None:
    booster, matrix = a_booster(**REFUSED[says]), rows(200, 7)

    with pytest.raises(NotHeld, match=says):
        TreeScorer.of(booster.model_to_string())
    heads = Heads.from_texts({"like": booster.model_to_string()}, {"like": IDENTITY.as_json()})
    head = heads.by_name["like"]

    assert head.trees is None
    np.testing.assert_array_equal(head.raw(matrix), booster.predict(matrix))


def test_the_lowest_bit_of_a_byte_is_found() -> None:
    assert all(_lowest_bit(np.uint8(byte)) == (byte & -byte).bit_length() - 1 for byte in range(1, 256))


def test_no_step_of_a_row_is_left_to_be_taken_by_itself_but_the_sum() -> None:
    kernel: Any = _add_trees
    TreeScorer.of(a_booster().model_to_string()).raw(rows(10, 3))
    fresh = njit(kernel.py_func)
    fresh.compile(kernel.signatures[0])

    negations = re.findall(r"sub (?:\w+ )*<\d+ x i8>", fresh.inspect_llvm(fresh.signatures[0]))

    assert negations, "leaves are found row by row: on some processors that makes trees five times slower"
