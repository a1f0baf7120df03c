"""A sum in pairs, for what is compiled: numpy's own order of adding, so that both come to the same last bit.

Law: its error grows with the logarithm of how many numbers there are (Higham, SIAM J. Sci. Comput. 1993).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_repo.compiling import compiled

LANES, BLOCK = 8, 128
"""So many sums run side by side, over at most so many numbers; more are halved."""


@compiled
def pairwise_sum(numbers: NDArray[np.floating[Any]]) -> Any:
    """In the dtype of the numbers; 0 of none."""
    if len(numbers) <= BLOCK:
        return _sum_of_block(numbers)
    half = len(numbers) // 2 // LANES * LANES
    return pairwise_sum(numbers[:half]) + pairwise_sum(numbers[half:])


@compiled
def _sum_of_block(numbers: NDArray[np.floating[Any]]) -> Any:
    whole, total = len(numbers) // LANES * LANES, numbers.dtype.type(0)
    if whole:
        s = numbers[:LANES].copy()
        for row in range(LANES, whole):
            s[row % LANES] += numbers[row]
        total = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
    for row in range(whole, len(numbers)):
        total += numbers[row]
    return total
