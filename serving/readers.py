"""Who is asking: features from the online store, then the vector of the user tower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from feature_repo.videos import VideoCatalog
from serving.candidates import Person, Query
from serving.models import Models
from serving.towers import PROFILE

_PROFILE_FEATURES = tuple(f"user_{name}" for name in PROFILE)


class Users(Protocol):
    """People's features by user id: `feature_repo.online.OnlineUsers`, or a fake that works."""

    def read(
        self, user_id: int, topics: Sequence[int], now_us: int
    ) -> tuple[dict[str, float], npt.NDArray[np.float32]]: ...


@dataclass(frozen=True)
class OnlineFeatures:
    """The person's features as of now; somebody never seen has the catalogue's defaults."""

    users: Users
    topics: tuple[int, ...]
    """Topic codes worth asking for: those of the catalogue."""
    name: str = "online_features"

    def read(self, query: Query) -> Person:
        return Person(*self.users.read(query.user_id, self.topics, query.now_us), query.person.vector)


@dataclass(frozen=True)
class SpareFeatures:
    """The person from the stream of events alone, where the online store did not answer: who they are is then
    not known, what they did is. Without that need it asks for nothing.
    """

    users: Users
    topics: tuple[int, ...]
    name: str = "spare_features"

    def read(self, query: Query) -> Person:
        if query.person.features:
            return query.person
        features, topics = self.users.read(query.user_id, self.topics, query.now_us)
        return replace(query.person, features=features, topics=topics)


@dataclass(frozen=True)
class TowerVector:
    """The user tower over profile and watch history; it answers for a stranger too."""

    models: Models
    catalog: VideoCatalog
    name: str = "tower_vector"

    def read(self, query: Query) -> Person:
        rows = self.catalog.rows_of(query.history)
        weights = np.where(rows < 0, np.float32(0), query.history_weights)
        profile = profile_codes(query.person.features)
        vectors = self.models.towers.users(
            profile[None], rows[None], weights[None], self.models.watched_vectors
        )
        return replace(query.person, vector=vectors[0])


def profile_codes(features: Mapping[str, float]) -> npt.NDArray[np.int16]:
    """The profile fields in the order of the tower; -1 where unknown."""
    codes = np.array([features.get(name, np.nan) for name in _PROFILE_FEATURES])
    return np.where(np.isnan(codes), -1, codes).astype(np.int16)


def topics_in(catalog: VideoCatalog) -> tuple[int, ...]:
    """Every known topic code of a catalogue, ascending."""
    return tuple(int(topic) for topic in np.unique(catalog.topics) if topic >= 0)
