"""Which videos point the same way as a vector: exactly, and beyond a measured crossover from a shortlist.

Looking at the outline of every video is one pass over little memory, and its error is known: whoever could be
among the best is looked at exactly. For a catalogue of ours that is the fastest way; `indexed` asks for a
shortlist where it is not. Scores are exact dot products in both cases; a shortlist may miss a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from serving.outlines import Outline, outline
from serving.picks import best_unseen
from serving.shortlists import EXACT_UPTO, Shortlist, shortlist

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

SAMPLED = 16
"""Every how many scores are looked at to guess how high the best lie."""
NO_IDS: Ids = np.empty(0, np.int64)


@dataclass(frozen=True)
class VideoIndex:
    """Vectors of videos sorted by id; ties in score go to the smaller id, so a search has one answer."""

    video_ids: Ids
    vectors: Floats
    shortlist: Shortlist | None = None
    """Where a search looks first; None: at the outline of every row."""
    outline: Outline | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.video_ids) != len(self.vectors):
            raise ValueError(f"{len(self.video_ids)} ids for {len(self.vectors)} vectors; they must pair up.")
        if np.any(np.diff(self.video_ids) <= 0):
            raise ValueError("video ids must increase strictly; sort them and drop repeats.")
        object.__setattr__(self, "vectors", np.ascontiguousarray(self.vectors))
        object.__setattr__(self, "outline", outline(self.vectors) if self.shortlist is None else None)

    def search(
        self, point: Floats, k: int, seen: Ids = NO_IDS, outlined: Floats | None = None
    ) -> tuple[Ids, Floats]:
        """Ids and scores of the k largest dot products, best first; fewer when there are fewer videos.

        `seen`: ids to leave out, ascending. `outlined`: scores by outline from this point, if made already.
        """
        if self.shortlist is not None:
            return self._exactly(self.shortlist.rows(point, k + len(seen)), point, k, seen)
        return self._best(None, point, k, seen, outlined)

    def best_of(
        self, rows: Ids, point: Floats, k: int, seen: Ids = NO_IDS, outlined: Floats | None = None
    ) -> tuple[Ids, Floats]:
        """The same among these rows alone; ties in their order."""
        if self.shortlist is not None:
            return self._exactly(rows, point, k, seen)
        return self._best(rows, point, k, seen, outlined)

    def vector_of(self, video_id: int) -> Floats | None:
        """The vector of one video, None when the index does not hold it."""
        row = int(np.searchsorted(self.video_ids, video_id))
        if row == len(self.video_ids) or self.video_ids[row] != video_id:
            return None
        found: Floats = self.vectors[row]
        return found

    def _best(
        self, rows: Ids | None, point: Floats, k: int, seen: Ids, outlined: Floats | None
    ) -> tuple[Ids, Floats]:
        """Below a bar by outline is, exactly, below bar and error: k that reach those are the best."""
        assert self.outline is not None
        every = self.outline.scores(point[np.newaxis])[0] if outlined is None else outlined
        near, error = every if rows is None else every[rows], self.outline.error_of(point)
        found: tuple[Ids, Floats] = NO_IDS, np.empty(0, np.float32)
        for bar in _bars(near, k + min(len(seen), k // 4), 2 * error) if k > 0 else ():
            reached = np.flatnonzero(near >= bar)
            found = self._exactly(reached if rows is None else rows[reached], point, k, seen)
            if len(found[0]) == k and float(found[1][-1]) >= bar + error:
                break
        return found

    def _exactly(self, rows: Ids, point: Floats, k: int, seen: Ids) -> tuple[Ids, Floats]:
        return best_unseen(self.vectors, self.video_ids, rows, point, seen, k)


def indexed(video_ids: Ids, vectors: Floats, exact_upto: int = EXACT_UPTO) -> VideoIndex:
    """The index of a catalogue of this size: with a shortlist beyond the crossover, if one can be made."""
    return VideoIndex(video_ids, vectors, shortlist(vectors) if len(vectors) > exact_upto else None)


def _bars(scores: Floats, k: int, margin: float) -> Iterator[float]:
    """A bar a margin below what k scores probably reach, by a sample; then one for twice as many, and so on;
    at last one that all reach.
    """
    sample = scores[::SAMPLED]
    while k < len(scores):
        share = k / SAMPLED
        place = len(sample) - (int(share + 3 * share**0.5) + 1)
        if place <= 0:
            break
        yield float(np.partition(sample, place)[place]) - margin
        k *= 2
    yield -math.inf
