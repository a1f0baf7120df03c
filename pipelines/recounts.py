"""What every column of a row was, found anew from raw events: slow, written from the law, no shortcut shared.

Law: at moment t nothing known at or after t is there to be seen. Of the facts known before, a window counts
those that happened at t - window or later; a fact did not happen later than it was known; creators and topics
have no facts before the upload was known. Nothing here knows how the views are built, stored or joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_repo.catalogue import PRIORS, STATS, STRENGTH, UNITS, Feature, View
from feature_repo.context import context_columns
from feature_repo.histories import HISTORY, Histories, watched_share
from feature_repo.labels import LONG_WATCH_MS, long_watch
from feature_repo.log import EventLog
from feature_repo.matrix import assemble
from feature_repo.videos import VideoCatalog
from pipelines.build_training_set import history_columns, tower_scores
from serving.towers import Towers

Ints = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]

TOPICS_BELOW = 1 << 12
"""Topics fit below this, so a pair of keys is one integer."""

MEANINGS = {"like": "like", "share": "share_or_follow", "hide": "negative", "report": "negative"}


@dataclass(frozen=True)
class Ledger:
    """Facts in order of their key: when each happened, when it was known, how much it is."""

    keys: Ints
    event_us: Ints
    known_us: Ints
    amounts: Ints

    @classmethod
    def of(cls, facts: pl.DataFrame, view: View) -> Ledger:
        """The facts that have the view's keys."""
        mine = facts.drop_nulls(list(view.keys))
        late = pl.max_horizontal("known_us", "uploaded_us") if view.per_maker else pl.col("known_us")
        told = mine.select("event_us", late.alias("known_us"), "amount")
        codes = codes_of(mine, view)
        order = np.argsort(codes, kind="stable")
        return cls(codes[order], *(told[name].to_numpy()[order] for name in told.columns))

    def before(self, key: int, moment_us: int) -> tuple[Ints, Ints]:
        """(event_us, amounts) of a key's facts known strictly before: what came later is left behind here."""
        mine = slice(*np.searchsorted(self.keys, (key, key + 1)))
        past = self.known_us[mine] < moment_us
        return self.event_us[mine][past], self.amounts[mine][past]


def codes_of(keys: pl.DataFrame, view: View) -> Ints:
    """One integer per row for the view's keys; -1 where one is missing."""
    first, *second = (keys[key].cast(pl.Int64).fill_null(-1).to_numpy() for key in view.keys)
    if not second:
        return first
    return np.where((first >= 0) & (second[0] >= 0), first * TOPICS_BELOW + second[0], -1)


def facts(log: EventLog) -> dict[str, pl.DataFrame]:
    """What windows count, by event, from the whole log; `Ledger.before` is what leaves out the future."""
    made = log.read("uploaded").unique("video_id", keep="first", maintain_order=True)
    maker = made.select("video_id", "creator_id", "topic", _us("known_time", "uploaded_us"))
    watched = log.read("watched").join(maker, on="video_id", how="left")
    reacted = log.read("reacted").join(maker, on="video_id", how="left")
    followed = log.read("followed")
    shown = log.read("served", columns=("impression_id", "video_id")).unique("impression_id", keep="first")
    on_screen = (
        followed.drop("creator_id").join(shown, on="impression_id").join(maker, on="video_id", how="left")
    )
    first = followed.sort("known_time", "event_time").unique(
        ["user_id", "creator_id"], keep="first", maintain_order=True
    )
    share = (pl.col("watched_ms") / pl.col("duration_ms").fill_null(LONG_WATCH_MS)).clip(0, 1)
    acts = {
        act: _facts(reacted.filter(pl.col("reaction").is_in([r for r, m in MEANINGS.items() if m == act])))
        for act in dict.fromkeys(MEANINGS.values())
    }
    return {
        **acts,
        "impressions": _facts(watched),
        "long_watch": _facts(watched.filter(long_watch(pl.col("watched_ms"), pl.col("duration_ms")))),
        "watched_share": _facts(watched, (share * UNITS["watched_share"]).round()),
        "watched_ms": _facts(watched, pl.col("watched_ms")),
        "share_or_follow": pl.concat([acts["share_or_follow"], _facts(on_screen)]),
        "followed": _facts(first.with_columns(video_id=None, topic=None, uploaded_us=None)),
        "uploaded": _facts(made.with_columns(user_id=None, uploaded_us=None)),
    }


def _us(moment: str, name: str) -> pl.Expr:
    return pl.col(moment).to_physical().alias(name)


def _facts(rows: pl.DataFrame, amount: pl.Expr | None = None) -> pl.DataFrame:
    keys = [pl.col(k).cast(pl.Int64) for k in ("user_id", "video_id", "creator_id", "topic", "uploaded_us")]
    event_us = pl.min_horizontal("event_time", "known_time").to_physical().alias("event_us")
    counted = (pl.lit(1) if amount is None else amount).cast(pl.Int64).alias("amount")
    return rows.select(*keys, event_us, _us("known_time", "known_us"), counted)


def windowed(view: View, ledgers: Mapping[str, Ledger], keys: Ints, moments_us: Ints) -> dict[str, Matrix]:
    """The view's features of each key as of its moment."""
    sums = {
        pair: np.zeros(len(keys), np.int64)
        for feature in view.features
        for pair in ((feature.event, feature.window_us), ("impressions", feature.window_us))
    }
    for row, (key, moment_us) in enumerate(zip(keys.tolist(), moments_us.tolist(), strict=True)):
        past = {event: ledgers[event].before(key, moment_us) for event in {event for event, _ in sums}}
        for (event, window_us), total in sums.items():
            event_us, amounts = past[event]
            total[row] = amounts[event_us >= moment_us - window_us].sum()
    return {feature.name: _value(feature, sums) for feature in view.features}


def _value(feature: Feature, sums: Mapping[tuple[str, int], Ints]) -> Matrix:
    amount = sums[feature.event, feature.window_us] / UNITS.get(feature.event, 1)
    if feature.kind == "rate":
        shown = sums["impressions", feature.window_us]
        amount = (amount + STRENGTH * PRIORS[feature.event]) / (shown + STRENGTH)
        amount = np.clip(amount, 0.0, 1.0)
    return np.asarray(amount, np.float32)


def stored(log: EventLog, table: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Every column a feature view holds, as of each row's `asked_time`."""
    moments = table["asked_time"].to_physical().to_numpy()
    by_event = facts(log)
    columns: dict[str, npt.NDArray[Any]] = {}
    for view in STATS:
        ledgers = {event: Ledger.of(each, view) for event, each in by_event.items()}
        columns |= windowed(view, ledgers, codes_of(table, view), moments)
    return {**columns, **user_profiles(log, table), **video_profiles(log, table)}


def user_profiles(log: EventLog, table: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Of each row's person, as they first joined; NaN if that was not known yet."""
    bands = ("country", "device", "age_band", "activity_band", "fans_band", "follows_band")
    fields = {f"user_{band}": pl.when(pl.col(band) >= 0).then(pl.col(band)) for band in bands} | {
        "user_joined_us": _us("joined_time", "us")
    }
    return _profiles(log.read("joined").with_columns(joined_time="event_time"), table, "user_id", fields)


def video_profiles(log: EventLog, table: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Of each row's video, as it was first uploaded; NaN if that was not known yet."""
    uploaded = log.read("uploaded").rename({"topic": "of_topic", "duration_ms": "length_ms"})
    fields = {
        "video_topic": pl.col("of_topic"),
        "video_duration_s": pl.col("length_ms") / 1000,
        "video_headline_score": pl.col("headline_score"),
        "video_production_score": pl.col("production_score"),
        "video_uploaded_us": _us("uploaded_time", "us"),
    }
    return _profiles(uploaded.with_columns(uploaded_time="event_time"), table, "video_id", fields)


def _profiles(
    events: pl.DataFrame, table: pl.DataFrame, key: str, fields: Mapping[str, pl.Expr]
) -> dict[str, npt.NDArray[Any]]:
    first = events.unique(key, keep="first", maintain_order=True).drop("event_time")
    rows = table.select(key, "asked_time").join(first, on=key, how="left", maintain_order="left")
    known = pl.col("known_time") < pl.col("asked_time")
    told = rows.select(
        pl.when(known).then(value.cast(pl.Float64)).alias(name) for name, value in fields.items()
    )
    return {name: told[name].fill_null(float("nan")).to_numpy() for name in fields}


def histories(log: EventLog, table: pl.DataFrame) -> Histories:
    """The last watches of each row's person known strictly before it, newest first."""
    watched = log.read("watched").sort("user_id", "known_time", "event_time", "impression_id")
    users, known_us = watched["user_id"].to_numpy(), watched["known_time"].to_physical().to_numpy()
    duration = watched["duration_ms"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    seen, shares = watched["video_id"].to_numpy(), watched_share(watched["watched_ms"].to_numpy(), duration)
    videos = np.full((len(table), HISTORY), -1, np.int64)
    weights = np.zeros(videos.shape, np.float32)
    asked = zip(table["user_id"].to_list(), table["asked_time"].to_physical().to_list(), strict=True)
    for row, (user, moment_us) in enumerate(asked):
        mine = slice(*np.searchsorted(users, (user, user + 1)))
        past = np.flatnonzero(known_us[mine] < moment_us)[-HISTORY:][::-1]
        videos[row, : len(past)], weights[row, : len(past)] = seen[mine][past], shares[mine][past]
    return Histories(videos, weights)


def follows(log: EventLog, table: pl.DataFrame) -> Matrix:
    """1 where the row's person was known to follow its creator strictly before, else 0."""
    known = log.read("followed").select("user_id", "creator_id", "known_time")
    asked = table.select("user_id", "creator_id", "asked_time").with_row_index("row")
    before = asked.join(known, on=["user_id", "creator_id"]).filter(
        pl.col("known_time") < pl.col("asked_time")
    )
    return np.isin(np.arange(len(table)), before["row"].to_numpy()).astype(np.float32)


def recounted(log: EventLog, towers: Towers, table: pl.DataFrame) -> Matrix:
    """f32[n, COLUMNS] of rows of the training snapshot, from raw events alone."""
    catalog = VideoCatalog.from_log(log)
    asked = table.with_columns(event_time="asked_time")
    past, columns = histories(log, table), stored(log, table)
    times = table["event_time"].to_physical().to_numpy()
    surface = table["served_surface"].to_numpy()
    context = context_columns(times, surface, columns["video_uploaded_us"], columns["user_joined_us"])
    columns |= {**context, **history_columns(log, catalog, past, asked)}
    columns["follows_creator"] = follows(log, table)
    columns["tower_score"] = tower_scores(log, catalog, towers, past, table)
    return assemble(columns, len(table))
