"""Which videos point the same way as a vector: exactly, and beyond a measured crossover from a shortlist.

Looking at every video is one pass over memory, and for a catalogue of ours also the fastest way; `indexed`
asks for a shortlist where it is not. Scores are exact dot products in both cases; a shortlist may miss a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.shortlists import EXACT_UPTO, Shortlist, shortlist

SAMPLED = 16
"""Every how many scores are looked at to guess how high the best lie."""


@dataclass(frozen=True)
class VideoIndex:
    """Vectors of videos sorted by id; ties in score go to the smaller id, so a search has one answer."""

    video_ids: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    shortlist: Shortlist | None = None
    """Where a search looks first; None: at every row."""

    def __post_init__(self) -> None:
        if len(self.video_ids) != len(self.vectors):
            raise ValueError(f"{len(self.video_ids)} ids for {len(self.vectors)} vectors; they must pair up.")
        if np.any(np.diff(self.video_ids) <= 0):
            raise ValueError("video ids must increase strictly; sort them and drop repeats.")

    def search(
        self, vector: npt.NDArray[np.float32], k: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Ids and scores of the k largest dot products, best first; fewer when there are fewer videos."""
        if self.shortlist is None:
            scores = self.vectors @ vector
            rows = largest(scores, min(k, len(scores)))
            return self.video_ids[rows], scores[rows]
        listed = self.shortlist.rows(vector, k)
        scores = self.vectors[listed] @ vector
        best = largest(scores, min(k, len(scores)))
        return self.video_ids[listed[best]], scores[best]

    def vector_of(self, video_id: int) -> npt.NDArray[np.float32] | None:
        """The vector of one video, None when the index does not hold it."""
        row = int(np.searchsorted(self.video_ids, video_id))
        if row == len(self.video_ids) or self.video_ids[row] != video_id:
            return None
        found: npt.NDArray[np.float32] = self.vectors[row]
        return found


def indexed(
    video_ids: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32], exact_upto: int = EXACT_UPTO
) -> VideoIndex:
    """The index of a catalogue of this size: with a shortlist beyond the crossover, if one can be made."""
    return VideoIndex(video_ids, vectors, shortlist(vectors) if len(vectors) > exact_upto else None)


def largest(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Rows of the k largest scores, best first, ties by row: a bar k of them reach, then a sort of those."""
    if k <= 0:
        return np.zeros(0, np.int64)
    rows = np.flatnonzero(scores >= _likely_bar(scores, k))
    if len(rows) < k:
        rows = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
    return rows[np.argsort(-scores[rows], kind="stable")][:k]


def _likely_bar(scores: npt.NDArray[np.float32], k: int) -> np.float32:
    """A score that k rows probably reach, and not many more: that of a sample, with a margin."""
    sample = scores[::SAMPLED]
    share = k / len(scores) * len(sample)
    place = len(sample) - min(len(sample), int(share + 3 * share**0.5) + 1)
    found: np.float32 = np.partition(sample, place)[place]
    return found
