"""An as-of join: to each asked row, the newest feature row of its keys that it could have known.

Law: a row finds the newest row of its keys whose event time is at or before its own moment and at most TTL
older (inclusive); with `known_only`, only rows created at or before its moment count. Among equal event times
the last created wins, then the last written. What finds nothing is null; a null key or moment finds nothing.
Rows keep their number and order. Times are compared in whole UTC microseconds.

Stands alone: polars is all it needs, so that it can be copied into another repository.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

INSTANT = pl.Datetime("us", "UTC")

ASKED_AT_ONCE = 4_000_000
"""Rows joined at once: the join's own copies of them stay below half a GiB, however many are asked."""

BEFORE_ALL_US = -(2**63)
"""Where a null moment stands: before every event, so that it finds nothing."""

ASKED, KNOWN, EVENT, CREATED, UNTIL = ".asked_us", ".known_us", ".event_us", ".created_us", ".until_us"
QUESTION, ROW, GROUP = ".question", ".row", ".group"
"""Columns of our own begin with a dot, so that a source or a question may have any usual name."""

PACKABLE = 2**62
"""Several integer keys become one if they have fewer combinations than this."""


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
    keys: pl.DataFrame,
    moments: pl.Series,
    joins: Sequence[Join],
    known_only: bool,
    at_once: int = ASKED_AT_ONCE,
) -> Iterator[pl.Series]:
    """Every join's feature columns in turn. Only row numbers are joined, and features gathered once."""
    for join in joins:
        _refuse_other_types(keys, join)
    parts = list(_in_time_order(keys, moments, at_once))
    for join in joins:
        source = _source(join, known_only, _span(moments))
        theirs, mine = _groups(source, join)
        known = source.select(KNOWN, UNTIL, *theirs).with_row_index(ROW)
        rows = pl.concat([_rows_found(part.select(ASKED, *_way_back(part), *mine), known) for part in parts])
        for name, shown in join.features.items():
            yield source[name].gather(rows).alias(shown)


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


def _in_time_order(keys: pl.DataFrame, moments: pl.Series, at_once: int) -> Iterator[pl.DataFrame]:
    """The rows in parts as join_asof wants them; a part that had to be sorted has a column to undo it by."""
    asked = moments.to_physical().fill_null(BEFORE_ALL_US)
    for low in range(0, max(1, len(asked)), at_once):
        when = asked.slice(low, at_once).to_frame(ASKED)
        part = when.with_columns(keys.slice(low, at_once).get_columns())
        yield part if part[ASKED].is_sorted() else part.with_row_index(QUESTION).sort(ASKED)


def _way_back(asked: pl.DataFrame) -> list[str]:
    return [QUESTION] if QUESTION in asked.columns else []


def _rows_found(asked: pl.DataFrame, known: pl.DataFrame) -> pl.Series:
    """The number of the source row each asked row finds, or null, in the order of the questions."""
    found = asked.join_asof(
        known,
        left_on=ASKED,
        right_on=KNOWN,
        by=[name for name in known.columns if name.startswith(GROUP)],
        strategy="backward",
        check_sortedness=False,  # it cannot judge groups; _source and _in_time_order have seen to it
    )
    alive = pl.col(UNTIL).is_null() | (pl.col(UNTIL) >= pl.col(ASKED))
    answer = found.select(*_way_back(asked), pl.when(alive).then(ROW).alias(ROW))
    return (answer.sort(QUESTION) if _way_back(asked) else answer)[ROW]


def _groups(source: pl.DataFrame, join: Join) -> tuple[list[pl.Expr], list[pl.Expr]]:
    """The columns that must be equal: of the source, and of the asked rows.

    Several integer keys are numbered through as one, which joins a third faster; no key is one group.
    """
    theirs: dict[str, pl.Expr] = {key: pl.col(key) for key in join.keys}
    mine = {key: _asked_key(name, source.schema[key]) for key, name in join.keys.items()}
    spans = [_key_span(source[key]) for key in join.keys]
    known = [span for span in spans if span is not None]
    if len(known) == len(spans) != 1 and math.prod(high - low + 1 for low, high in known) < PACKABLE:
        return [_numbered(theirs, known).alias(GROUP)], [_numbered(mine, known).alias(GROUP)]
    names = {key: f"{GROUP}{place}" for place, key in enumerate(join.keys)}
    return [theirs[key].alias(name) for key, name in names.items()], [
        mine[key].alias(name) for key, name in names.items()
    ]


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
    """The rows that can be an answer, each key's in the order in which they become one.

    A row is known at its event or, with `known_only`, at the later of event and creation; then it is an
    answer only if no newer event was known by then. UNTIL is the last moment it may answer.
    """
    rows, schema = _scan(join)
    event = _moment(join.event, schema, join)
    created = event if join.created is None else _moment(join.created, schema, join)
    clocks = {
        EVENT: event,
        CREATED: created,
        KNOWN: pl.max_horizontal(event, created) if known_only else event,
        UNTIL: event + pl.lit(join.ttl, pl.Duration("us")),
    }
    dated = [created.is_not_null()] if known_only else []
    answering = rows.filter(*dated, *_reach(event, join, span_us))
    values = [_key(key, schema) for key in join.keys] + [n for n in join.features if n not in join.keys]
    found = answering.select(*values, **{name: clock.to_physical() for name, clock in clocks.items()})
    return _records(_ordered(found.collect(), list(join.keys)), list(join.keys))


def _reach(event: pl.Expr, join: Join, span_us: tuple[int, int] | None) -> list[pl.Expr]:
    """What keeps out the rows no asked moment can find: those after the last, those expired by the first."""
    if span_us is None:
        return [pl.lit(False)]
    first, last = (pl.lit(moment, pl.Int64).cast(INSTANT) for moment in span_us)
    return [event <= last, *([] if join.ttl is None else [event >= first - pl.lit(join.ttl)])]


def _key(column: str, schema: pl.Schema) -> pl.Expr:
    return pl.col(column).cast(pl.String) if _kind(schema[column]) == "text" else pl.col(column)


def _ordered(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Each key's rows by known, event and created time, nulls first; equal ones as they were written.

    Only the order within a key counts, so what lies sorted by key and time is left as it is.
    """
    clocks = [KNOWN]
    for clock in (EVENT, CREATED):  # one that repeats another tells nothing, and costs a slower sort
        if not any(rows[clock].equals(rows[other]) for other in clocks):
            clocks.append(clock)
    if _is_in_order(rows, [*keys, *clocks]) or _is_in_order(rows, clocks):
        return rows
    return rows.sort(clocks, nulls_last=False, maintain_order=True)


def _records(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Ordered rows less those that became known after a newer event of their key: they never answer."""
    if rows[KNOWN].equals(rows[EVENT]):
        return rows
    newest = pl.col(EVENT).cum_max()
    return rows.filter(pl.col(EVENT) == (newest.over(keys) if keys else newest))


def _is_in_order(rows: pl.DataFrame, columns: Sequence[str]) -> bool:
    """Whether rows never go down, compared by the first column, then the next; a null is not judged."""
    follows = pl.lit(True)
    for column in reversed(columns):
        here, before = pl.col(column), pl.col(column).shift()
        follows = (here > before) | ((here == before) & follows)
    return bool(rows.select(follows.fill_null(False).slice(1).all()).item())


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
