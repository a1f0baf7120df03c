"""Which video each impression showed: sixteen bytes an impression, for as long as a server runs.

Law: of an impression that was told twice the first counts. What is added goes into a short list; a full one
is sorted once and stays as it is, so nobody ever waits for all of them to be sorted. Ids mostly rise, so few
of the lists can hold the one that is asked for.
"""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feature_repo.orders import ascending
from feature_repo.videos import rows_of

Ints = NDArray[np.int64]

UNSHOWN = -1
RUN = 4_096
"""Impressions in a list."""


class _Run(NamedTuple):
    """Impressions in ascending order, and their videos."""

    ids: Ints
    videos: Ints


class Impressions:
    """Those of a log and those that came since. Whoever adds holds a lock."""

    def __init__(self, ids: Ints, videos: Ints) -> None:
        """Those of the log, in any order."""
        self._runs = [_sorted(ids, videos)]
        self._latest, self._n = np.empty((2, RUN), np.int64), 0

    def add(self, ids: Ints, videos: Ints) -> None:
        """Remember what more impressions showed."""
        for first in range(0, len(ids), RUN):
            self._add(ids[first : first + RUN], videos[first : first + RUN])

    def videos_of(self, ids: Ints) -> Ints:
        """The video of each of these; UNSHOWN where nothing was shown."""
        found = np.full(len(ids), UNSHOWN, np.int64)
        if not len(ids):
            return found
        low, high = ids.min(), ids.max()
        for run in (*self._runs, _sorted(*self._latest[:, : self._n])):
            if len(run.ids) and run.ids[0] <= high and low <= run.ids[-1]:
                rows = rows_of(run.ids, ids)
                new = (rows >= 0) & (found == UNSHOWN)
                found[new] = run.videos[rows[new]]
        return found

    def fork(self) -> Impressions:
        """Another that knows the same; neither hears what the other is told."""
        other = copy(self)
        other._runs, other._latest = [*self._runs], self._latest.copy()
        return other

    def _add(self, ids: Ints, videos: Ints) -> None:
        if self._n + len(ids) > RUN:
            self._runs.append(_sorted(*self._latest[:, : self._n]))
            self._n = 0
        end = self._n + len(ids)
        self._latest[:, self._n : end] = ids, videos
        self._n = end


def _sorted(ids: Ints, videos: Ints) -> _Run:
    """In order of the ids, each once."""
    order = ascending(ids)
    first = order[np.diff(ids[order], prepend=UNSHOWN) != 0]
    return _Run(ids[first], videos[first])
