"""Is a row found where it is, however it is looked for?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.videos import MANY, SPARSE, VideoCatalog, are_rows_of, rows_of


@pytest.mark.parametrize("apart", [1, SPARSE * MANY])
def test_many_ids_are_found_in_the_rows_where_few_are(apart: int) -> None:
    rng = np.random.default_rng(7)
    sorted_ids = np.unique(rng.integers(10, 1_000, 300)) * apart
    wanted = np.concatenate([rng.integers(-50, 1_100, MANY) * apart, [-(2**63), 2**63 - 1]])

    found = rows_of(sorted_ids, wanted)

    places = {video: row for row, video in enumerate(sorted_ids.tolist())}
    assert found.tolist() == [places.get(each, -1) for each in wanted.tolist()]


def a_catalog(ids: set[int]) -> VideoCatalog:
    """Every video with facts of its own."""
    video_ids = np.array(sorted(ids), np.int64)
    rows, nothing = np.arange(len(ids)), np.zeros(len(ids), np.float32)
    topics = (rows % 3 - 1).astype(np.int16)
    scores = (nothing, nothing)
    return VideoCatalog(
        video_ids, 100 + rows, topics, nothing, 200 + rows, nothing[:, None], *scores, 300 + rows
    )


any_id = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 40)


@given(ids=st.sets(any_id, max_size=30) | st.sets(st.integers(7, 40)), others=st.lists(any_id, max_size=10))
def test_one_look_finds_all_facts_of_a_video_and_minus_one_of_an_unknown_one(
    ids: set[int], others: list[int]
) -> None:
    catalog, asked = a_catalog(ids), [*others, *ids]

    found = catalog.facts_of(asked)

    rows = {video: row for row, video in enumerate(sorted(ids))}
    told = [[rows[v], 100 + rows[v], rows[v] % 3 - 1, 200 + rows[v], 300 + rows[v]] for v in sorted(ids)]
    assert found.T.tolist() == [told[rows[v]] if v in rows else [-1] * 5 for v in asked]


def test_rows_are_those_of_ids_only_if_every_one_is() -> None:
    ids = np.array([3, 5, 8])

    assert are_rows_of(np.array([2, 0]), ids, np.array([8, 3]))
    assert not are_rows_of(np.array([2, 1]), ids, np.array([8, 3]))
    assert not are_rows_of(np.array([-1]), ids, np.array([8]))
    assert not are_rows_of(np.array([3]), ids, np.array([8]))
