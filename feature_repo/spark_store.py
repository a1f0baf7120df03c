"""A Feast offline store whose historical join is an as-of join on Spark: Feast's Spark store in all else.

Law: steps_sql.as_of's, one answer per entity row, in the order of entity rows, moments in UTC. Sources have
one row per key and moment, as step tables do. What cannot be answered rightly is refused by name.

Feast's own join on Spark pairs every row with every step within its TTL, and names rows by their keys written
one after the other: user 1, topic 23 and user 12, topic 3 of one moment get each other's values.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from feast import FeatureService, FeatureStore, FeatureView
from feast.infra.offline_stores.contrib.spark_offline_store.spark import (
    SparkOfflineStore,
    SparkOfflineStoreConfig,
    SparkRetrievalJob,
)
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig

from feature_repo.catalogue import DEFAULTS, PROJECT, SERVICE, VIEWS
from feature_repo.clock import INSTANT
from feature_repo.feast_objects import feast_objects
from feature_repo.places import Places
from feature_repo.spark_engine import session
from feature_repo.steps_sql import SPARK, Join, as_of

QUESTIONS, NUMBER = "asked_rows", "question"
"""The relation of the entity rows, and its column that keeps their order."""


class AsOfSparkOfflineStoreConfig(SparkOfflineStoreConfig):  # type: ignore[misc]
    """Settings of the store; Feast finds the class by this name."""

    type: str = "feature_repo.spark_store.AsOfSparkOfflineStore"


class AsOfSparkOfflineStore(SparkOfflineStore):  # type: ignore[misc]
    """Only the historical join is ours."""

    supports_filter_by_created_timestamp = False

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: pd.DataFrame,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        **_: Any,
    ) -> AsOfSparkJob:
        if not isinstance(entity_df, pd.DataFrame):
            raise TypeError(f"entity_df is {type(entity_df).__name__}, must be a pandas DataFrame.")
        moment = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        joins = tuple(_join_of(view, feature_refs, full_feature_names) for view in feature_views)
        _refuse_bad_questions(entity_df, moment, joins)
        keys = [column for column in entity_df.columns if column != moment]
        return AsOfSparkJob(
            spark_session=session(),
            query=_query(list(entity_df.columns), moment, joins),
            full_feature_names=full_feature_names,
            config=config,
            on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            metadata=RetrievalMetadata(feature_refs, keys, entity_df[moment].min(), entity_df[moment].max()),
            questions=entity_df,
            sources={
                join.source: view.batch_source.path for join, view in zip(joins, feature_views, strict=True)
            },
        )


class AsOfSparkJob(SparkRetrievalJob):  # type: ignore[misc]
    """A join that runs when its rows are asked for; moments keep their zone."""

    def __init__(self, *, questions: pd.DataFrame, sources: Mapping[str, str], **of_feast: Any) -> None:
        super().__init__(**of_feast)
        self.questions = questions.assign(**{NUMBER: np.arange(len(questions))})
        self.sources = sources

    def to_spark_df(self) -> Any:
        """The names of views are bound to these rows here, whatever is asked for next."""
        for name, path in self.sources.items():
            self.spark_session.read.parquet(path).createOrReplaceTempView(name)
        table = pa.Table.from_pandas(self.questions, preserve_index=False)
        self.spark_session.createDataFrame(table).createOrReplaceTempView(QUESTIONS)
        return self.spark_session.sql(self.query)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002
        return self.to_spark_df().toArrow()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        rows: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return rows


def open_spark_store(features_dir: Path, scratch: Path) -> FeatureStore:
    """The run's Feast objects over Spark, registered in a scratch folder: views, entities and service."""
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry=str(scratch / "registry.db"),
        offline_store={"type": AsOfSparkOfflineStoreConfig().type},
        online_store={"type": "sqlite", "path": str(scratch / "online.db")},
        entity_key_serialization_version=3,
    )
    found = feast_objects(Places(features_dir.parent))
    entities = {entity.name: entity for entity in found.entities}
    views = [_on_spark(view, entities, features_dir) for view in found.views]
    store = FeatureStore(config=config)
    store.apply([found.project, *found.entities, *views, FeatureService(name=SERVICE, features=views)])
    return store


def training_features(features_dir: Path, labels: pl.DataFrame, scratch: Path) -> pl.DataFrame:
    """What store.training_features says of these label rows, joined by Spark: impression_id and features."""
    keys = [
        pl.col(key).cast(pl.Int64).fill_null(-1) for key in ("user_id", "video_id", "creator_id", "topic")
    ]
    moment = pl.col("event_time").cast(INSTANT).alias("event_timestamp")
    questions = labels.select("impression_id", *keys, moment).to_pandas()
    store = open_spark_store(features_dir, scratch)
    service = store.get_feature_service(SERVICE)
    rows = pl.from_arrow(store.get_historical_features(questions, features=service).to_arrow())
    assert isinstance(rows, pl.DataFrame)
    filled = [
        pl.col(f.name).cast(pl.Float64 if f.integer else pl.Float32).fill_null(DEFAULTS[f.name])
        for view in VIEWS
        for f in view.features
    ]
    return rows.select("impression_id", *filled)


def _on_spark(view: FeatureView, entities: Mapping[str, Any], features_dir: Path) -> FeatureView:
    """The same view over the same file, read by Spark."""
    file = view.batch_source
    path = str((features_dir / Path(file.path).name).absolute())
    source = SparkSource(
        name=file.name, path=path, file_format="parquet", timestamp_field=file.timestamp_field
    )
    mine = [entities[name] for name in view.entities]
    return FeatureView(name=view.name, entities=mine, ttl=view.ttl, schema=view.schema, source=source)


def _query(columns: Sequence[str], moment: str, joins: Sequence[Join]) -> str:
    """The entity rows with the features of every source, in their order."""
    answers = [f"({as_of(SPARK, join, QUESTIONS, moment)}) AS {join.source}_answers" for join in joins]
    joined = " ".join(f"LEFT JOIN {answer} USING (question)" for answer in answers)
    shown = ", ".join([*columns, *(name for join in joins for name in join.features.values())])
    return f"SELECT {shown} FROM {QUESTIONS} {joined} ORDER BY question"


def _join_of(view: Any, references: Sequence[str], full_names: bool) -> Join:
    """What is asked of one view; a partially renamed key keeps the other keys."""
    source, shown = view.batch_source, view.projection.name_to_use()
    if not isinstance(source, SparkSource) or not source.path or source.field_mapping:
        raise TypeError(f"view {view.name!r} must have a SparkSource with a path and without field mapping.")
    if source.created_timestamp_column:
        raise TypeError(f"view {view.name!r} has a created timestamp; sources here have one row per moment.")
    names = [reference.split(":")[1] for reference in references if reference.split(":")[0] == shown]
    prefix, renamed = f"{shown}__" if full_names else "", view.projection.join_key_map
    ttl: dt.timedelta | None = view.ttl or None
    return Join(
        source=f"{shown}_source",
        keys={column.name: renamed.get(column.name, column.name) for column in view.entity_columns},
        features={name: f"{prefix}{name}" for name in names},
        moment=source.timestamp_field,
        ttl_us=None if ttl is None else ttl // dt.timedelta(microseconds=1),
    )


def _refuse_bad_questions(questions: pd.DataFrame, moment: str, joins: Sequence[Join]) -> None:
    """A missing key, a moment without a zone, a column named like a feature: each would answer wrongly."""
    if getattr(questions[moment].dtype, "tz", None) is None:
        raise ValueError(f"{moment} has no time zone, must be UTC; localize it first.")
    if NUMBER in questions.columns:
        raise ValueError(f"entity_df has a column {NUMBER!r}, which the join adds itself; rename it.")
    for name in (name for join in joins for name in join.keys.values()):
        if name not in questions.columns:
            raise KeyError(f"no key column {name!r} in entity_df; it has {', '.join(questions.columns)}.")
    for name in (name for join in joins for name in join.features.values()):
        if name in questions.columns:
            raise ValueError(f"entity_df has a column {name!r}, which is a feature; rename it.")
