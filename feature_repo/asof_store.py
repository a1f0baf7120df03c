"""A Feast offline store whose historical join is an as-of join: Feast's DuckDB store in everything else.

Law: asof_join.py's, row for row; tests hold it against Feast's DuckDB store and against sorting by hand.
Entity rows keep their number and order. What cannot be answered rightly is refused by name: a missing or
doubled column, a key of another type, a moment without a time zone, a feature named like another column.

Feast's range join plus row_number costs (rows x snapshots within reach); this is one search per row and
view. With asof_join.py and asof_search.py it can be copied into any Feast repository.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import ibis  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.parquet as pq
from feast.data_format import ParquetFormat
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.offline_stores import ibis as feast_ibis
from feast.infra.offline_stores.duckdb import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
    _read_data_source,
    _write_data_source,
)
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.utils import compute_non_entity_date_range

from .asof_join import INSTANT, Join, answers, as_of, files_of, keys_between

__all__ = ["AsOfJob", "AsOfOfflineStore", "AsOfOfflineStoreConfig", "Join", "as_of"]

ZONED = r":\d{2}(\.\d+)?\s?(Z|[+-]\d{2}(:?\d{2})?)$"
"""How a moment written as text must end."""


class AsOfOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc]
    """Settings of the store; Feast finds the class by this name."""

    type: str = f"{__name__}.AsOfOfflineStore"


class AsOfOfflineStore(DuckDBOfflineStore):  # type: ignore[misc]
    """The historical join is ours; the rest is Feast's, reading folders and paths relative to the repo."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: dt.datetime | None = None,
        end_date: dt.datetime | None = None,
    ) -> RetrievalJob:
        joins = tuple(_join_of(view, feature_refs, full_feature_names, config) for view in feature_views)
        if entity_df is None:
            window = compute_non_entity_date_range(feature_views, start_date=start_date, end_date=end_date)
            entity_df = _every_key(joins, *window)
        questions = _asked_by_sql(entity_df, config) if isinstance(entity_df, str) else entity_df
        on_demand = tuple(OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry))
        derived = _derived(on_demand, feature_refs, full_feature_names)
        _refuse_bad_columns(questions, joins, derived)
        return AsOfJob(
            questions=questions,
            moment=infer_event_timestamp_from_entity_df(dict(questions.dtypes)),
            joins=joins,
            known_only=filter_by_created_timestamp,
            on_demand=on_demand,
            references=tuple(feature_refs),
            full_names=full_feature_names,
            config=config,
        )

    @staticmethod
    def pull_latest_from_table_or_query(config: RepoConfig, **asked: Any) -> RetrievalJob:
        return feast_ibis.pull_latest_from_table_or_query_ibis(config=config, **asked, **_doors(config))

    @staticmethod
    def pull_all_from_table_or_query(config: RepoConfig, **asked: Any) -> RetrievalJob:
        return feast_ibis.pull_all_from_table_or_query_ibis(config=config, **asked, **_doors(config))

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: Any, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        feast_ibis.offline_write_batch_ibis(config, feature_view, table, progress, partial(_append, config))


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
    config: RepoConfig

    def to_df(self, validation_reference: Any = None, timeout: int | None = None) -> pd.DataFrame:
        """The questions as they were given, types included, and behind them their answers."""
        names = [str(column) for column in self.questions.columns]
        found = self.to_arrow(validation_reference, timeout).drop_columns(names)
        return _beside(self.questions, found.to_pandas(split_blocks=True, self_destruct=True))

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002  (Feast's signature)
        table = pa.Table.from_pandas(self.questions, preserve_index=False)
        moments = _instants(_series(table[self.moment]), self.moment)
        for answer in answers(_keys(table, self.joins), moments, self.joins, self.known_only):
            table = table.append_column(answer.name, answer.to_arrow(compat_level=pl.CompatLevel.oldest()))
        return table

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        rows: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return rows

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the rows, what is derived on demand included, where Feast keeps a saved dataset."""
        rows = ibis.memtable(self.to_arrow(timeout=timeout))
        _write_data_source(
            rows, storage.to_data_source(), str(self.config.repo_path), "overwrite", allow_overwrite
        )

    @property
    def full_feature_names(self) -> bool:
        return self.full_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        return list(self.on_demand)

    @property
    def metadata(self) -> RetrievalMetadata:
        moments = pd.to_datetime(self.questions[self.moment], utc=True)
        first, last = (None if pd.isna(bound) else bound for bound in (moments.min(), moments.max()))
        keys = [column for column in self.questions.columns if column != self.moment]
        return RetrievalMetadata(list(self.references), keys, first, last)


def _beside(questions: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """One frame that owns its memory: arrow lends columns without nulls, and what is lent is read-only."""
    asked = questions.reset_index(drop=True)
    own = {name: series.copy() if _is_lent(series) else series for name, series in found.items()}
    return pd.DataFrame({**dict(asked.items()), **own}, index=asked.index, copy=False)


def _is_lent(series: pd.Series[Any]) -> bool:
    values = series.array.to_numpy(copy=False) if isinstance(series.dtype, np.dtype) else None
    return values is not None and not values.flags.writeable


def _keys(table: pa.Table, joins: Sequence[Join]) -> pl.DataFrame:
    """The key columns of the questions; what is not joined on is not converted."""
    names = dict.fromkeys(key for join in joins for key in join.keys.values())
    return pl.DataFrame({name: _series(table[name]) for name in names})


def _series(column: pa.ChunkedArray) -> pl.Series:
    series = pl.from_arrow(column)
    assert isinstance(series, pl.Series)
    return series


def _instants(at: pl.Series, moment: str) -> pl.Series:
    """The asked moments in UTC microseconds; text is parsed; what does not say its zone is refused."""
    if at.dtype == pl.String:
        at = _parsed(at, moment)
    if isinstance(at.dtype, pl.Datetime) and at.dtype.time_zone is not None:
        return at.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    if at.dtype == pl.Null:
        return at.cast(INSTANT)
    found = "has no time zone" if at.dtype.is_temporal() else f"is {at.dtype}"
    raise ValueError(
        f"column {moment!r} of entity_df {found}, must be a timestamp with one; use dt.tz_localize('UTC')."
    )


def _parsed(at: pl.Series, moment: str) -> pl.Series:
    bare = at.filter(~at.str.contains(ZONED))
    if len(bare):
        raise ValueError(
            f"column {moment!r} of entity_df holds {bare[0]!r}, must be ISO 8601 with a time zone, "
            "as 2026-01-01T00:00:00Z."
        )
    parsed = pd.to_datetime(pd.Series(at.to_list(), dtype=object), format="ISO8601", utc=True)
    return pl.Series(at.name, parsed.dt.as_unit("us"))


def _join_of(view: Any, references: Sequence[str], full_names: bool, config: RepoConfig) -> Join:
    """What is asked of one view, in the names of its file; a partially renamed key keeps the other keys."""
    source = view.batch_source
    if not isinstance(source, FileSource) or not _is_parquet(source):
        raise TypeError(f"view {view.name!r} reads {type(source).__name__}, must be a FileSource of parquet.")
    prefix = f"{view.projection.name_to_use()}:"
    names = [reference.removeprefix(prefix) for reference in references if reference.startswith(prefix)]
    shown = f"{view.projection.name_alias or view.name}__" if full_names else ""
    renamed = view.projection.join_key_map
    stored = {theirs: raw for raw, theirs in source.field_mapping.items()}
    keys = [column.name for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
    created = source.created_timestamp_column
    return Join(
        path=_path_of(source, config),
        keys={stored.get(key, key): renamed.get(key, key) for key in keys},
        features={stored.get(name, name): f"{shown}{name}" for name in names},
        event=stored.get(source.timestamp_field, source.timestamp_field),
        created=stored.get(created, created) or None,
        ttl=view.ttl or None,
    )


def _is_parquet(source: FileSource) -> bool:
    return source.file_format is None or isinstance(source.file_format, ParquetFormat)


def _path_of(source: FileSource, config: RepoConfig) -> str:
    """The source's file or folder, a relative one below the repository."""
    path = source.path.removeprefix("file://")
    if "://" in path or "*" in path:
        raise ValueError(f"source {path!r} must be a local parquet file or a folder of them; name one.")
    return str(FileSource.get_uri_for_file_path(config.repo_path, path))


def _derived(views: Sequence[Any], references: Sequence[str], full_names: bool) -> list[str]:
    """The columns that views computed on demand will add."""
    found = []
    for view in views:
        name = view.projection.name_to_use()
        asked = [r.removeprefix(f"{name}:") for r in references if r.startswith(f"{name}:")]
        found += [f"{name}__{feature}" if full_names else feature for feature in asked]
    return found


def _refuse_bad_columns(questions: Any, joins: Sequence[Join], derived: Sequence[str]) -> None:
    """A column that is missing, doubled or named like a feature is an error: it would leak or be lost."""
    if not isinstance(questions, pd.DataFrame):
        raise TypeError(f"entity_df is {type(questions).__name__}, must be a pandas DataFrame, SQL or None.")
    columns = list(questions.columns)
    for column in columns:
        if columns.count(column) > 1:
            raise ValueError(
                f"entity_df has {columns.count(column)} columns {column!r}, must be one; drop one."
            )
    for key in (key for join in joins for key in join.keys.values()):
        if key not in columns:
            raise KeyError(f"no key column {key!r} in entity_df; it has {', '.join(map(str, columns))}.")
    features = [*(name for join in joins for name in join.features.values()), *derived]
    for name in features:
        if name in columns:
            raise ValueError(f"entity_df has a column {name!r}, which is a feature; rename or drop it.")
        if features.count(name) > 1:
            raise ValueError(f"two views have a feature {name!r}; use full_feature_names=True or rename one.")


def _asked_by_sql(query: str, config: RepoConfig) -> pd.DataFrame:
    """The rows of a DuckDB query, in its order; files it names lie relative to the repository."""
    settings = {"file_search_path": str(config.repo_path or Path())}
    with contextlib.closing(duckdb.connect(config=settings)) as connection:
        found = connection.sql(query).pl()
    zoned = cs.datetime(time_zone="*").dt.convert_time_zone("UTC")
    rows: pd.DataFrame = found.with_columns(zoned).to_arrow().to_pandas(integer_object_nulls=True)
    return rows


def _every_key(joins: Sequence[Join], start: dt.datetime, end: dt.datetime) -> pd.DataFrame:
    """Without an entity_df: the keys that have a row between the two, asked at the end."""
    keys = keys_between(joins, start, end)
    asked = keys.with_columns(pl.lit(end).cast(INSTANT).alias("event_timestamp"))
    rows: pd.DataFrame = asked.to_arrow().to_pandas()
    return rows


def _doors(config: RepoConfig) -> dict[str, Any]:
    """How Feast's own queries read and write."""
    return {
        "data_source_reader": partial(_read, config),
        "data_source_writer": _write_data_source,
        "staging_location": config.offline_store.staging_location,
        "staging_location_endpoint_override": config.offline_store.staging_location_endpoint_override,
    }


def _append(config: RepoConfig, table: Any, source: Any, repo_path: str) -> None:
    """Rows behind those of a file, or as one more file of a folder; readers see all of them or none."""
    if not isinstance(source, FileSource) or not _is_parquet(source):
        _write_data_source(table, source, repo_path)
        return
    place, rows = Path(_path_of(source, config)), table.to_pyarrow()
    target = place
    if place.is_dir():
        target = place / f"appended-{len(list(place.iterdir())):06d}.parquet"
    elif place.exists():
        older = pq.read_table(place)
        rows = pa.concat_tables([older, rows.cast(older.schema)])
    unfinished = target.with_name(f".{target.name}.unfinished")
    pq.write_table(rows, unfinished)
    unfinished.replace(target)


def _read(config: RepoConfig, source: Any, repo_path: str) -> Any:
    """The source as Feast's queries want it, from the same files the join reads."""
    if isinstance(source, FileSource) and _is_parquet(source):
        return ibis.read_parquet([str(file) for file in files_of(_path_of(source, config))])
    return _read_data_source(source, repo_path)
