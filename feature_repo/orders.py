"""Rows in order, and keys as numbers: by counting wherever whole numbers allow it, by sorting elsewhere.

Law: the same as `np.lexsort((moments_us, codes))` and `np.unique(keys, return_inverse=True)`, but that rows
equal in both may come in any order. What is in order already is only read once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from feature_repo.compiling import compiled

Ints = NDArray[np.int64]

SPARSE = 4
"""Keys that lie further apart than this, on average, are sorted instead of counted."""
BITS = 63
"""Of a whole number that is not negative."""


def numbered(keys: Ints) -> tuple[Ints, Ints]:
    """The distinct keys, ascending, and the place of each key among them."""
    low, span = _extent(keys)
    if span > SPARSE * len(keys):
        distinct, codes = np.unique(keys, return_inverse=True)
        return distinct, codes
    offsets, present = keys - low, np.zeros(span, np.bool_)
    present[offsets] = True
    return np.flatnonzero(present) + low, (np.cumsum(present) - 1)[offsets]


def in_order(codes: Ints, moments_us: Ints, keys: int) -> Ints:
    """The rows in order of (code, moment), codes being below `keys`; equal ones in any order."""
    if _is_in_order(codes, moments_us):
        return np.arange(len(codes))
    found = np.empty(len(codes), np.int64)
    _by_code(codes, ascending(moments_us), np.zeros(keys + 1, np.int64), found)
    return found


def ascending(numbers: Ints) -> Ints:
    """The rows in order of their number, equal ones as they came: sorted with it, if both fit into one."""
    n, (low, span) = len(numbers), _extent(numbers)
    if span.bit_length() + n.bit_length() > BITS:
        return np.argsort(numbers, kind="stable")
    both = (numbers - low << n.bit_length()) | np.arange(n)
    both.sort()
    return both & ((1 << n.bit_length()) - 1)


def paired(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Pairs in order of (first, second)."""
    (low, span), (low_of_second, width) = _extent(first), _extent(second)
    if span.bit_length() + width.bit_length() > BITS:
        order = np.lexsort((second, first))
        return first[order], second[order]
    both = (first - low << width.bit_length()) | (second - low_of_second)
    both.sort()
    return (both >> width.bit_length()) + low, (both & ((1 << width.bit_length()) - 1)) + low_of_second


def _extent(numbers: Ints) -> tuple[int, int]:
    """The lowest, and how many whole numbers lie from it to the highest."""
    if not len(numbers):
        return 0, 0
    low, high = int(numbers.min()), int(numbers.max())
    return low, high - low + 1


@compiled
def _is_in_order(codes: Ints, moments_us: Ints) -> bool:
    for row in range(1, len(codes)):
        before = row - 1
        if codes[before] > codes[row] or (
            codes[before] == codes[row] and moments_us[before] > moments_us[row]
        ):
            return False
    return True


@compiled
def _by_code(codes: Ints, rows: Ints, ends: Ints, found: Ints) -> None:
    """Rows one code after the other, each code's in the order they came: two passes instead of a sort."""
    for code in codes:
        ends[code + 1] += 1
    for code in range(len(ends) - 1):
        ends[code + 1] += ends[code]
    for row in rows:
        found[ends[codes[row]]] = row
        ends[codes[row]] += 1
