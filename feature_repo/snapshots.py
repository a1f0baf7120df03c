"""The feature views as parquet, snapshot by snapshot: what training rows join and serving loads.

One file per view with its keys, features, event_timestamp and created_timestamp, both the moment of the
snapshot. A profile's moment is one microsecond after it was known, so that "at or before" in Feast means
"strictly before" here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import PRIORS, PROFILES, STATS, STRENGTH, VIEWS, Feature, View
from feature_repo.clock import INSTANT, SECOND_US
from feature_repo.facts import SHARE_UNITS, counted_facts
from feature_repo.log import EventLog
from feature_repo.reports import write_text_atomically
from feature_repo.windows import Facts, Ints, grid, window_sums

CELLS = 4_000_000
"""Entities x moments worked on at once: 32 MB per sum, whatever the scale."""

KEY_SPAN = 1 << 12
"""Second keys (topics) are below this, so a pair of keys fits one integer."""


@dataclass(frozen=True)
class Snapshots:
    """What was written: until when, from which log, how many rows per view."""

    key: str
    until_us: int
    ends_us: tuple[int, ...]
    rows: Mapping[str, int]
    reused: bool = False


def write_snapshots(log: EventLog, features_dir: Path, until_us: int) -> Snapshots:
    """Write every view's snapshots up to and including `until`; what is already there is not redone.

    `until` is rounded up to a whole second, because Feast's SQLite store keeps seconds. Ends of earlier runs
    stay in the grid: what was served from them can still be recomputed. The manifest is removed first and
    written last: without one, nothing here is to be trusted.
    """
    until_us = -(-until_us // SECOND_US) * SECOND_US
    old = read_manifest(features_dir)
    ends = tuple(sorted({*(old.ends_us if old else ()), until_us}))
    ends = tuple(end for end in ends if end <= until_us)
    key = _key(log, ends)
    if old is not None and old.key == key:
        return Snapshots(old.key, old.until_us, old.ends_us, old.rows, reused=True)
    _manifest(features_dir).unlink(missing_ok=True)
    features_dir.mkdir(parents=True, exist_ok=True)
    rows = {view.name: _write(view, table, features_dir) for view, table in _tables(log, until_us, ends)}
    written = Snapshots(key, until_us, ends, rows)
    write_text_atomically(_manifest(features_dir), json.dumps(asdict(written), indent=2) + "\n")
    return written


def read_manifest(features_dir: Path) -> Snapshots | None:
    """What was last written in full; None if nothing was."""
    path = _manifest(features_dir)
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    return Snapshots(found["key"], found["until_us"], tuple(found["ends_us"]), found["rows"], found["reused"])


def source_of(features_dir: Path, view: View) -> Path:
    """The parquet file of a view."""
    return features_dir / f"{view.name}.parquet"


def profile_table(view: View, log: EventLog, until_us: int) -> pl.DataFrame:
    """One row per person or video, from its first Joined or Uploaded, visible once that was known."""
    kind, key = ("joined", "user_id") if view.name == "user_profile" else ("uploaded", "video_id")
    rows = log.read(kind, known_before_us=until_us).unique(key, keep="first", maintain_order=True)
    known = (pl.col("known_time") + pl.duration(microseconds=1)).cast(INSTANT)
    fields = [_profile_field(feature) for feature in view.features]
    clocks = [known.alias("event_timestamp"), known.alias("created_timestamp")]
    return rows.sort("known_time", key).select(key, *fields, *clocks)


def stats_table(
    view: View, facts: Mapping[str, pl.DataFrame], until_us: int, ends: tuple[int, ...]
) -> pl.DataFrame:
    """Rows where a count of the view is not zero, and the closing row of zeros after each such stretch."""
    wanted = sorted({event for feature in view.features for event in _ingredients(feature)})
    keyed = {event: _keyed(facts[event], view) for event in wanted}
    ids = np.unique(np.concatenate([keys for keys, _ in keyed.values()]))
    if not len(ids):
        return _table(
            view, ids, np.zeros(0, np.int64), {f.name: np.zeros(0, np.float32) for f in view.features}
        )
    moments = grid(_first_us(keyed, view), until_us, view.every_us or 0, ends)
    coded = {event: _coded(ids, keys, frame) for event, (keys, frame) in keyed.items()}
    return pl.concat(_chunks(view, ids, coded, moments))


def _first_us(keyed: Mapping[str, tuple[Ints, pl.DataFrame]], view: View) -> int:
    """Before the first snapshot: no earlier than the first impression needs; uploads may be years older."""
    facts = [frame for _, frame in keyed.values()]
    first_known = pl.concat(facts)["known_us"].min()
    first_shown = keyed["impressions"][1]["event_us"].min()
    assert isinstance(first_known, int)
    return (
        first_known
        if not isinstance(first_shown, int)
        else max(first_known, first_shown - (view.every_us or 0))
    )


def _tables(log: EventLog, until_us: int, ends: tuple[int, ...]) -> Iterator[tuple[View, pl.DataFrame]]:
    for view in PROFILES:
        yield view, profile_table(view, log, until_us)
    facts = counted_facts(log, until_us)
    for view in STATS:
        yield view, stats_table(view, facts, until_us, ends)


def _chunks(view: View, ids: Ints, facts: Mapping[str, Facts], moments: Ints) -> Iterator[pl.DataFrame]:
    step = max(1, CELLS // len(moments))
    for low in range(0, len(ids), step):
        mine = ids[low : low + step]
        sums = _sums(view, {e: f.between(low, low + len(mine)) for e, f in facts.items()}, moments, len(mine))
        entity, moment = np.nonzero(_informative(sums))
        columns = {f.name: _value(f, sums, entity, moment) for f in view.features}
        yield _table(view, mine[entity], moments[moment], columns)


Sums = Mapping[tuple[str, int], Ints]


def _sums(view: View, facts: Mapping[str, Facts], moments: Ints, entities: int) -> Sums:
    """The sum of each (event, window) a feature of the view needs."""
    pairs = {(event, f.window_us) for f in view.features for event in _ingredients(f)}
    return {
        (event, window): window_sums(facts[event], moments, window, entities)
        for event, window in sorted(pairs)
    }


def _informative(sums: Sums) -> NDArray[np.bool_]:
    """Where any sum is not zero, or was not at the snapshot before."""
    live: NDArray[np.bool_] = np.logical_or.reduce([total != 0 for total in sums.values()])
    live[:, 1:] |= live[:, :-1].copy()
    return live


def _value(feature: Feature, sums: Sums, entity: Ints, moment: Ints) -> NDArray[np.float32]:
    """Counts as they are, rates smoothed and clipped to [0, 1], in float64 and then float32."""
    count = sums[feature.event, feature.window_us][entity, moment].astype(np.float64)
    if feature.kind == "count":
        return count.astype(np.float32)
    if feature.event == "watched_share":
        count /= SHARE_UNITS
    shown = sums["impressions", feature.window_us][entity, moment]
    smooth = (count + STRENGTH * PRIORS[feature.event]) / (shown + STRENGTH)
    return np.clip(smooth, 0.0, 1.0).astype(np.float32)


def _ingredients(feature: Feature) -> tuple[str, ...]:
    return (feature.event, "impressions") if feature.kind == "rate" else (feature.event,)


def _keyed(frame: pl.DataFrame, view: View) -> tuple[Ints, pl.DataFrame]:
    """One integer per fact for the view's keys; facts without a key are left out."""
    kept = frame.filter(pl.all_horizontal([pl.col(key).is_not_null() for key in view.keys]))
    keys = kept[view.keys[0]].cast(pl.Int64).to_numpy()
    if len(view.keys) == 2:
        keys = keys * KEY_SPAN + kept[view.keys[1]].cast(pl.Int64).to_numpy()
    if view.name in ("creator_stats", "user_topic_stats"):
        kept = kept.with_columns(pl.max_horizontal("known_us", "uploaded_known_us").alias("known_us"))
    return keys, kept


def _coded(ids: Ints, keys: Ints, frame: pl.DataFrame) -> Facts:
    codes = np.searchsorted(ids, keys)
    return Facts.sorted(
        codes, frame["event_us"].to_numpy(), frame["known_us"].to_numpy(), frame["amount"].to_numpy()
    )


def _table(view: View, keys: Ints, moments: Ints, columns: Mapping[str, NDArray[np.float32]]) -> pl.DataFrame:
    parts = {view.keys[0]: keys}
    if len(view.keys) == 2:
        parts = {view.keys[0]: keys // KEY_SPAN, view.keys[1]: keys % KEY_SPAN}
    clock = pl.Series(moments, dtype=pl.Int64).cast(INSTANT)
    return pl.DataFrame({**parts, **columns, "event_timestamp": clock, "created_timestamp": clock})


_FIELDS = {
    "user_joined_us": pl.col("event_time").to_physical(),
    "video_uploaded_us": pl.col("event_time").to_physical(),
    "video_duration_s": pl.col("duration_ms").cast(pl.Float64) / 1000,
}


def _profile_field(feature: Feature) -> pl.Expr:
    """A field of the event under its feature's name: entity_field <- field."""
    source = _FIELDS.get(feature.name, pl.col(feature.name.removeprefix(f"{feature.entity}_")))
    if feature.integer:
        return source.cast(pl.Int64).alias(feature.name)
    return source.cast(pl.Float32).fill_null(float("nan")).alias(feature.name)


def _write(view: View, table: pl.DataFrame, features_dir: Path) -> int:
    path = source_of(features_dir, view)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    table.write_parquet(unfinished, compression="lz4")
    unfinished.replace(path)
    return len(table)


def _key(log: EventLog, ends: tuple[int, ...]) -> str:
    meaning = (log.digest(), ends, VIEWS, STRENGTH, sorted(PRIORS.items()))
    return hashlib.sha256(repr(meaning).encode()).hexdigest()


def _manifest(features_dir: Path) -> Path:
    return features_dir / "manifest.json"
