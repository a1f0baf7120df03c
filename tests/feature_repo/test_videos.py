"""Is a row found where it is, however it is looked for?"""

from __future__ import annotations

import numpy as np
import pytest

from feature_repo.videos import MANY, SPARSE, rows_of


@pytest.mark.parametrize("apart", [1, SPARSE * MANY])
def test_many_ids_are_found_in_the_rows_where_few_are(apart: int) -> None:
    rng = np.random.default_rng(7)
    sorted_ids = np.unique(rng.integers(10, 1_000, 300)) * apart
    wanted = np.concatenate([rng.integers(-50, 1_100, MANY) * apart, [-(2**63), 2**63 - 1]])

    found = rows_of(sorted_ids, wanted)

    places = {video: row for row, video in enumerate(sorted_ids.tolist())}
    assert found.tolist() == [places.get(each, -1) for each in wanted.tolist()]
