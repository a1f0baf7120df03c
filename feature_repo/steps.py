"""The feature views as parquet, step by step: what training rows join and the online store is loaded from.

One file per view with its keys, features and event_timestamp, the moment from which a row holds: just after a
fact became known, or just after one left a window. So the as-of join at any moment is exact at that moment,
and there is no second clock to filter by: a step's moment is when it was known. A profile's moment is one
microsecond after it was known, so that "at or before" in Feast means "strictly before" here. Facts of the
past leave their windows in the future, so steps go on after the log ends.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from feature_repo.catalogue import PRIORS, PROFILES, STATS, STRENGTH, UNITS, VIEWS, Feature, View
from feature_repo.clock import DAY_US, INSTANT, SECOND_US
from feature_repo.facts import KEY_SPAN, Facts, Ints, counted_facts
from feature_repo.formulas import formula
from feature_repo.log import EventLog
from feature_repo.reports import write_text_atomically
from feature_repo.windows import Keyed, changes, step_moments, sums_at

HORIZON_US = 30 * DAY_US
"""How far after the log's end steps are written: every window but "ever" is empty by then."""
ROWS = 500_000
"""Steps worked on at once: what is in between stays in tens of megabytes."""
AT_ONCE = 2


@dataclass(frozen=True)
class Steps:
    """What was written: until when facts are in it, from which log, how many rows per view."""

    key: str
    until_us: int
    rows: Mapping[str, int]
    reused: bool = False


WriteViews = Callable[[EventLog, Path, int], dict[str, int]]
"""Writes every view's file from what was known before a moment; rows per view."""


def write_steps(
    log: EventLog, features_dir: Path, until_us: int, views: WriteViews | None = None, engine: str = ""
) -> Steps:
    """Write every view's steps from what was known before `until`; what is already there is not redone.

    `until` is rounded up to a whole second, as the pipelines' clock is. The manifest is removed first and
    written last: without one, nothing here is to be trusted. Another engine names itself and its writer.
    """
    until_us = -(-until_us // SECOND_US) * SECOND_US
    old, key = read_manifest(features_dir), _key(log, until_us, engine)
    if old is not None and old.key == key:
        return Steps(old.key, old.until_us, old.rows, reused=True)
    _manifest(features_dir).unlink(missing_ok=True)
    features_dir.mkdir(parents=True, exist_ok=True)
    written = Steps(key, until_us, (views or write_views)(log, features_dir, until_us))
    write_text_atomically(_manifest(features_dir), json.dumps(asdict(written), indent=2) + "\n")
    return written


def read_manifest(features_dir: Path) -> Steps | None:
    """What was last written in full; None if nothing was."""
    path = _manifest(features_dir)
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    return Steps(found["key"], found["until_us"], found["rows"], found["reused"])


def source_of(features_dir: Path, view: View) -> Path:
    """The parquet file of a view."""
    return features_dir / f"{view.name}.parquet"


def profile_table(view: View, log: EventLog, until_us: int) -> pl.DataFrame:
    """One row per person or video, from its first Joined or Uploaded, visible once that was known."""
    kind, key = ("joined", "user_id") if view.name == "user_profile" else ("uploaded", "video_id")
    rows = log.read(kind, known_before_us=until_us).unique(key, keep="first", maintain_order=True)
    known = (pl.col("known_time") + pl.duration(microseconds=1)).cast(INSTANT)
    fields = [_profile_field(feature) for feature in view.features]
    return rows.sort(key).select(key, *fields, known.alias("event_timestamp"))


def steps_table(view: View, facts: Facts, until_us: int) -> pl.DataFrame:
    """A row for every moment at which a sum of the view changes, zeros at a stretch's end included."""
    keyed = Keyed.of(facts, view)
    codes, moments = step_moments(keyed, view.windows_us, until_us + HORIZON_US)
    kept, values = np.empty(len(codes), np.bool_), []
    for rows in _chunks(codes):
        sums = sums_at(keyed, codes[rows], moments[rows], view.windows_us, formula(view.name).wanted)
        kept[rows] = changes(codes[rows], sums)
        values.append(formula(view.name).values(sums[kept[rows]]))
    codes, moments = codes[kept], moments[kept]
    columns = {
        name: np.concatenate([np.zeros(0, np.float32), *(part[:, place] for part in values)])
        for place, name in enumerate(view.names)
    }
    clock = pl.Series(moments, dtype=pl.Int64).cast(INSTANT)
    return pl.DataFrame({**table_keys(view, keyed.keys[codes]), **columns, "event_timestamp": clock})


def table_keys(view: View, keys: Ints) -> dict[str, Ints]:
    """The view's key columns from one integer per row."""
    if len(view.keys) == 1:
        return {view.keys[0]: keys}
    return {view.keys[0]: keys // KEY_SPAN, view.keys[1]: keys % KEY_SPAN}


def write_views(log: EventLog, features_dir: Path, until_us: int) -> dict[str, int]:
    """Write every view's file, two at a time (sorting and counting let others run); rows per view."""
    facts = counted_facts(log, until_us)
    makers = {view.name: partial(profile_table, view, log, until_us) for view in PROFILES}
    makers |= {view.name: partial(steps_table, view, facts, until_us) for view in STATS}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = {view: pool.submit(_write, view, makers[view.name], features_dir) for view in VIEWS}
        return {view.name: each.result() for view, each in made.items()}


def _chunks(codes: Ints) -> Iterator[slice]:
    """Pieces of about ROWS rows that hold whole keys, for a key's sums are counted forward."""
    low = 0
    while low < len(codes):
        last = codes[min(low + ROWS, len(codes)) - 1]
        end = int(np.searchsorted(codes, last, side="right"))
        yield slice(low, end)
        low = end


_FIELDS = {
    "user_joined_us": pl.col("event_time").to_physical(),
    "video_uploaded_us": pl.col("event_time").to_physical(),
    "video_duration_s": pl.col("duration_ms").cast(pl.Float64) / 1000,
}


def _profile_field(feature: Feature) -> pl.Expr:
    """A field of the event under its feature's name: entity_field <- field.

    A code below the range is a sentinel (KuaiRand writes -124 where it does not know) and means unknown.
    """
    source = _FIELDS.get(feature.name, pl.col(feature.name.removeprefix(f"{feature.entity}_")))
    if feature.integer:
        return source.cast(pl.Int64).alias(feature.name)
    known = pl.when(source >= feature.low).then(source) if feature.codes else source
    return known.cast(pl.Float32).fill_null(float("nan")).alias(feature.name)


def _write(view: View, make: partial[pl.DataFrame], features_dir: Path) -> int:
    path, table = source_of(features_dir, view), make()
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    table.write_parquet(unfinished, compression="lz4", statistics=False)
    unfinished.replace(path)
    return len(table)


def _key(log: EventLog, until_us: int, engine: str) -> str:
    meaning = (engine, log.digest(), until_us, VIEWS, STRENGTH, sorted(PRIORS.items()), sorted(UNITS.items()))
    return hashlib.sha256(repr(meaning).encode()).hexdigest()


def _manifest(features_dir: Path) -> Path:
    return features_dir / "manifest.json"
