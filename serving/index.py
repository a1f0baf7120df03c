"""Which videos point the same way as a vector: exactly, and beyond a measured crossover from a shortlist.

Looking at every video is one pass over memory, and for a catalogue of ours also the fastest way; `indexed`
asks for a shortlist where it is not. Scores are exact dot products in both cases; a shortlist may miss a row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from feature_repo.orders import compiled
from serving.shortlists import EXACT_UPTO, Shortlist, shortlist

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

PIECE = 512
"""Videos at once: what is added up for them stays in the fastest cache."""
TOGETHER = 4
"""Dimensions added per pass over the sums of a piece."""
SAMPLED = 16
"""Every how many scores are looked at to guess how high the best lie."""


@dataclass(frozen=True)
class VideoIndex:
    """Vectors of videos sorted by id; ties in score go to the smaller id, so a search has one answer."""

    video_ids: Ids
    vectors: Floats
    shortlist: Shortlist | None = None
    """Where a search looks first; None: at every row."""
    _dimensions: Floats | None = field(init=False, repr=False)  # [dimensions, videos]: what is looked at

    def __post_init__(self) -> None:
        if len(self.video_ids) != len(self.vectors):
            raise ValueError(f"{len(self.video_ids)} ids for {len(self.vectors)} vectors; they must pair up.")
        if np.any(np.diff(self.video_ids) <= 0):
            raise ValueError("video ids must increase strictly; sort them and drop repeats.")
        turned = _turned(self.vectors) if self.shortlist is None else None
        object.__setattr__(self, "_dimensions", turned)

    def scores(self, vectors: Floats) -> Floats:
        """f32[vectors, videos]: every dot product, in one pass over memory; the same bits on any machine."""
        dimensions = _turned(self.vectors) if self._dimensions is None else self._dimensions
        weights = np.zeros((len(vectors), len(dimensions)), np.float32)
        weights[:, : vectors.shape[1]] = vectors
        found = np.zeros((len(vectors), dimensions.shape[1]), np.float32)
        _add_products(dimensions, weights, found)
        return found

    def search(self, vector: Floats, k: int, scores: Floats | None = None) -> tuple[Ids, Floats]:
        """Ids and scores of the k largest dot products, best first; fewer when there are fewer videos.

        `scores`: what `scores` answered for this vector, if it was asked already.
        """
        if self.shortlist is None:
            seen = self.scores(vector[np.newaxis])[0] if scores is None else scores
            rows = largest(seen, min(k, len(seen)))
            return self.video_ids[rows], seen[rows]
        listed = self.shortlist.rows(vector, k)
        near = self.vectors[listed] @ vector
        best = largest(near, min(k, len(near)))
        return self.video_ids[listed[best]], near[best]

    def vector_of(self, video_id: int) -> Floats | None:
        """The vector of one video, None when the index does not hold it."""
        row = int(np.searchsorted(self.video_ids, video_id))
        if row == len(self.video_ids) or self.video_ids[row] != video_id:
            return None
        found: Floats = self.vectors[row]
        return found


def indexed(video_ids: Ids, vectors: Floats, exact_upto: int = EXACT_UPTO) -> VideoIndex:
    """The index of a catalogue of this size: with a shortlist beyond the crossover, if one can be made."""
    return VideoIndex(video_ids, vectors, shortlist(vectors) if len(vectors) > exact_upto else None)


def _turned(vectors: Floats) -> Floats:
    """A row per dimension, and rows of zeros up to a multiple of TOGETHER."""
    size = -(-vectors.shape[1] // TOGETHER) * TOGETHER
    turned = np.zeros((size, len(vectors)), np.float32)
    turned[: vectors.shape[1]] = vectors.T
    return turned


@compiled
def _add_products(dimensions: Floats, weights: Floats, found: Floats) -> None:
    """Onto `found` the sums of dimensions times weights, TOGETHER of them at a time.

    Sums of many videos side by side, each in the order of the dimensions, need no licence to reorder.
    """
    for first in range(0, dimensions.shape[1], PIECE):
        end = first + PIECE
        for vector in range(len(weights)):
            sums, mine = found[vector, first:end], weights[vector]
            for at in range(0, len(dimensions), TOGETHER):
                a, b = dimensions[at, first:end], dimensions[at + 1, first:end]
                c, d = dimensions[at + 2, first:end], dimensions[at + 3, first:end]
                v, w, x, y = mine[at], mine[at + 1], mine[at + 2], mine[at + 3]
                for row in range(len(sums)):
                    sums[row] = sums[row] + a[row] * v + b[row] * w + c[row] * x + d[row] * y


def largest(scores: Floats, k: int) -> Ids:
    """Rows of the k largest scores, best first, ties by row: a bar k of them reach, then a sort of those."""
    if k <= 0:
        return np.zeros(0, np.int64)
    rows = np.flatnonzero(scores >= _likely_bar(scores, k))
    if len(rows) < k:
        rows = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
    return _best_first(scores, rows)[:k]


def _best_first(scores: Floats, rows: Ids) -> Ids:
    """Rows by falling score, ties by row: both in one number, so that no sort need be stable.

    The bits of a float rise with it, those of a negative one fall; adding 0 makes one zero of both.
    """
    bits = (scores[rows] + np.float32(0)).view(np.int32)
    rising = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)
    keys = (~rising << 32) | rows
    keys.sort()
    return keys & 0xFFFFFFFF


def _likely_bar(scores: Floats, k: int) -> np.float32:
    """A score that k rows probably reach, and not many more: that of a sample, with a margin."""
    sample = scores[::SAMPLED]
    share = k / len(scores) * len(sample)
    place = len(sample) - min(len(sample), int(share + 3 * share**0.5) + 1)
    found: np.float32 = np.partition(sample, place)[place]
    return found
