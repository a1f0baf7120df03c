"""Where candidates come from. A source brings what it likes best, and nothing that was watched already.

It cannot rank across sources or hide a video from another source: that is for the scorer and the filters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from feature_repo.clock import HOUR_US
from feature_repo.videos import VideoCatalog
from serving.candidates import NOTHING_FOUND, Found, Ids, Query, among
from serving.index import largest
from serving.looks import Looks, View


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
    _best: Ids = field(init=False, repr=False)

    def __post_init__(self) -> None:
        order = np.argsort(-np.nan_to_num(self.long_watches), kind="stable")
        object.__setattr__(self, "_best", order)

    def find(self, query: Query) -> Found:
        first = self._best[: self.most + len(query.seen)]
        return _unseen(Found(self.video_ids[first], self.long_watches[first]), query, self.most)


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
        object.__setattr__(self, "_creators", self.catalog.creator_ids[order])

    def find(self, query: Query) -> Found:
        if len(query.follows) == 0:
            return NOTHING_FOUND
        first = np.searchsorted(self._creators, query.follows, side="left")
        end = np.searchsorted(self._creators, query.follows, side="right")
        rows = np.concatenate([self._by_creator[a:b] for a, b in zip(first, end, strict=True)])
        return _newest(self.catalog, rows, query, self.most)


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
        object.__setattr__(self, "_uploaded_us", self.catalog.uploaded_us[order])

    def find(self, query: Query) -> Found:
        since_us = query.now_us - int(self.hours * HOUR_US)
        first, end = np.searchsorted(self._uploaded_us, (since_us, query.now_us))
        rows = self._by_age[first:end]
        view = self.looks.of(query).person
        if view is None:
            return _newest(self.catalog, rows, query, self.most)
        scores = view.at(rows)
        best = largest(scores, min(self.most + len(query.seen), len(scores)))
        return _unseen(Found(self.catalog.video_ids[rows[best]], scores[best]), query, self.most)


def _nearest(view: View | None, query: Query, most: int) -> Found:
    if view is None:
        return NOTHING_FOUND
    return _unseen(Found(*view.nearest(most + len(query.seen))), query, most)


def _newest(catalog: VideoCatalog, rows: Ids, query: Query, most: int) -> Found:
    """These videos, newest first; an upload of the future sorts first and is for the filter to refuse."""
    order = rows[np.argsort(-catalog.uploaded_us[rows], kind="stable")]
    scores = catalog.uploaded_us[order].astype(np.float32)
    return _unseen(Found(catalog.video_ids[order], scores), query, most)


def _unseen(found: Found, query: Query, most: int) -> Found:
    new = np.flatnonzero(~among(found.video_ids, query.seen))[:most]
    return Found(found.video_ids[new], found.scores[new])
