"""Does a rank say of a value what the thresholds would? Of any value, and of none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.scales import BLOCK, Scale
from serving.tree_texts import Forest, Node, Tree

VALUES = st.one_of(st.floats(width=32, allow_nan=False), st.sampled_from([0.0, -0.0, 0.5, np.inf, -np.inf]))


def a_forest(*asked: tuple[int, float, bool], width: int = 2) -> Forest:
    """One tree that asks these features, thresholds, and whether a missing value goes left."""
    nodes = tuple(Node(feature, np.float32(threshold), 1, left) for feature, threshold, left in asked)
    return Forest((Tree(nodes, (0.0, 1.0)),), width, "identity")


@given(st.lists(VALUES, min_size=1, max_size=300), st.lists(VALUES, min_size=1, max_size=20))
def test_a_value_is_at_most_a_threshold_iff_its_rank_is_at_most_the_place(
    thresholds: list[float], values: list[float]
) -> None:
    forest = a_forest(*((1, threshold, False) for threshold in thresholds))
    scale, matrix = Scale.of([forest]), np.array([[0, value] for value in values], np.float32)

    columns, places = scale.places(forest.trees[0].nodes)
    ranks = scale.ranks(matrix)[0, columns[0], : len(values)]

    wanted = matrix[:, 1, None] <= np.array(thresholds, np.float32)
    assert (ranks[:, None] <= places).tolist() == wanted.tolist()


def test_a_missing_value_is_below_all_thresholds_where_it_goes_left_and_above_them_elsewhere() -> None:
    forest = a_forest((0, -np.inf, True), (0, np.inf, False))
    scale, missing = Scale.of([forest]), np.full((1, 2), np.nan, np.float32)

    (left, right), places = scale.places(forest.trees[0].nodes)
    ranks = scale.ranks(missing)[0, :, 0]

    assert ranks[left] <= places[0]
    assert ranks[right] > places[1]


@pytest.mark.parametrize(("thresholds", "kind"), [(255, np.uint8), (256, np.uint16)])
def test_ranks_are_as_wide_as_the_thresholds_are_many(thresholds: int, kind: type) -> None:
    scale = Scale.of([a_forest(*((0, float(each), False) for each in range(thresholds)))])

    ranks = scale.ranks(np.array([[-1, 0], [1e9, 0]], np.float32))

    assert ranks.dtype == kind
    assert ranks[0, 0, :2].tolist() == [0, thresholds]


def test_models_on_one_scale_keep_their_own_thresholds() -> None:
    one, other = a_forest((0, 1.0, False), (0, 3.0, False)), a_forest((0, 2.0, False))

    scale = Scale.of([one, other])

    assert scale.places(one.trees[0].nodes)[1].tolist() == [0, 2]
    assert scale.places(other.trees[0].nodes)[1].tolist() == [1]


def test_every_row_is_ranked_whatever_the_block() -> None:
    scale = Scale.of([a_forest((0, 0.0, True), (1, 0.5, False))])
    matrix = np.random.default_rng(0).normal(size=(BLOCK + 1, 2)).astype(np.float32)

    small, large = (scale.ranks(matrix, block).swapaxes(0, 1).reshape(2, -1) for block in (7, BLOCK))

    assert small[:, : len(matrix)].tolist() == large[:, : len(matrix)].tolist()


def test_models_of_different_widths_share_no_scale() -> None:
    with pytest.raises(ValueError, match=r"the models have \[2, 3\] columns, must all have the same"):
        Scale.of([a_forest(), a_forest(width=3)])
