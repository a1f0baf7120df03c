"""What is known of each candidate: columns of the table's length, in the names of the feature catalogue.

Every feature the matrix needs is given by exactly one of these; the functions that derive them are
feature_repo's, the same that made the training rows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo import catalogue, histories
from feature_repo.context import context_columns
from feature_repo.matrix import COLUMNS, assemble
from feature_repo.online import VideoMirror
from feature_repo.videos import VideoCatalog
from serving.candidates import Candidates, Column, Query
from serving.heads import Heads, Ranked
from serving.index import VideoIndex
from serving.verbs import PartlyDescribed

log = logging.getLogger("serving.hydrators")


def _columns_of(entity: str) -> tuple[str, ...]:
    return tuple(
        f.name for f in catalogue.FEATURES if f.entity == entity and f.name in COLUMNS and f.kind != "derived"
    )


USER_FEATURES = _columns_of("user")
VIDEO_FEATURES = (*_columns_of("video"), *_columns_of("creator"))
TOPIC_FEATURES = _columns_of("user_topic")
CONTEXT_FEATURES = tuple(f.name for f in catalogue.CONTEXT)
HISTORY_FEATURES = tuple(f.name for f in catalogue.HISTORY_FEATURES)
TOPIC_DEFAULTS = np.array([catalogue.DEFAULTS[name] for name in TOPIC_FEATURES], np.float32)


@dataclass(frozen=True)
class Catalogued:
    """Creator, topic, upload, removal and catalogue row: what the filters need to know."""

    catalog: VideoCatalog
    name: str = "catalogued"
    gives: tuple[str, ...] = ("catalog_row", "creator_id", "topic", "uploaded_us", "removed_us")

    def __post_init__(self) -> None:
        self.catalog.facts_of([])  # what it looks up in is made now, not by the first request

    def describe(self, _: Query, table: Candidates) -> Mapping[str, Column]:
        return dict(zip(self.gives, self.catalog.facts_of(table.ids), strict=True))


@dataclass(frozen=True)
class VideoFeatures:
    """Features of the video and its creator, from the in-process mirror of the online store."""

    mirror: VideoMirror
    name: str = "video_features"
    gives: tuple[str, ...] = VIDEO_FEATURES

    def describe(self, _: Query, table: Candidates) -> Mapping[str, Column]:
        return self.mirror.take(self.mirror.rows_of(table.ids, table["catalog_row"]), self.gives)


@dataclass(frozen=True)
class UserFeatures:
    """Features of the person, the same in every row."""

    name: str = "user_features"
    gives: tuple[str, ...] = USER_FEATURES

    def describe(self, query: Query, table: Candidates) -> Mapping[str, Column]:
        known = query.person.features
        row = np.array([known.get(name, np.nan) for name in self.gives], np.float32)
        return dict(zip(self.gives, row.repeat(len(table)).reshape(len(row), -1), strict=True))


@dataclass(frozen=True)
class UserTopicFeatures:
    """What the person did with the candidate's topic so far."""

    name: str = "user_topic_features"
    gives: tuple[str, ...] = TOPIC_FEATURES

    def describe(self, query: Query, table: Candidates) -> Mapping[str, Column]:
        topics = table["topic"]
        found, unknown = query.person.topics.take(topics, axis=0), topics < 0
        if unknown.any():
            found[unknown] = TOPIC_DEFAULTS
        return dict(zip(self.gives, found.T, strict=True))


@dataclass(frozen=True)
class Context:
    """The request itself: when, where, and how old everybody is."""

    name: str = "context"
    gives: tuple[str, ...] = CONTEXT_FEATURES

    def describe(self, query: Query, table: Candidates) -> Mapping[str, Column]:
        uploaded = np.where(table["uploaded_us"] >= 0, table["uploaded_us"], np.nan)
        joined = query.person.features.get("user_joined_us", np.nan)
        return _in_every_row(context_columns(query.now_us, query.surface, uploaded, joined), len(table))


@dataclass(frozen=True)
class History:
    """What the last watched videos and the follows say about each candidate."""

    catalog: VideoCatalog
    name: str = "history"
    gives: tuple[str, ...] = HISTORY_FEATURES

    def describe(self, query: Query, table: Candidates) -> Mapping[str, Column]:
        had, weights = query.history, query.history_weights
        _, creators, topics, *_ = self.catalog.facts_of(had)
        return {
            "history_size": _repeated(np.count_nonzero(had >= 0), len(table)),
            "history_topic_share": histories.history_topic_share(weights, topics, table["topic"]),
            "history_creator_share": histories.history_creator_share(weights, creators, table["creator_id"]),
            "follows_creator": histories.follows_creator(table["creator_id"], query.follows),
        }


@dataclass(frozen=True)
class TowerScore:
    """How well the retrieval model thinks person and video fit: the dot product of their vectors."""

    index: VideoIndex
    name: str = "tower_score"
    gives: tuple[str, ...] = ("tower_score",)

    def describe(self, query: Query, table: Candidates) -> Mapping[str, Column]:
        if len(query.person.vector) == 0:
            return {"tower_score": _repeated(np.nan, len(table))}
        return {"tower_score": self.index.vectors.take(table["catalog_row"], axis=0) @ query.person.vector}


@dataclass(frozen=True)
class Matrix:
    """All features in the order the trees were trained on; what is logged as served."""

    name: str = "matrix"
    gives: tuple[str, ...] = ("features",)

    def describe(self, _: Query, table: Candidates) -> Mapping[str, Column]:
        return {"features": assemble(table.columns, len(table))}


@dataclass(frozen=True)
class Predictions:
    """The calibrated prediction of every head, one column each, under the head's name."""

    heads: Heads
    name: str = "predictions"

    @property
    def gives(self) -> tuple[str, ...]:
        return tuple(self.heads.by_name)

    def describe(self, _: Query, table: Candidates) -> Mapping[str, Column]:
        if len(table) == 0:
            return {name: np.empty(0) for name in self.gives}
        rows = Ranked(table["features"])
        columns: dict[str, Column] = {}
        failed = []
        for name, head in self.heads.by_name.items():
            try:
                columns[name] = head.predict(rows)
            except Exception:  # one objective is lost; the others still say what they predict
                log.exception("head %s failed", name)
                columns[name] = np.full(len(table), np.nan)
                failed.append(name)
        if failed:
            raise PartlyDescribed(columns, failed)
        return columns


def _in_every_row(columns: Mapping[str, npt.NDArray[np.float32]], rows: int) -> Mapping[str, Column]:
    """The columns, one value of which stands for all rows, side by side."""
    found = np.empty((len(columns), rows), np.float32)
    for place, column in enumerate(columns.values()):
        found[place] = column
    return dict(zip(columns, found, strict=True))


def _repeated(value: npt.ArrayLike, rows: int) -> npt.NDArray[np.float32]:
    """The value in every row."""
    return np.full(rows, value, np.float32)
