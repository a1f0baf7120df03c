"""The one schema of each kind of event, checked at every door: a bad batch is refused whole.

Law: columns and dtypes are exactly those of events.KINDS; ids and clocks are never null; counts are never
negative; one event id has one body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from math import inf
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from feature_repo.events import CONTENT_SIZE, KINDS, POSITIONS_PER_REQUEST, REACTIONS, TOPICS

if TYPE_CHECKING:
    import pandera.polars as pa


class BadLog(ValueError):
    """Events that break a rule of the log: names the kind, the column and the rule. Nothing was stored."""

    def __init__(
        self, kind: str, column: str, rule: str, todo: str = "repair the events and send them again"
    ):
        super().__init__(f"{kind}.{column}: {rule}; {todo}.")
        self.kind = kind
        self.column = column
        self.rule = rule


NULLABLE = frozenset(
    {
        ("served", "propensity"),
        ("served", "source"),
        ("served", "features"),
        ("served", "features_time"),
        ("requested", "catalogue_time"),
        ("requested", "loaded_time"),
        ("watched", "duration_ms"),
        ("followed", "impression_id"),
        ("surveyed", "answer"),
        ("uploaded", "topic"),
        ("uploaded", "duration_ms"),
        ("uploaded", "content"),
        ("uploaded", "headline_score"),
        ("uploaded", "production_score"),
        *(("joined", band) for band in list(KINDS["joined"])[4:]),
    }
)
"""The columns where null means "unknown"; everywhere else null is refused."""

_RANGES: dict[str, tuple[float | None, float | None]] = {
    "user_id": (0, None),
    "video_id": (0, None),
    "creator_id": (0, None),
    "request_id": (0, None),
    "impression_id": (0, None),
    "position": (0, POSITIONS_PER_REQUEST - 1),
    "propensity": (0, 1),
    "surface": (0, None),
    "limit": (1, POSITIONS_PER_REQUEST),
    "seed": (0, None),
    "watched_ms": (0, None),
    "duration_ms": (1, None),
    "answer": (1, 5),
    "topic": (0, TOPICS - 1),
}


def validated(kind: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows with columns in schema order, or BadLog naming the column and the rule."""
    if kind not in KINDS:
        raise BadLog(kind, "*", f"no such kind of event, must be one of {', '.join(KINDS)}")
    _refuse_wrong_columns(kind, frame)
    ordered = frame.select(list(KINDS[kind]))
    _refuse_by_schema(kind, ordered)
    _refuse_other_bodies(kind, ordered)
    return ordered


def without_repeats(kind: str, frame: pl.DataFrame) -> pl.DataFrame:
    """One row per event id, the first; BadLog if a repeated id has another body."""
    doubted = _share_a_hash(frame["event_id"])
    if not doubted.any():
        return frame
    few = frame.filter(doubted)
    _refuse_other_bodies(kind, few)
    kept = ~doubted.to_numpy()
    kept[~kept] = few["event_id"].is_first_distinct().to_numpy()
    return frame.filter(kept)


def _refuse_wrong_columns(kind: str, frame: pl.DataFrame) -> None:
    for column, dtype in KINDS[kind].items():
        if column not in frame.columns:
            raise BadLog(kind, column, f"column is missing, must be {dtype}")
        if frame.schema[column] != dtype:
            raise BadLog(kind, column, f"dtype is {frame.schema[column]}, must be {dtype}")
    for column in frame.columns:
        if column not in KINDS[kind]:
            raise BadLog(kind, column, "column is not in the schema", "drop it")


def _refuse_by_schema(kind: str, frame: pl.DataFrame) -> None:
    if _holds(kind, frame):
        return
    from pandera.errors import SchemaError

    try:
        _schema(kind).validate(frame)
    except SchemaError as error:
        raise BadLog(kind, _column_of(error), _rule_of(error, frame)) from error


def _holds(kind: str, frame: pl.DataFrame) -> bool:
    """Whether every rule of the schema holds; pandera is asked only to name the one that does not."""
    rules = [rule.all() for column in frame.columns for rule, _ in _rules(column)]
    known = [pl.col(column).null_count() == 0 for column in frame.columns if (kind, column) not in NULLABLE]
    return bool(frame.select(pl.all_horizontal(*rules, *known)).item())


def _refuse_other_bodies(kind: str, frame: pl.DataFrame) -> None:
    """The same id twice is a retry if the bodies agree, and two different facts if not."""
    few = frame.filter(_share_a_hash(frame["event_id"]))
    bodies = few.filter(few["event_id"].is_duplicated()).unique(maintain_order=True)
    clash = bodies.filter(bodies["event_id"].is_duplicated())
    if len(clash):
        raise BadLog(kind, "event_id", f"id {clash['event_id'][0]!r} has two different bodies")


def _share_a_hash(ids: pl.Series) -> pl.Series:
    """Which ids may repeat: equal ids have equal hashes, and numbers compare faster than names."""
    hashes = ids.hash()
    rising = np.sort(hashes.to_numpy())
    shared = rising[1:][rising[1:] == rising[:-1]]
    return hashes.is_in(pl.Series(shared).implode()) if len(shared) else hashes != hashes


@cache
def _schema(kind: str) -> pa.DataFrameSchema:
    import pandera.polars as pa

    columns: dict[str, Any] = {
        column: pa.Column(dtype, nullable=(kind, column) in NULLABLE, checks=_checks(column))
        for column, dtype in KINDS[kind].items()
    }
    return pa.DataFrameSchema(columns, strict=True)


def _checks(column: str) -> list[Any]:
    import pandera.polars as pa

    return [pa.Check(partial(_kept, rule), error=words) for rule, words in _rules(column)]


def _kept(rule: pl.Expr, batch: Any) -> pl.LazyFrame:
    kept: pl.LazyFrame = batch.lazyframe.select(rule)
    return kept


def _rules(column: str) -> list[tuple[pl.Expr, str]]:
    """What must hold of each value of this column, and how that reads in an error."""
    value, rules = pl.col(column), []
    low, high = _RANGES.get(column, (None, None))
    if low is not None:
        rules.append((value >= low, f"must be >= {low}"))
    if high is not None:
        rules.append((value <= high, f"must be <= {high}"))
    if column == "reaction":
        rules.append((value.is_in(REACTIONS), f"must be one of {', '.join(REACTIONS)}"))
    if column == "content":
        rules.append((value.list.len() == CONTENT_SIZE, f"must have {CONTENT_SIZE} numbers"))
    return rules


def _column_of(error: Any) -> str:
    return str(getattr(error.schema, "name", None) or "*")


def _rule_of(error: Any, frame: pl.DataFrame) -> str:
    column = _column_of(error)
    check = getattr(error, "check", None)
    if "null" in str(check):
        return f"{frame[column].null_count()} of {len(frame)} values are null, must not be null"
    return f"a value {getattr(check, 'error', None) or check}"


def refuse_bad_event(event: Mapping[str, Any]) -> None:
    """The same rules for one event, a mapping with "kind" and `..._time_us` moments; BadLog if broken.

    A null may be left out. The row-wise twin of `validated`, for doors that cannot wait for a frame.
    """
    if _is_plainly_good(event):
        return
    kind = str(event.get("kind"))
    if kind not in KINDS:
        raise BadLog(kind, "kind", f"no such kind of event, must be one of {', '.join(KINDS)}")
    rules = _value_rules(kind)
    for key in event.keys() - rules.keys() - {"kind"}:
        raise BadLog(kind, key, "is not in the schema", "leave it out")
    for key, rule in rules.items():
        rule.refuse_bad(event.get(key))


def refuse_bad_columns(kind: str, columns: Mapping[str, Sequence[Any]]) -> None:
    """The same rules for some columns of events that are about to be made, one value per event."""
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) > 1 or max(counts.values()) > POSITIONS_PER_REQUEST:
        must = f"must have as many each, {POSITIONS_PER_REQUEST} at most"
        raise BadLog(kind, "*", f"columns have {counts} values, {must}")
    rules = _value_rules(kind)
    for name, values in columns.items():
        for value in values:
            rules[name].refuse_bad(value)


def _is_plainly_good(event: Mapping[str, Any]) -> bool:
    """Whether comparing its numbers is enough to see that every rule holds; if not, the rules are asked."""
    bounds = _bounds(str(event.get("kind")), tuple(event), tuple(map(type, event.values())))
    return bounds is not None and not [key for key, low, high in bounds if not low <= event[key] <= high]


@lru_cache(maxsize=1_000)
def _bounds(
    kind: str, keys: tuple[str, ...], types: tuple[type, ...]
) -> list[tuple[str, float, float]] | None:
    """Between what the numbers of an event with these keys and types must lie; None if that is not all."""
    if kind not in KINDS:
        return None
    rules, found = _value_rules(kind), dict(zip(keys, types, strict=True))
    asked = [(key, rule, found.get(key, NoneType)) for key, rule in rules.items()]
    if found.keys() - rules.keys() - {"kind"} or not all(rule.allows(each) for _, rule, each in asked):
        return None
    return [(key, *rule.bounds) for key, rule, each in asked if each in (int, float)]


@cache
def _value_rules(kind: str) -> dict[str, _ValueRule]:
    """By key of an event outside tables."""
    return {key_of(column): _value_rule(kind, column) for column in KINDS[kind]}


def key_of(column: str) -> str:
    """The name of a column in an event outside tables: moments are int microseconds there."""
    return f"{column}_us" if column.endswith("_time") else column


@dataclass(frozen=True)
class _ValueRule:
    """What one value of an event must be."""

    kind: str
    column: str
    nullable: bool
    types: tuple[type, ...]
    low: float | None
    high: float | None
    fits: int | None
    """The largest magnitude its column holds."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Between what a number must lie."""
        most = self.fits or inf
        low, high = -inf if self.low is None else self.low, inf if self.high is None else self.high
        return max(low, -most), min(high, most)

    def allows(self, found: type) -> bool:
        """Whether a value of this type is good as far as comparing numbers does not tell."""
        if found is NoneType:
            return self.nullable
        return found in self.types and self.column not in ("reaction", "content")

    def refuse_bad(self, value: Any) -> None:
        if value is None:
            if not self.nullable:
                raise BadLog(self.kind, self.column, "is null, must not be null")
            return
        if type(value) not in self.types:
            must = f"must be {KINDS[self.kind][self.column]}"
            raise BadLog(self.kind, self.column, f"is {type(value).__name__}, {must}")
        if self.fits and abs(int(value)) > self.fits:
            raise BadLog(
                self.kind, self.column, f"value {value} does not fit {KINDS[self.kind][self.column]}"
            )
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise BadLog(self.kind, self.column, f"value {value} is outside [{self.low}, {self.high}]")
        if self.column == "reaction" and value not in REACTIONS:
            raise BadLog(self.kind, self.column, f"value {value!r} must be one of {', '.join(REACTIONS)}")
        if self.column == "content" and len(value) != CONTENT_SIZE:
            raise BadLog(self.kind, self.column, f"has {len(value)} numbers, must have {CONTENT_SIZE}")


def _value_rule(kind: str, column: str) -> _ValueRule:
    types, fits = _python_types(KINDS[kind][column])
    return _ValueRule(
        kind, column, (kind, column) in NULLABLE, types, *_RANGES.get(column, (None, None)), fits
    )


def _python_types(dtype: Any) -> tuple[tuple[type, ...], int | None]:
    """Which Python types hold a value of this dtype, and the largest magnitude that fits."""
    if dtype == pl.Int16:
        return (int,), 2**15 - 1
    if dtype == pl.Int64 or isinstance(dtype, pl.Datetime):
        return (int,), 2**63 - 1
    if dtype in (pl.Float32, pl.Float64):
        return (int, float), None
    if dtype == pl.Boolean:
        return (bool,), None
    return ((str,), None) if dtype == pl.String else ((list,), None)
