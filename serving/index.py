"""Which videos point the same way as a vector: exact search, because up to 100,000 videos it is also the
fastest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class VideoIndex:
    """Vectors of videos sorted by id; ties in score go to the smaller id, so a search has one answer."""

    video_ids: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if len(self.video_ids) != len(self.vectors):
            raise ValueError(f"{len(self.video_ids)} ids for {len(self.vectors)} vectors; they must pair up.")
        if np.any(np.diff(self.video_ids) <= 0):
            raise ValueError("video ids must increase strictly; sort them and drop repeats.")

    def search(
        self, vector: npt.NDArray[np.float32], k: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Ids and scores of the k largest dot products, best first; fewer when there are fewer videos."""
        scores = self.vectors @ vector
        rows = _largest(scores, min(k, len(scores)))
        return self.video_ids[rows], scores[rows]

    def vector_of(self, video_id: int) -> npt.NDArray[np.float32] | None:
        """The vector of one video, None when the index does not hold it."""
        row = int(np.searchsorted(self.video_ids, video_id))
        if row == len(self.video_ids) or self.video_ids[row] != video_id:
            return None
        found: npt.NDArray[np.float32] = self.vectors[row]
        return found


def _largest(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Rows of the k largest scores, best first, ties by row: a partition finds the bar, a sort the order."""
    if k <= 0:
        return np.zeros(0, np.int64)
    bar = -np.partition(-scores, k - 1)[k - 1]
    rows = np.flatnonzero(scores >= bar)
    return rows[np.argsort(-scores[rows], kind="stable")][:k]
