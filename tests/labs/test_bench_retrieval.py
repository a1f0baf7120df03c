"""Where does the crossover lie, and is a multiplied catalogue like ours?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from labs.bench.bench_retrieval import Compared, crossover, grown


def a_row(videos: int, faster: float, recall: float = 0.99) -> dict[str, Any]:
    return {"videos": videos, "times_faster_at_p50": {"low": faster}, "recall": {"value": recall}}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([a_row(10, 0.5), a_row(20, 1.1), a_row(30, 2.0)], 20),
        ([a_row(10, 1.5), a_row(20, 0.9), a_row(30, 2.0)], 30),
        ([a_row(10, 0.5), a_row(20, 3.0, recall=0.9)], None),
        ([a_row(20, 3.0), a_row(10, 2.0)], 10),
    ],
)
def test_the_crossover_is_the_size_from_which_on_the_list_always_pays(
    rows: list[dict[str, Any]], expected: int | None
) -> None:
    assert crossover(rows) == expected


def test_multiplied_vectors_lie_about_ours() -> None:
    ours = np.array([[100, 0], [0, 100]], np.float32)

    found = grown(ours, 1_000, np.random.default_rng(0))

    assert found.shape == (1_000, 2)
    assert found.dtype == np.float32
    assert np.minimum(*(np.linalg.norm(found - each, axis=1) for each in ours)).max() < 100


def test_figures_pair_both_ways_search_by_search() -> None:
    found = Compared(10, [2.0, 4.0, 6.0], [1.0, 2.0, 3.0], [1.0, 0.9, 0.8], 0.1)

    figures = found.figures(np.random.default_rng(0))

    assert figures["times_faster_at_p50"]["value"] == 2.0
    assert figures["recall"]["value"] == pytest.approx(0.9)
