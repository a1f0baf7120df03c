"""The step tables once more, as SQL from the catalogue: what engines of tables run, and an oracle for ours.

Law: a fact enters every sum it counts in just after it was known, +amount at known_us + 1, and leaves it just
after its window, -amount at event_us + window + 1. Changes of one key and moment are added up, a moment at
which every sum keeps its value is no step, and a running total over a key's moments is what the sums are from
there on. Amounts are whole numbers, so the totals are exact in any order of addition.

Training rows find the steps that held at their moment by `as_of`, in SQL as well.
Statements are the same for DuckDB and Spark but for four words (`Dialect`). They read the log's tables
under the names of their kinds; a row that repeats counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from feature_repo.catalogue import PRIORS, PROFILES, STATS, STRENGTH, UNITS, Feature, View
from feature_repo.clock import DAY_US
from feature_repo.events import KINDS
from feature_repo.labels import LONG_WATCH_MS

AFTER_THE_END_US = 30 * DAY_US
"""Steps go on this long after `until`, inclusive: facts leave their windows when the log has ended."""


@dataclass(frozen=True)
class Dialect:
    """How an engine says what SQL has no one word for; `{}` is the argument."""

    micros: str  # a timestamp as microseconds since 1970
    moment: str  # the timestamp of such microseconds
    nearest: str  # the nearest whole number of a double, ties to even
    instant: str  # the type of such a timestamp


DUCKDB = Dialect("epoch_us({})", "make_timestamptz({})", "round_even({}, 0)", "TIMESTAMPTZ")
SPARK = Dialect("unix_micros({})", "timestamp_micros({})", "rint({})", "TIMESTAMP")

READ: Mapping[str, tuple[str, ...]] = {
    "served": ("impression_id", "video_id"),
    "watched": ("user_id", "video_id", "watched_ms", "duration_ms"),
    "reacted": ("user_id", "video_id", "reaction"),
    "followed": ("impression_id", "user_id", "creator_id"),
    "uploaded": ("video_id", "creator_id", "topic", "duration_ms", "headline_score", "production_score"),
    "joined": ("user_id", *list(KINDS["joined"])[4:]),
}
"""The kinds of event that features are made of, and the columns that are read beside id and clocks."""

_TYPES = {
    pl.String: "STRING",
    pl.Int16: "SMALLINT",
    pl.Int64: "BIGINT",
    pl.Float32: "FLOAT",
}
_CLOCKS = ("event_id", "event_time", "known_time")


def columns_read(kind: str) -> tuple[str, ...]:
    """The columns of a kind's table that the statements name."""
    return (*_CLOCKS, *READ[kind])


def empty_table(dialect: Dialect, kind: str) -> str:
    """A table of this kind without rows, for a log that holds none."""
    types = {str(dtype): name for dtype, name in _TYPES.items()}
    columns = [
        f"CAST(NULL AS {types.get(str(KINDS[kind][column]), dialect.instant)}) AS {column}"
        for column in columns_read(kind)
    ]
    return f"SELECT {', '.join(columns)} WHERE 1 = 0"


def relations(dialect: Dialect, until_us: int) -> Iterator[tuple[str, str]]:
    """(name, select), each after those it stands on: known events, firsts, acts, facts, views."""
    for kind in READ:
        yield f"known_{kind}", _known(dialect, kind, until_us)
    yield "first_uploaded", _first("known_uploaded", ("video_id",), "told_us, event_id")
    yield "first_joined", _first("known_joined", ("user_id",), "told_us, event_id")
    yield "first_followed", _first("known_followed", ("user_id", "creator_id"), "known_us, event_us")
    yield "acts", _acts(dialect)
    yield "facts", _FACTS
    for view in PROFILES:
        yield view.name, _profile(dialect, view)
    for view in STATS:
        yield view.name, _steps(dialect, view, until_us + AFTER_THE_END_US)


def columns_of(view: View) -> tuple[str, ...]:
    """The columns of a view's table, in their order."""
    return (*view.keys, *view.names, "event_timestamp")


def order_of(view: View) -> tuple[str, ...]:
    """What a view's table is sorted by."""
    return (*view.keys, "event_timestamp")


@dataclass(frozen=True)
class Join:
    """One source joined as of the moments of questions: its relation, and our names for what it holds."""

    source: str
    keys: Mapping[str, str]  # column of the source -> column of the questions
    features: Mapping[str, str]  # column of the source -> column of the answer
    moment: str  # column of the source
    ttl_us: int | None


def as_of(dialect: Dialect, join: Join, questions: str, asked: str) -> str:
    """Each question's number and the features of the newest row at or before its moment, within the TTL.

    `questions` has an int64 column `question`; a source has one row per key and moment. Rows and questions of
    a key are lined up by time, rows first, and the newest row so far is the answer: one sort, whatever the
    number of rows within reach. What finds nothing is null.
    """
    theirs, mine = ", ".join(join.keys), ", ".join(f"CAST({key} AS BIGINT)" for key in join.keys.values())
    told, wanted = dialect.micros.format(join.moment), dialect.micros.format(asked)
    same = " AND ".join(f"s.{key} = n.{key}" for key in join.keys)
    alive = "" if join.ttl_us is None else f" AND n.moment_us - n.newest_us <= {join.ttl_us}"
    features = ", ".join(f"s.{name} AS {shown}" for name, shown in join.features.items())
    return f"""
WITH lined_up AS (
    SELECT {theirs}, {told} AS moment_us, {told} AS told_us, 0 AS asks, CAST(NULL AS BIGINT) AS question
    FROM {join.source}
    UNION ALL
    SELECT {mine}, {wanted}, CAST(NULL AS BIGINT), 1, question FROM {questions}
), newest AS (
    SELECT *, max(told_us) OVER (
        PARTITION BY {theirs} ORDER BY moment_us, asks ROWS UNBOUNDED PRECEDING
    ) AS newest_us
    FROM lined_up
)
SELECT n.question, {features}
FROM newest AS n LEFT JOIN {join.source} AS s
    ON {same} AND {dialect.micros.format(f"s.{join.moment}")} = n.newest_us
    AND n.newest_us <= n.moment_us{alive}
WHERE n.asks = 1"""


def two_bodies() -> str:
    """(kind, event_id) of known events that were told with two different bodies; a log has none."""
    ids = [f"SELECT '{kind}' AS kind, event_id FROM known_{kind}" for kind in READ]
    told = " UNION ALL ".join(ids)
    return f"SELECT kind, event_id FROM ({told}) AS told GROUP BY kind, event_id HAVING count(*) > 1 LIMIT 1"


def _known(dialect: Dialect, kind: str, until_us: int) -> str:
    """Events known before `until`, repeats once; a clock ahead of ours counts from when we heard of it."""
    event, known = (dialect.micros.format(clock) for clock in ("event_time", "known_time"))
    clocks = f"{event} AS told_us, least({event}, {known}) AS event_us, {known} AS known_us"
    columns = ", ".join(READ[kind])
    return f"SELECT DISTINCT event_id, {clocks}, {columns} FROM {kind} WHERE {known} < {until_us}"


def _first(relation: str, keys: tuple[str, ...], order: str) -> str:
    place = f"row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY {order}) AS place"
    return f"SELECT * FROM (SELECT *, {place} FROM {relation}) AS ranked WHERE place = 1"


def _acts(dialect: Dialect) -> str:
    """What people did about a video, one row per countable event: an impression is a watched event."""
    duration = f"coalesce(duration_ms, {LONG_WATCH_MS})"
    share = (
        f"least(CAST(watched_ms AS DOUBLE) / CAST({duration} AS DOUBLE), 1e0) * {UNITS['watched_share']}e0"
    )
    is_long = f"watched_ms >= least({LONG_WATCH_MS}, {duration})"
    parts = [
        _act("impressions", "known_watched"),
        _act("long_watch", "known_watched", where=is_long),
        _act("watched_share", "known_watched", dialect.nearest.format(share)),
        _act("watched_ms", "known_watched", "watched_ms"),
        _act("like", "known_reacted", where="reaction = 'like'"),
        _act("share_or_follow", "known_reacted", where="reaction = 'share'"),
        _act("negative", "known_reacted", where="reaction IN ('hide', 'report')"),
        _act("share_or_follow", _FOLLOWED_ON_SCREEN),
    ]
    return "\nUNION ALL ".join(parts)


_FOLLOWED_ON_SCREEN = """(
    SELECT DISTINCT f.event_id, f.event_us, f.known_us, f.user_id, s.video_id
    FROM known_followed AS f JOIN known_served AS s ON f.impression_id = s.impression_id
) AS on_screen"""
"""Follows with the video that was on screen; those from elsewhere are left out."""


def _act(event: str, relation: str, amount: str = "1", where: str = "1 = 1") -> str:
    counted = f"'{event}' AS event, event_us, known_us, CAST({amount} AS BIGINT) AS amount"
    return f"SELECT user_id, video_id, {counted} FROM {relation} WHERE {where}"


_FACTS = """
SELECT a.user_id, a.video_id, u.creator_id, u.topic, a.event, a.event_us, a.known_us,
    greatest(a.known_us, coalesce(u.known_us, a.known_us)) AS made_known_us, a.amount
FROM acts AS a LEFT JOIN first_uploaded AS u ON a.video_id = u.video_id
UNION ALL
SELECT user_id, CAST(NULL AS BIGINT), creator_id, CAST(NULL AS SMALLINT), 'followed', event_us, known_us,
    known_us, CAST(1 AS BIGINT)
FROM first_followed
UNION ALL
SELECT CAST(NULL AS BIGINT), video_id, creator_id, topic, 'uploaded', event_us, known_us,
    known_us, CAST(1 AS BIGINT)
FROM first_uploaded"""
"""One row per fact: keys, null if it has none, two clocks, and the later one that views per maker go by."""


def _steps(dialect: Dialect, view: View, last_us: int) -> str:
    """A row per key and moment at which a sum of the view changes, with every feature from there on."""
    sums = sorted({(event, f.window_us) for f in view.features for event in _ingredients(f)})
    keys, names = ", ".join(view.keys), [_sum_name(*each) for each in sums]
    changes = [f"sum(CASE WHEN {_is(*each)} THEN amount ELSE 0 END) AS {_sum_name(*each)}" for each in sums]
    totals = [f"CAST(sum({name}) OVER so_far AS BIGINT) AS {name}" for name in names]
    values = [f"{_value(feature)} AS {feature.name}" for feature in view.features]
    return f"""
WITH counted AS (
    SELECT {_keys(view)}, f.event, w.window_us, f.amount,
        f.{"made_known_us" if view.per_maker else "known_us"} + 1 AS enters_us,
        f.event_us + w.window_us + 1 AS leaves_us
    FROM facts AS f JOIN (VALUES {_rows(sums)}) AS w(event, window_us) ON f.event = w.event
    WHERE {" AND ".join(f"f.{key} IS NOT NULL" for key in view.keys)}
), changes AS (
    SELECT {keys}, event, window_us, enters_us AS moment_us, amount FROM counted WHERE enters_us < leaves_us
    UNION ALL
    SELECT {keys}, event, window_us, leaves_us, -amount FROM counted WHERE enters_us < leaves_us
), moments AS (
    SELECT {keys}, moment_us, {", ".join(changes)}
    FROM changes WHERE moment_us <= {last_us} GROUP BY {keys}, moment_us
), steps AS (
    SELECT {keys}, moment_us, {", ".join(totals)}
    FROM moments WHERE {" OR ".join(f"{name} <> 0" for name in names)}
    WINDOW so_far AS (PARTITION BY {keys} ORDER BY moment_us ROWS UNBOUNDED PRECEDING)
)
SELECT {keys}, {", ".join(values)}, {dialect.moment.format("moment_us")} AS event_timestamp FROM steps"""


def _profile(dialect: Dialect, view: View) -> str:
    """One row per person or video from its first event, just after that was known."""
    relation = "first_joined" if view.keys == ("user_id",) else "first_uploaded"
    fields = [f"{_field(feature)} AS {feature.name}" for feature in view.features]
    moment = dialect.moment.format("known_us + 1")
    return f"SELECT {_keys(view)}, {', '.join(fields)}, {moment} AS event_timestamp FROM {relation}"


def _field(feature: Feature) -> str:
    """A field of the event under its feature's name: entity_field <- field; NaN where it is unknown."""
    field = feature.name.removeprefix(f"{feature.entity}_")
    if feature.integer:
        return "told_us"
    if feature.codes:
        field = f"CASE WHEN {field} >= {feature.low:.0f} THEN {field} END"  # below is a sentinel: unknown
    if field == "duration_s":
        field = "CAST(duration_ms AS DOUBLE) / 1e3"
    return f"coalesce(CAST({field} AS FLOAT), CAST('NaN' AS FLOAT))"


def _value(feature: Feature) -> str:
    """Counts and sums as they are, rates smoothed and clipped to [0, 1]; in doubles, then as a float."""
    amount = f"CAST({_sum_name(feature.event, feature.window_us)} AS DOUBLE)"
    amount = f"{amount} / {_double(UNITS[feature.event])}" if feature.event in UNITS else amount
    if feature.kind != "rate":
        return f"CAST({amount} AS FLOAT)"
    shown = f"CAST({_sum_name('impressions', feature.window_us)} AS DOUBLE)"
    prior = _double(STRENGTH * PRIORS[feature.event])
    smooth = f"({amount} + {prior}) / ({shown} + {_double(STRENGTH)})"
    return f"CAST(least(greatest({smooth}, 0e0), 1e0) AS FLOAT)"


def _ingredients(feature: Feature) -> tuple[str, ...]:
    return (feature.event, "impressions") if feature.kind == "rate" else (feature.event,)


def _keys(view: View) -> str:
    return ", ".join(f"CAST({key} AS BIGINT) AS {key}" for key in view.keys)


def _is(event: str, window_us: int) -> str:
    return f"event = '{event}' AND window_us = {window_us}"


def _sum_name(event: str, window_us: int) -> str:
    return f"{event}_{window_us}"


def _rows(sums: list[tuple[str, int]]) -> str:
    return ", ".join(f"('{event}', {window_us})" for event, window_us in sums)


def _double(value: float) -> str:
    """A literal that both engines read as this very double, not as a decimal."""
    return f"{value:.17e}"
