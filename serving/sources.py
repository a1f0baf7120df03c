"""Where candidates come from. A source brings what it likes best, and nothing that was watched already.

It cannot rank across sources or hide a video from another source: that is for the scorer and the filters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from feature_repo.clock import HOUR_US
from feature_repo.orders import ascending
from feature_repo.videos import VideoCatalog
from serving.candidates import NOTHING_FOUND, Found, Ids, Query
from serving.looks import Looks, View
from serving.picks import first_unseen, rows_made_by


@dataclass(frozen=True)
class TwoTower:
    """Videos whose vectors point where the person's points."""

    looks: Looks
    most: int
    name: str = "two_tower"

    def find(self, query: Query) -> Found:
        return _nearest(self.looks.of(query).person, query, self.most)


@dataclass(frozen=True)
class SimilarToLastWatched:
    """Neighbours of the last video the person did not skip."""

    looks: Looks
    most: int
    name: str = "similar"

    def find(self, query: Query) -> Found:
        return _nearest(self.looks.of(query).liked, query, self.most)


@dataclass(frozen=True)
class Trending:
    """Most long watches in the last three days, the same for everybody."""

    video_ids: Ids
    long_watches: npt.NDArray[np.float32]
    most: int
    name: str = "trending"
    _ranked: Found = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rising = np.nan_to_num(self.long_watches).view(np.int32)  # as bits: no float is negative
        order = ascending(-rising.astype(np.int64))
        object.__setattr__(self, "_ranked", Found(self.video_ids[order], self.long_watches[order]))

    def find(self, query: Query) -> Found:
        return _unseen(self._ranked, query, self.most)


@dataclass(frozen=True)
class FollowedCreators:
    """What the creators a person follows made, newest first."""

    catalog: VideoCatalog
    most: int
    name: str = "followed"
    _by_creator: Ids = field(init=False, repr=False)
    _creators: Ids = field(init=False, repr=False)

    def __post_init__(self) -> None:
        order = self.catalog.by_creator
        object.__setattr__(self, "_by_creator", order)
        object.__setattr__(self, "_creators", self.catalog.creators_in_order)

    def find(self, query: Query) -> Found:
        rows = rows_made_by(query.follows, self._creators, self._by_creator)
        return _newest(self.catalog, rows, query, self.most) if len(rows) else NOTHING_FOUND


@dataclass(frozen=True)
class FreshUploads:
    """Uploads of the last hours, those that suit the person first; what is new gets its chance somewhere."""

    catalog: VideoCatalog
    looks: Looks
    most: int
    hours: float
    name: str = "fresh"
    _by_age: Ids = field(init=False, repr=False)
    _uploaded_us: Ids = field(init=False, repr=False)

    def __post_init__(self) -> None:
        order = self.catalog.by_upload
        object.__setattr__(self, "_by_age", order)
        object.__setattr__(self, "_uploaded_us", self.catalog.uploads_in_order)

    def find(self, query: Query) -> Found:
        since_us = query.now_us - int(self.hours * HOUR_US)
        first, end = np.searchsorted(self._uploaded_us, (since_us, query.now_us))
        rows = self._by_age[first:end]
        view = self.looks.of(query).person
        if view is None:
            return _newest(self.catalog, rows, query, self.most)
        return view.nearest_of(rows, self.most, query.seen)


def _nearest(view: View | None, query: Query, most: int) -> Found:
    return NOTHING_FOUND if view is None else view.nearest(most, query.seen)


def _newest(catalog: VideoCatalog, rows: Ids, query: Query, most: int) -> Found:
    """These videos, newest first; an upload of the future sorts first and is for the filter to refuse."""
    order = rows[np.argsort(-catalog.uploaded_us[rows], kind="stable")]
    scores = catalog.uploaded_us[order].astype(np.float32)
    return _unseen(Found(catalog.video_ids[order], scores), query, most)


def _unseen(found: Found, query: Query, most: int) -> Found:
    new = first_unseen(found.video_ids, query.seen, most)
    return Found(found.video_ids[new], found.scores[new])
