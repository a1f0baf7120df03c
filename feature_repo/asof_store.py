"""A Feast offline store whose historical join is an as-of join: Feast's DuckDB store in everything else.

Law (the same as the DuckDB store's, which tests use as the oracle): a row finds the newest feature row of its
keys with event time at or before its own, at most TTL older (inclusive), and, if asked, created at or before
it too; among equal event times the last created wins; what finds nothing is null. Rows keep their order.

Feast's range join plus row_number costs (rows x snapshots within reach); polars' join_asof is one merge.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig

from feature_repo.clock import INSTANT


class AsOfOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc]
    """Settings of the store; Feast finds the class by this name."""

    type: str = "feature_repo.asof_store.AsOfOfflineStore"


class AsOfOfflineStore(DuckDBOfflineStore):  # type: ignore[misc]
    """Only the historical join is ours."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,  # noqa: ARG004  (Feast's signature)
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        if not isinstance(entity_df, pd.DataFrame):
            raise TypeError(f"entity_df is {type(entity_df).__name__}, must be a pandas DataFrame.")
        moment = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        joins = [_join_of(view, feature_refs, full_feature_names) for view in feature_views]
        _refuse_bad_entities(entity_df, joins)
        return AsOfJob(
            questions=entity_df,
            moment=moment,
            joins=tuple(joins),
            known_only=filter_by_created_timestamp,
            on_demand=tuple(OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)),
            references=tuple(feature_refs),
            full_names=full_feature_names,
        )


@dataclass(frozen=True)
class Join:
    """One view to join: its file, which of our columns hold its keys, what to take and under which names."""

    path: str
    keys: dict[str, str]  # column of the source -> column of the questions
    features: dict[str, str]  # column of the source -> column of the answer
    event: str
    created: str | None
    ttl: dt.timedelta | None


@dataclass(frozen=True)
class AsOfJob(RetrievalJob):  # type: ignore[misc]
    """A join that runs when its rows are asked for."""

    questions: pd.DataFrame
    moment: str
    joins: tuple[Join, ...]
    known_only: bool
    on_demand: tuple[Any, ...]
    references: tuple[str, ...]
    full_names: bool

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002
        table = pl.from_pandas(self.questions)
        asked = _asked(table, self.moment)
        for join in self.joins:
            table = table.hstack(as_of(asked, join, self.known_only))
        return table.to_arrow()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        rows: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas(split_blocks=True, self_destruct=True)
        return rows

    @property
    def full_feature_names(self) -> bool:
        return self.full_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        return list(self.on_demand)

    @property
    def metadata(self) -> RetrievalMetadata:
        moments = self.questions[self.moment]
        keys = [column for column in self.questions.columns if column != self.moment]
        return RetrievalMetadata(list(self.references), keys, moments.min(), moments.max())


def as_of(asked: pl.DataFrame, join: Join, known_only: bool) -> list[pl.Series]:
    """The join's feature columns, one value per asked row and in its order.

    `asked` has a column `asked_at` and the key columns. Only row numbers are joined, and
    features gathered once.
    """
    source = _source(join, known_only)
    left = asked.select(
        pl.col("asked_at"),
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("question"),
        *(pl.col(mine).cast(source.schema[theirs]).alias(theirs) for theirs, mine in join.keys.items()),
    )
    right = source.select(
        "known_at", *join.keys, "reached", pl.int_range(pl.len(), dtype=pl.UInt32).alias("row")
    )
    found = left.sort("asked_at").join_asof(
        right,
        left_on="asked_at",
        right_on="known_at",
        by=list(join.keys),
        strategy="backward",
        check_sortedness=False,
    )
    alive = (
        pl.col("row") if join.ttl is None else pl.when(pl.col("reached") >= pl.col("asked_at")).then("row")
    )
    rows = found.select("question", alive.alias("row")).sort("question")["row"]
    return [source[theirs].gather(rows).alias(mine) for theirs, mine in join.features.items()]


def _source(join: Join, known_only: bool) -> pl.DataFrame:
    """The view's rows that can ever be an answer, in the order in which they become one.

    With `known_only` a row becomes known at max(event, created) and is an answer only if no newer event was
    known by then. Ties: last created, then last written.
    """
    event = pl.col(join.event).cast(INSTANT)
    created = event if join.created is None else pl.col(join.created).cast(INSTANT)
    known = pl.max_horizontal(event, created) if known_only else event
    forever = pl.lit(None, INSTANT)
    reach = forever if join.ttl is None else event + pl.lit(join.ttl)
    rows = pl.scan_parquet(join.path).select(
        *join.keys,
        *join.features,
        event.alias("happened_at"),
        created.alias("created_at"),
        known.alias("known_at"),
        reach.cast(INSTANT).alias("reached"),
    )
    ordered = rows.sort("known_at", "happened_at", "created_at", nulls_last=False, maintain_order=True)
    found = ordered.collect()
    if not known_only or (found["known_at"] == found["happened_at"]).all():
        return found
    return found.filter(pl.col("happened_at") == pl.col("happened_at").cum_max().over(list(join.keys)))


def _asked(table: pl.DataFrame, moment: str) -> pl.DataFrame:
    """The questions with their moment in UTC microseconds; one without a zone is UTC, a string is parsed."""
    at = table[moment]
    if at.dtype == pl.String:
        at = at.str.to_datetime(time_unit="us", time_zone="UTC")
    if isinstance(at.dtype, pl.Datetime) and at.dtype.time_zone is None:
        at = at.dt.replace_time_zone("UTC")
    return table.with_columns(at.cast(INSTANT).alias("asked_at"))


def _join_of(view: Any, references: Sequence[str], full_names: bool) -> Join:
    """What is asked of one view; a partially renamed key keeps the other keys."""
    source = view.batch_source
    if not isinstance(source, FileSource) or source.field_mapping:
        raise TypeError(f"view {view.name!r} must have a FileSource without field mapping.")
    prefix = f"{view.projection.name_to_use()}:"
    names = [reference.removeprefix(prefix) for reference in references if reference.startswith(prefix)]
    shown = f"{view.projection.name_alias or view.name}__" if full_names else ""
    renamed = view.projection.join_key_map
    return Join(
        path=source.path,
        keys={column.name: renamed.get(column.name, column.name) for column in view.entity_columns},
        features={name: f"{shown}{name}" for name in names},
        event=source.timestamp_field,
        created=source.created_timestamp_column or None,
        ttl=view.ttl or None,
    )


def _refuse_bad_entities(questions: pd.DataFrame, joins: Sequence[Join]) -> None:
    """A missing key is an error, and so is a column named like a feature: it would leak or be lost."""
    for join in joins:
        for key in join.keys.values():
            if key not in questions.columns:
                raise KeyError(f"no key column {key!r} in entity_df; it has {', '.join(questions.columns)}.")
        for name in join.features.values():
            if name in questions.columns:
                raise ValueError(f"entity_df has a column {name!r}, which is a feature; rename it.")
