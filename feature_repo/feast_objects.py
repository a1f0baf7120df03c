"""Every Feast object, built from the catalogue: entities, views and the service a model generation reads.

The one file Feast may import (see .feastignore). Sources lie in the run's folder, $FOURPLANES_STATE.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource, Project, ValueType
from feast.types import Float32, Int64

from feature_repo.catalogue import PROJECT, SERVICE, VIEWS, View
from feature_repo.places import Places, run_from_environment

_JOIN_KEYS = {"user": "user_id", "video": "video_id", "creator": "creator_id", "topic": "topic"}
_ENTITIES = {
    key: Entity(name=name, join_keys=[key], value_type=ValueType.INT64) for name, key in _JOIN_KEYS.items()
}


@dataclass(frozen=True)
class FeastObjects:
    """What is applied to the registry."""

    project: Project
    entities: tuple[Entity, ...]
    views: tuple[FeatureView, ...]
    service: FeatureService

    def all(self) -> list[object]:
        return [self.project, *self.entities, *self.views, self.service]


def feast_objects(places: Places) -> FeastObjects:
    """The objects of one run; their sources are that run's steps."""
    views = tuple(_view(view, places.features.absolute()) for view in VIEWS)
    service = FeatureService(name=SERVICE, features=list(views), description="What the ranker reads.")
    return FeastObjects(Project(name=PROJECT), tuple(_ENTITIES.values()), views, service)


def _view(view: View, features_dir: Path) -> FeatureView:
    source = FileSource(
        name=f"{view.name}_steps",
        path=str(features_dir / f"{view.name}.parquet"),
        timestamp_field="event_timestamp",
    )
    return FeatureView(
        name=view.name,
        entities=[_ENTITIES[key] for key in view.keys],
        ttl=None if view.ttl_us is None else dt.timedelta(microseconds=view.ttl_us),
        schema=[
            *(Field(name=key, dtype=Int64) for key in view.keys),
            *(
                Field(
                    name=f.name,
                    dtype=Int64 if f.integer else Float32,
                    description=f.why,
                    tags={"owner": f.owner},
                )
                for f in view.features
            ),
        ],
        source=source,
        online=True,
    )


_state = os.environ.get("FOURPLANES_STATE")
_objects = feast_objects(Places(Path(_state)) if _state else run_from_environment().places)
fourplanes = _objects.project
user, video, creator, topic = _objects.entities
user_profile, user_stats, video_profile, video_stats, creator_stats, user_topic_stats = _objects.views
ranker_v2 = _objects.service
