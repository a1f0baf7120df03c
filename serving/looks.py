"""One look at all videos per request, for all sources: from the person, and from what they liked last.

A look goes once over the memory of all outlines, and on its way a second point costs little. It is made when
the first source asks and kept, by thread, until another request asks. An index with a shortlist is not looked
at: each view asks it by itself.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.candidates import Found, Ids, Query, Rows
from serving.index import VideoIndex

Floats = npt.NDArray[np.float32]

LIKED_SHARE = 0.5
"""A video watched at least this far was not skipped: the next one may be like it."""


@dataclass(frozen=True)
class View:
    """The videos of an index from one point."""

    index: VideoIndex
    point: Floats
    outlined: Floats | None
    """The score of every video by its outline; None where the index has a shortlist."""

    def nearest(self, k: int, seen: Ids) -> Found:
        """The k nearest that were not seen, best first."""
        return Found(*self.index.search(self.point, k, seen, self.outlined))

    def nearest_of(self, rows: Rows, k: int, seen: Ids) -> Found:
        """The same among these rows of the index; of those equally near, the first."""
        return Found(*self.index.best_of(rows, self.point, k, seen, self.outlined))


@dataclass(frozen=True)
class Look:
    """What a request sees; None: from nowhere."""

    query: Query
    person: View | None
    """From where the person's vector points."""
    liked: View | None
    """From the last video the person did not skip."""


class Looks:
    """Looks at one index. Safe to share between threads: each remembers its own last look."""

    def __init__(self, index: VideoIndex) -> None:
        self.index = index
        self._last = threading.local()

    def of(self, query: Query) -> Look:
        last: Look | None = getattr(self._last, "look", None)
        if last is None or last.query is not query:
            last = self._last.look = self._look(query)
        return last

    def _look(self, query: Query) -> Look:
        person, liked = query.person.vector, self._liked(query)
        points = [point for point in (person, liked) if len(point)]
        if self.index.outline is None or not points:
            views = [View(self.index, point, None) for point in points]
        else:
            outlined = self.index.outline.scores(np.stack(points))
            views = [View(self.index, point, mine) for point, mine in zip(points, outlined, strict=True)]
        return Look(query, views[0] if len(person) else None, views[-1] if len(liked) else None)

    def _liked(self, query: Query) -> Floats:
        """The vector of the last video that was not skipped; empty if the index holds none."""
        liked = query.history[(query.history >= 0) & (query.history_weights >= LIKED_SHARE)]
        vector = self.index.vector_of(int(liked[0])) if len(liked) else None
        return np.empty(0, np.float32) if vector is None else vector
