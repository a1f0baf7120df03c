"""Who is asking: features from the online store, then the vector of the user tower."""

from __future__ import annotations

import math
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
        profile, person = profile_codes(query.person.features), query.person
        history = (self.catalog.video_ids, query.history, query.history_weights)
        vector = self.models.towers.user(profile, *history, self.models.watched_vectors)
        return Person(person.features, person.topics, vector)


def profile_codes(features: Mapping[str, float]) -> npt.NDArray[np.int16]:
    """The profile fields in the order of the tower; -1 where unknown."""
    codes = [features.get(name, math.nan) for name in _PROFILE_FEATURES]
    return np.array([-1 if math.isnan(code) else code for code in codes]).astype(np.int16)
