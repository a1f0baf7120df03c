"""An as-of join: to each asked row, the newest feature row of its keys that it could have known.

Law: a row finds the newest row of its keys whose event time is at or before its own moment and at most TTL
older (inclusive); with `known_only`, only rows created at or before its moment count. Among equal event times
the last created wins, then the last written. What finds nothing is null; a null key or moment finds nothing.
Rows keep their number and order. Times are compared in whole UTC microseconds.

polars reads the sources and gathers the answers; which row answers is found by asof_search.py. The two stand
alone, so that they can be copied into another repository.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .asof_search import NOTHING, Timelines

Ints = NDArray[np.int64]
INSTANT = pl.Datetime("us", "UTC")

BEFORE_ALL_US = -(2**63)
"""Where a null moment stands: before every event, so that it finds nothing."""

FOREVER_US = 2**62
"""The longest TTL there is."""

ASKED, KNOWN, EVENT, CREATED = ".asked_us", ".known_us", ".event_us", ".created_us"
NUMBER = ".number"
"""Columns of our own begin with a dot, so that a source or a question may have any usual name."""

AHEAD = 2
"""Views searched at once: more would hold more sources in memory."""

SPARSE = 4
"""Integer keys are numbered through if that takes at most this many numbers per row."""


@dataclass(frozen=True)
class Join:
    """One view to join: its file or folder, which of our columns hold its keys, what to take and as what."""

    path: str
    keys: dict[str, str]  # column of the source -> column of the questions
    features: dict[str, str]  # column of the source -> column of the answer
    event: str
    created: str | None
    ttl: dt.timedelta | None

    @property
    def ttl_us(self) -> int:
        """How much older than a question its answer may be."""
        return FOREVER_US if self.ttl is None else min(self.ttl // dt.timedelta(microseconds=1), FOREVER_US)

    @property
    def columns(self) -> list[str]:
        """What is read of the source; a column that serves twice is named once."""
        clocks = [self.event, *([self.created] if self.created else [])]
        return list(dict.fromkeys([*self.keys, *self.features, *clocks]))


def as_of(asked: pl.DataFrame, join: Join, known_only: bool) -> list[pl.Series]:
    """The join's feature columns, one value per asked row and in its order.

    `asked` has the key columns and `asked_at`, an INSTANT.
    """
    return list(answers(asked.drop("asked_at"), asked["asked_at"], [join], known_only))


def answers(
    keys: pl.DataFrame, moments: pl.Series, joins: Sequence[Join], known_only: bool
) -> Iterator[pl.Series]:
    """Every join's feature columns in turn. Only row numbers are searched for, and features gathered once."""
    for join in joins:
        _refuse_other_types(keys, join)
    when = moments.to_physical().fill_null(BEFORE_ALL_US).to_frame(ASKED)
    asked = when.with_columns(keys.get_columns())
    for join, (source, rows) in zip(joins, _all_found(asked, joins, known_only, _span(moments)), strict=True):
        for name, shown in join.features.items():
            yield source[name].gather(rows).alias(shown)


def _all_found(
    asked: pl.DataFrame, joins: Sequence[Join], known_only: bool, span_us: tuple[int, int] | None
) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
    """Each join's source and the rows found in it, the next one being searched while one is gathered."""

    def found(join: Join) -> tuple[pl.DataFrame, pl.Series]:
        source = _source(join, known_only, span_us)
        return source, _rows_found(asked, source, join)

    with ThreadPoolExecutor(AHEAD) as pool:
        waiting = list(joins)
        coming = deque(pool.submit(found, waiting.pop(0)) for _ in joins[:AHEAD])
        while coming:
            ready = coming.popleft().result()
            if waiting:
                coming.append(pool.submit(found, waiting.pop(0)))
            yield ready


def files_of(path: str) -> list[Path]:
    """The parquet files of a source: the file itself, or those below a folder, in order of their names.

    What is hidden (`.`, `_`) or ends otherwise is unfinished or no table, and never read.
    """
    place = Path(path)
    if not place.is_dir():
        if place.is_file():
            return [place]
        raise FileNotFoundError(
            f"no file or folder {path}; a source is one parquet file or a folder of them."
        )
    found = [file for file in sorted(place.rglob("*.parquet")) if not _is_hidden(file.relative_to(place))]
    if not found:
        raise FileNotFoundError(f"no .parquet file in {path}; write one, or name the right folder.")
    return found


def keys_between(joins: Sequence[Join], start: dt.datetime, end: dt.datetime) -> pl.DataFrame:
    """The distinct keys that any join has a row of between two moments (inclusive), sorted.

    All joins must have the same keys: a row is a user or a video, not both. No keys, no columns.
    """
    if len({frozenset(join.keys.values()) for join in joins}) > 1:
        kinds = " and ".join(sorted({str(list(join.keys.values())) for join in joins}))
        raise ValueError(
            f"views have keys {kinds}; without entity_df all must have the same: ask one by one."
        )
    if not joins[0].keys:
        return pl.DataFrame()
    return pl.concat([_keys_in(join, start, end) for join in joins]).unique().sort(pl.all())


def _keys_in(join: Join, start: dt.datetime, end: dt.datetime) -> pl.DataFrame:
    rows, schema = _scan(join)
    event = _moment(join.event, schema, join)
    keys = [pl.col(theirs).alias(mine) for theirs, mine in sorted(join.keys.items(), key=lambda k: k[1])]
    within = rows.filter(event.is_between(pl.lit(start, INSTANT), pl.lit(end, INSTANT)))
    return within.select(keys).drop_nulls().unique().collect()


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _span(moments: pl.Series) -> tuple[int, int] | None:
    """The first and last moment asked about; None if there is none."""
    first, last = moments.to_physical().min(), moments.to_physical().max()
    return (first, last) if isinstance(first, int) and isinstance(last, int) else None


def _rows_found(asked: pl.DataFrame, source: pl.DataFrame, join: Join) -> pl.Series:
    """The number of the source row each asked row finds, or null."""
    theirs, mine, count = _numbers(asked, source, join)
    clocks = [source[clock].to_numpy() for clock in (KNOWN, EVENT, CREATED) if clock in source.columns]
    timelines = Timelines.of(theirs, count, clocks)
    rows = pl.Series(timelines.newest(mine, asked[ASKED].to_numpy(), join.ttl_us))
    return rows.set(rows == NOTHING, None).cast(pl.get_index_type())


def _numbers(asked: pl.DataFrame, source: pl.DataFrame, join: Join) -> tuple[Ints, Ints, int]:
    """Each distinct key as one number below the third: of the source's rows, of the asked ones or NOTHING.

    Integers that lie close together are numbered through; other keys are looked up among the source's.
    """
    theirs = {key: pl.col(key) for key in join.keys}
    mine = {key: _asked_key(name, source.schema[key]) for key, name in join.keys.items()}
    spans = [_key_span(source[key]) for key in join.keys]
    known = [span for span in spans if span is not None]
    count = math.prod(high - low + 1 for low, high in known)
    if len(known) == len(spans) and count <= SPARSE * (len(source) + len(asked)) + 1:
        return _as_ints(source, _numbered(theirs, known)), _as_ints(asked, _numbered(mine, known)), count
    distinct = source.select(*join.keys).unique().with_row_index(NUMBER)
    found, looked_up = (
        keys.join(distinct, on=[*join.keys], how="left", maintain_order="left")
        for keys in (source.select(*join.keys), asked.select(**mine))
    )
    return _as_ints(found, pl.col(NUMBER)), _as_ints(looked_up, pl.col(NUMBER)), len(distinct)


def _as_ints(rows: pl.DataFrame, number: pl.Expr) -> Ints:
    """int64[rows]: a number per row, NOTHING for null."""
    numbered = rows.with_columns(number.cast(pl.Int64).fill_null(NOTHING).alias(NUMBER))
    return numbered[NUMBER].to_numpy()


def _numbered(keys: dict[str, pl.Expr], spans: Sequence[tuple[int, int]]) -> pl.Expr:
    """The place of a combination among all; null for a key outside its span, which no source row has."""
    number = pl.lit(0, pl.Int64)
    for value, (low, high) in zip(keys.values(), spans, strict=True):
        inside = pl.when(value.is_between(low, high)).then(value)
        number = number * (high - low + 1) + (inside.cast(pl.Int64) - low)
    return number


def _key_span(key: pl.Series) -> tuple[int, int] | None:
    """The least and greatest of an integer key that fits Int64; (0, 0) if there are none."""
    if not key.dtype.is_integer() or key.dtype in (pl.UInt64, pl.Int128, pl.UInt128):
        return None
    low, high = key.min(), key.max()
    return (low, high) if isinstance(low, int) and isinstance(high, int) else (0, 0)


def _asked_key(mine: str, theirs: pl.DataType) -> pl.Expr:
    """The asked key in the source's type; a number the type cannot hold is null, which finds nothing."""
    return pl.col(mine).cast(theirs, strict=False)


def _refuse_other_types(asked: pl.DataFrame, join: Join) -> None:
    """Keys must be of the source's kind: text never equals a number, and half a key is none."""
    _, schema = _scan(join)
    for theirs, mine in join.keys.items():
        here, there = asked.schema[mine], schema[theirs]
        if here == pl.Null or _kind(here) == _kind(there):
            continue
        if here.is_float() and there.is_integer() and _is_whole(asked[mine]):
            continue
        found = f"{here} with fractions" if here.is_float() and there.is_integer() else str(here)
        must = f"must be {there} like {theirs!r} of {join.path}; cast it"
        raise TypeError(f"column {mine!r} of entity_df is {found}, {must}.")


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "integer"
    return "text" if dtype in (pl.String, pl.Categorical, pl.Enum) else str(dtype)


def _is_whole(numbers: pl.Series) -> bool:
    """Whether floats are integers, as pandas keeps integers with nulls."""
    kept = numbers.drop_nulls()
    return bool((kept == kept.floor()).all())


def _source(join: Join, known_only: bool, span_us: tuple[int, int] | None) -> pl.DataFrame:
    """The rows that can be an answer to some asked moment, with the clocks that order them.

    A row is known at its event or, with `known_only`, at the later of event and creation. A clock that says
    what the one before it says is left out.
    """
    rows, schema = _scan(join)
    event = _moment(join.event, schema, join)
    clocks = {KNOWN: event}
    whole = [pl.col(key).is_not_null() for key in join.keys]
    if join.created is not None:
        created = _moment(join.created, schema, join)
        clocks = {KNOWN: event, EVENT: event, CREATED: created.fill_null(pl.lit(BEFORE_ALL_US).cast(INSTANT))}
        if known_only:
            clocks[KNOWN] = pl.max_horizontal(event, created)
            whole.append(created.is_not_null())
    answering = rows.filter(*whole, *_reach(event, join, span_us))
    values = [_key(key, schema) for key in join.keys] + [n for n in join.features if n not in join.keys]
    return answering.select(
        *values, **{name: clock.to_physical() for name, clock in clocks.items()}
    ).collect()


def _reach(event: pl.Expr, join: Join, span_us: tuple[int, int] | None) -> list[pl.Expr]:
    """What keeps out the rows no asked moment can find: those after the last, those expired by the first."""
    if span_us is None:
        return [pl.lit(False)]
    first, last = (pl.lit(moment, pl.Int64).cast(INSTANT) for moment in span_us)
    return [event <= last, *([] if join.ttl is None else [event >= first - pl.lit(join.ttl)])]


def _key(column: str, schema: pl.Schema) -> pl.Expr:
    return pl.col(column).cast(pl.String) if _kind(schema[column]) == "text" else pl.col(column)


def _scan(join: Join) -> tuple[pl.LazyFrame, pl.Schema]:
    """The source's rows and types; every file must be whole and have the columns in the same types."""
    files = files_of(join.path)
    schema = _schema_of(files[0], join.columns)
    for file in files[1:]:
        for column, dtype in _schema_of(file, join.columns).items():
            if dtype != schema[column]:
                must = f"must be {schema[column]} as in {files[0]}; write it again"
                raise TypeError(f"column {column!r} of {file} is {dtype}, {must}.")
    rows = pl.scan_parquet(files, extra_columns="ignore", hive_partitioning=False).select(join.columns)
    return rows, schema


def _schema_of(file: Path, columns: Sequence[str]) -> pl.Schema:
    """The types of the wanted columns, from the end of the file: one that was cut off has none."""
    try:
        schema = pl.read_parquet_schema(file)
    except pl.exceptions.ComputeError as error:
        raise ValueError(
            f"{file} is no whole parquet file ({error}); write it again or remove it."
        ) from error
    for column in columns:
        if column not in schema:
            raise KeyError(f"{file} has no column {column!r}; it has {', '.join(schema)}.")
    return pl.Schema({column: schema[column] for column in columns})


def _moment(column: str, schema: pl.Schema, join: Join) -> pl.Expr:
    """A source's timestamp in UTC; one without a zone is UTC, as Feast reads it."""
    dtype = schema[column]
    if dtype == INSTANT:
        return pl.col(column)
    if isinstance(dtype, pl.Datetime):
        zoned = pl.col(column) if dtype.time_zone else pl.col(column).dt.replace_time_zone("UTC")
        return zoned.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    if dtype == pl.Date:
        return pl.col(column).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    raise TypeError(f"column {column!r} of {join.path} is {dtype}, must be a timestamp; cast it.")
