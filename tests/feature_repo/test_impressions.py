"""Does every impression keep the video that it showed, however many come after it?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from feature_repo import impressions
from feature_repo.impressions import UNSHOWN, Impressions

ids = st.integers(0, 60)
batches = st.lists(st.lists(st.tuples(ids, st.integers(0, 9)), max_size=9), max_size=9)
Pairs = list[tuple[int, int]]


def told(pairs: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and videos as arrays."""
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def first_told(parts: list[Pairs]) -> dict[int, int]:
    """The slow twin: of an impression that was told twice the first counts."""
    found: dict[int, int] = {}
    for impression, video in (pair for part in parts for pair in part):
        found.setdefault(impression, video)
    return found


@given(batches, batches, st.lists(st.integers(-1, 70)))
def test_each_showed_what_was_told_of_it_first(
    log: list[Pairs], since: list[Pairs], asked: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(impressions, "RUN", 4)
        shown = Impressions(*told([pair for part in log for pair in part]))
        for part in since:
            shown.add(*told(part))

    expected = first_told([*log, *since])
    found = shown.videos_of(np.array(asked, np.int64))
    assert found.tolist() == [expected.get(each, UNSHOWN) for each in asked]


def test_what_a_fork_hears_the_other_does_not() -> None:
    shown = Impressions(*told([(1, 10)]))
    fork = shown.fork()
    shown.add(*told([(2, 20)]))
    fork.add(*told([(3, 30)]))

    asked = np.array([1, 2, 3])
    assert shown.videos_of(asked).tolist() == [10, 20, UNSHOWN]
    assert fork.videos_of(asked).tolist() == [10, UNSHOWN, 30]


def test_an_impression_costs_sixteen_bytes() -> None:
    shown, many = Impressions(*told([])), 100 * impressions.RUN
    for first in range(0, many, 10):
        shown.add(np.arange(first, first + 10), np.full(10, 7))

    held = [run.ids.nbytes + run.videos.nbytes for run in shown._runs] + [shown._latest.nbytes]
    assert sum(held) <= 16 * (many + impressions.RUN)
    assert shown.videos_of(np.array([0, many // 2, many - 1])).tolist() == [7, 7, 7]
