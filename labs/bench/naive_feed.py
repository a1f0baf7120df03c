"""The rival: the feed a careful reader of the three tutorials (Feast, pandas, LightGBM) would write.

It is our feed with two stages exchanged: all features of all candidates come through Feast's SDK as a
DataFrame, and each head scores that DataFrame with `Booster.predict` as its manual shows it. Sources,
filters, policy, trees and what is read from the watch history are ours, so both choose the same slate from
the same chance; only the time differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from feature_repo.catalogue import DEFAULTS
from feature_repo.context import context_columns
from feature_repo.matrix import COLUMNS
from feature_repo.videos import VideoCatalog
from serving.candidates import Candidates, Column, Query
from serving.feed import Feed
from serving.heads import Heads
from serving.hydrators import History
from serving.index import VideoIndex
from serving.models import Models

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore


@dataclass(frozen=True)
class FeatureFrame:
    """Every feature of every candidate: one Feast call, one entity row per candidate, finished in pandas."""

    store: FeatureStore
    service: str
    catalog: VideoCatalog
    index: VideoIndex
    name: str = "feature_frame"
    gives: tuple[str, ...] = ("features", "tower_score")

    def describe(self, query: Query, table: Candidates) -> Mapping[str, Column]:
        frame = self.stored(query, table)
        frame = frame.assign(**self.derived(query, table, frame))
        return {
            "features": frame[list(COLUMNS)].to_numpy(np.float32),
            "tower_score": frame["tower_score"].to_numpy(np.float32),
        }

    def stored(self, query: Query, table: Candidates) -> pd.DataFrame:
        """What Feast holds, defaults where it holds nothing."""
        rows = [
            {"user_id": query.user_id, "video_id": video, "creator_id": creator, "topic": topic}
            for video, creator, topic in zip(
                table.ids.tolist(), table["creator_id"].tolist(), table["topic"].tolist(), strict=True
            )
        ]
        service = self.store.get_feature_service(self.service)
        frame = self.store.get_online_features(features=service, entity_rows=rows).to_df()
        features = [name for name in frame.columns if name in DEFAULTS]
        filled: pd.DataFrame = frame[features].astype("float64").fillna(value=DEFAULTS)
        return filled

    def derived(self, query: Query, table: Candidates, frame: pd.DataFrame) -> dict[str, Any]:
        """What only the request knows."""
        uploaded, joined = frame["video_uploaded_us"].to_numpy(), frame["user_joined_us"].to_numpy()
        return {
            **context_columns(query.now_us, query.surface, uploaded, joined),
            **History(self.catalog).describe(query, table),
            "tower_score": self.index.vectors[table["catalog_row"]] @ query.person.vector,
        }


@dataclass(frozen=True)
class FramePredictions:
    """`Booster.predict(DataFrame)` for every head, with the threads LightGBM takes by default."""

    heads: Heads
    boosters: Mapping[str, Any]
    name: str = "frame_predictions"

    @property
    def gives(self) -> tuple[str, ...]:
        return tuple(self.boosters)

    def describe(self, _: Query, table: Candidates) -> Mapping[str, Column]:
        import pandas as pd

        frame = pd.DataFrame(table["features"], columns=list(COLUMNS))
        return {
            name: self.heads.by_name[name].calibrator(booster.predict(frame))
            for name, booster in self.boosters.items()
        }


def naive_feed(ours: Feed, models: Models, catalog: VideoCatalog, store: FeatureStore, service: str) -> Feed:
    """Our feed with the tutorial's features and scoring."""
    import lightgbm

    boosters = {name: lightgbm.Booster(model_str=text) for name, text in models.heads.texts().items()}
    frames = FeatureFrame(store, service, catalog, models.index)
    return replace(ours, hydrators=(frames, FramePredictions(models.heads, boosters)))
