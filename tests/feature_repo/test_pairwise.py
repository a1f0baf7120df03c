"""Does what is compiled add up as numpy does, to the last bit?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from feature_repo.pairwise import BLOCK, LANES, pairwise_sum

SIZES = (*range(3 * LANES), BLOCK - 1, BLOCK, BLOCK + 1, 500, 8 * BLOCK + 7, 10_000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_a_sum_in_pairs_is_numpys(size: int, dtype: type[np.floating[Any]]) -> None:
    rng = np.random.default_rng(size)
    numbers = (rng.normal(size=size) * 10 ** rng.normal(size=size)).astype(dtype)

    found = pairwise_sum(numbers)

    assert dtype(found).tobytes() == numbers.sum().tobytes()
