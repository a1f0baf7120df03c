"""A set of (row, column) pairs as bits: who has seen what, who follows whom."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]


class Pairs:
    """Membership in rows x columns / 8 bytes; the one mutable collection of the world."""

    def __init__(self, rows: int, columns: int):
        self._bits = np.zeros((rows, columns // 8 + 1), dtype=np.uint8)
        self.counts = np.zeros(rows, dtype=np.int64)

    def has(self, rows: ArrayLike, columns: ArrayLike) -> NDArray[np.bool_]:
        """Elementwise after broadcasting."""
        of = np.asarray(columns)
        return np.asarray(
            (self._bits[np.asarray(rows), of >> 3] >> (of & 7).astype(np.uint8)) & 1, dtype=np.bool_
        )

    def add(self, rows: Ints, columns: Ints) -> None:
        """Insert pairs that are not in the set yet; repeats within one call are allowed."""
        np.bitwise_or.at(self._bits, (rows, columns >> 3), np.uint8(1) << (columns & 7).astype(np.uint8))
        pairs = np.unique(rows * (self._bits.shape[1] * 8) + columns)
        self.counts += np.bincount(pairs // (self._bits.shape[1] * 8), minlength=len(self.counts))

    def columns_of(self, row: int) -> Ints:
        return np.flatnonzero(np.unpackbits(self._bits[row], bitorder="little"))
