"""Is a score by outline never further from the exact one than it says?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.outlines import PIECE, Outline, outline
from tests.serving.builders import scores_by_hand


@given(
    n=st.integers(0, 2 * PIECE + 1),
    size=st.integers(1, 33),
    asked=st.integers(0, 3),
    spread=st.sampled_from([0.0, 1e-9, 1.0, 1e6]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_a_score_by_outline_is_off_by_no_more_than_it_says(
    n: int, size: int, asked: int, spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = (spread * rng.normal(size=(n, size)) * rng.choice([0, 0.01, 1], size)).astype(np.float32)
    points = rng.normal(size=(asked, size)).astype(np.float32)
    made = outline(vectors)

    scores = made.scores(points)

    assert scores.shape == (asked, n)
    for point, mine in zip(points, scores, strict=True):
        exact = scores_by_hand(vectors, point).astype(np.float64)
        assert (np.abs(mine - exact) <= made.error_of(point)).all()


def test_the_worst_point_meets_the_error() -> None:
    """From where the vector that is furthest from its outline lies furthest, the error is no exaggeration."""
    vectors = np.random.default_rng(1).normal(size=(300, 8)).astype(np.float32)
    made = outline(vectors)
    gaps = vectors - _drawn(made)
    furthest = int(np.linalg.norm(gaps, axis=1).argmax())

    off = made.scores(gaps[[furthest]])[0, furthest] - vectors[furthest] @ gaps[furthest]

    assert abs(off) == pytest.approx(made.error_of(gaps[furthest]), rel=1e-2)


def test_an_outline_takes_a_quarter_of_the_bytes() -> None:
    vectors = np.ones((4 * PIECE, 32), np.float32)

    assert outline(vectors).steps.nbytes == vectors.nbytes / 4


def _drawn(made: Outline) -> np.ndarray:
    """The vectors that an outline stands for."""
    rows = made.steps.transpose(0, 2, 1).reshape(-1, made.steps.shape[1])[: made.videos]
    return rows[:, : len(made.sizes)] * made.sizes
