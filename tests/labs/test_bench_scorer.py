"""Does the scorer's bench compare what it says, and would it notice a scorer that is wrong or slow?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.intervals import Interval
from labs.bench.bench_scorer import JUDGED, Compared, compared, grown, kernel_of, scored_by, swept, verdicts

SMALL = grown(6, 31, seed=1)


def a_result(times: float, low: float, difference: float = 0.0) -> Compared:
    return Compared([1.0], [times], Interval(times, low, times + 1, 9), difference)


def test_grown_trees_are_full_and_score_as_lightgbm_does() -> None:
    found = compared(SMALL, 3, np.random.default_rng(0))

    assert [len(trees.leaves) for trees in SMALL.trees] == [6 * 31] * 5
    assert found.difference == 0
    assert len(found.ours_ms) == len(found.theirs_ms) == 3


def test_a_scorer_of_other_leaves_is_told_by_how_much() -> None:
    wrong = replace(SMALL.trees[0], leaves=SMALL.trees[0].leaves + 0.25)

    found = compared(replace(SMALL, trees=[wrong, *SMALL.trees[1:]]), 2, np.random.default_rng(0))

    assert found.difference == pytest.approx(6 * 0.25)


@pytest.mark.parametrize("block", [48, 500])
def test_the_kernel_says_the_same_whatever_the_number_of_rows_at_once(block: int) -> None:
    trees, kernel = SMALL.trees[0], kernel_of(block)
    ranks = trees.scale.ranks(SMALL.rows, block)

    assert scored_by(kernel, ranks, trees, len(SMALL.rows)).tolist() == trees.raw(SMALL.rows).tolist()


def test_a_sweep_has_every_block_in_every_turn() -> None:
    assert {block: len(ms) for block, ms in swept(SMALL, (64, 96), 2).items()} == {64: 2, 96: 2}


def test_one_wrong_bit_or_an_interval_below_the_bar_misses() -> None:
    met = [
        verdict.met for verdict in verdicts({"champion": a_result(9, 8.5, 1e-16), JUDGED: a_result(8.4, 7.9)})
    ]

    assert met == [False, True, True, False]
