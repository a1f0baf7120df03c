"""A few rows worth a closer look, for catalogues too large to look at every row.

Product quantisation: of a vector, half a byte is kept per pair of its numbers, and a search adds up parts of
dot products looked up in registers (André, Kermarrec & Le Scouarnec, VLDB 2015; `PQ…x4fs` of faiss). What it
finds is only a list: `VideoIndex` scores its rows exactly, so a score means the same with it and without.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

EXACT_UPTO = 150_000
"""Up to so many videos looking at every one of them is about as fast; `make bench-retrieval` measures it."""
FACTOR = 8
"""Rows on the list per row asked for, at least."""
ONE_IN = 64
"""And so many of all: the more videos there are, the more of them lie within the codes' error of the best."""
TRAINED_ON = 65_536
"""Most vectors the code books are learned from: 4,096 per centroid."""

log = logging.getLogger("serving.shortlists")


@dataclass(frozen=True)
class Shortlist:
    """A compressed copy of an index's vectors."""

    codes: Any
    """A faiss index over rows 0, 1, 2, …"""

    def rows(self, vector: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
        """Rows among which the k nearest should be, ascending."""
        most = min(max(FACTOR * k, self.codes.ntotal // ONE_IN), self.codes.ntotal)
        found = self.codes.search(vector.reshape(1, -1), most)[1][0]
        return np.sort(found[found >= 0])


def shortlist(vectors: npt.NDArray[np.float32]) -> Shortlist | None:
    """The list of these vectors; None, said once, where faiss is not installed."""
    faiss = _faiss()
    if faiss is None:
        return None
    codes = faiss.index_factory(
        vectors.shape[1], f"PQ{vectors.shape[1] // 2}x4fs", faiss.METRIC_INNER_PRODUCT
    )
    step = max(1, len(vectors) // TRAINED_ON)
    codes.train(np.ascontiguousarray(vectors[::step]))
    codes.add(vectors)
    return Shortlist(codes)


@lru_cache(maxsize=1)
def _faiss() -> Any:
    try:
        return importlib.import_module("faiss")
    except ImportError:
        log.warning(
            "more than %d videos and no faiss: every search looks at all of them. "
            "Install it with: pip install 'fourplanes[ann]'",
            EXACT_UPTO,
        )
        return None
