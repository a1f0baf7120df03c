"""Do the compiled picks find what a sort and a set find?"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.videos import among
from serving.picks import best_unseen, first_unseen, rows_made_by
from tests.serving.builders import scores_by_hand

ids = st.lists(st.integers(-3, 20), max_size=30)
FEW = st.sampled_from([-1.5, -0.0, 0.0, 0.5, 2.0])
TINY = np.float32(1e-45)


def as_ids(numbers: list[int]) -> np.ndarray:
    return np.array(numbers, np.int64)


@given(
    vectors=st.lists(st.tuples(FEW, FEW), min_size=1, max_size=20),
    point=st.tuples(FEW, FEW),
    seen=st.sets(st.integers(0, 19)),
    most=st.integers(0, 25),
    seed=st.integers(0, 9),
)
def test_the_best_unseen_fall_by_score_and_ties_keep_their_order(
    vectors: list[tuple[float, float]], point: tuple[float, float], seen: set[int], most: int, seed: int
) -> None:
    table, at = np.array(vectors, np.float32), np.array(point, np.float32)
    rows = np.random.default_rng(seed).permutation(len(vectors))
    scores = scores_by_hand(table, at)

    found, best = best_unseen(table, np.arange(len(table)), rows, at, as_ids(sorted(seen)), most)

    by_hand = [row for row in sorted(rows, key=lambda row: -scores[row]) if row not in seen][:most]
    assert found.tolist() == by_hand
    assert best.tobytes() == scores[by_hand].tobytes()


def test_scores_next_to_each_other_are_told_apart_on_both_sides_of_zero() -> None:
    table = np.array([[-TINY], [0], [TINY], [-2 * TINY], [np.inf], [-np.inf]], np.float32)

    found, _ = best_unseen(table, np.arange(6), np.arange(6), np.ones(1, np.float32), as_ids([]), 6)

    assert found.tolist() == [4, 2, 1, 0, 3, 5]


@given(sought=ids, known=ids)
def test_what_is_among_others_is_what_a_set_holds(sought: list[int], known: list[int]) -> None:
    assert among(as_ids(sought), as_ids(sorted(known))).tolist() == [each in set(known) for each in sought]


@given(found=ids, seen=ids, most=st.integers(0, 40))
def test_the_first_unseen_keep_their_order(found: list[int], seen: list[int], most: int) -> None:
    wanted = [place for place, each in enumerate(found) if each not in set(seen)][:most]

    assert first_unseen(as_ids(found), as_ids(sorted(seen)), most).tolist() == wanted


@given(made_by=ids, asked=st.sets(st.integers(-5, 22)))
def test_the_rows_of_creators_come_one_creator_after_the_other(made_by: list[int], asked: set[int]) -> None:
    creators = as_ids(made_by)
    rows = np.argsort(creators, kind="stable")
    wanted = [row for creator in sorted(asked) for row, maker in enumerate(made_by) if maker == creator]

    assert rows_made_by(as_ids(sorted(asked)), creators[rows], rows).tolist() == wanted


def test_ids_that_may_not_be_written_to_are_read() -> None:
    fixed = np.arange(3)
    fixed.flags.writeable = False

    assert among(fixed[::2], fixed).tolist() == [True, True]
