"""Do Spark and the embedded engine say the same? Step files and the training rows of one day, cell by cell.

Two step tables are asked what they say at every moment at which either has a step, bit for bit, and that they
have as many rows. Training rows are joined on impression_id. The run's log is only read; what both engines
write goes to a scratch folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from feature_repo.catalogue import DEFAULTS, VIEWS, View
from feature_repo.clock import DAY_US
from feature_repo.log import EventLog
from feature_repo.places import Places, run_from_environment
from feature_repo.spark_engine import INSTALL, missing_for_spark

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Compared:
    """Two tables of one view: rows of each, cells looked at, and how many of those differ."""

    rows: int
    rows_spark: int
    cells: int
    differing: int


@dataclass(frozen=True)
class Answers:
    """What one engine wrote and joined, and how long each took."""

    steps: Mapping[str, pl.DataFrame]
    training: pl.DataFrame
    seconds_steps: float
    seconds_training: float


def steps_compared(view: View, ours: pl.DataFrame, theirs: pl.DataFrame) -> Compared:
    """What both tables say at every moment of either; before its first row a key has the defaults."""
    if ours.schema != theirs.schema:
        raise ValueError(f"{view.name} has columns {theirs.schema}, must have {ours.schema}.")
    order = [*view.keys, "event_timestamp"]
    asked = pl.concat([ours.select(order), theirs.select(order)]).unique().sort("event_timestamp")
    said = [_said(view, table, asked) for table in (ours, theirs)]
    differing = sum(_differing(said[0][name], said[1][name]) for name in view.names)
    return Compared(len(ours), len(theirs), len(asked) * len(view.names), differing)


def training_compared(view: View, ours: pl.DataFrame, theirs: pl.DataFrame) -> Compared:
    """The view's columns of both sets of training rows, matched on impression_id; a missing row differs."""
    pairs = ours.select("impression_id", *view.names).join(
        theirs.select("impression_id", *view.names), on="impression_id", how="full", suffix="_spark"
    )
    differing = sum(_differing(pairs[name], pairs[f"{name}_spark"]) for name in view.names)
    return Compared(len(ours), len(theirs), len(pairs) * len(view.names), differing)


def embedded(log: EventLog, until_us: int, labels: pl.DataFrame, root: Path) -> Answers:
    """The engine that runs in this process: numpy and polars."""
    from feature_repo.steps import write_steps
    from feature_repo.store import training_features

    places = Places(root)
    return _answers(
        places.features,
        lambda: write_steps(log, places.features, until_us),
        lambda: training_features(places, labels),
    )


def on_spark(log: EventLog, until_us: int, labels: pl.DataFrame, root: Path) -> Answers:
    """Spark's SQL for the steps, Feast on Spark for the join."""
    from feature_repo.spark_engine import session, write_steps
    from feature_repo.spark_store import training_features

    features, _ = Places(root).features, session()
    return _answers(
        features,
        lambda: write_steps(log, features, until_us),
        lambda: training_features(features, labels, root),
    )


def labels_of_last_day(log: EventLog, until_us: int) -> pl.DataFrame:
    """The labelled impressions of the log's last 24 hours."""
    from feature_repo.labels import events_between, labels

    end_us = log.end_us("served")
    events = events_between(log, end_us - DAY_US, end_us, until_us)
    return labels(events, end_us - DAY_US, end_us, until_us)


def figures(ours: Answers, theirs: Answers) -> dict[str, dict[str, dict[str, int | float]]]:
    """Per view: the steps and the training rows of both engines, compared."""
    steps = {v.name: asdict(steps_compared(v, ours.steps[v.name], theirs.steps[v.name])) for v in VIEWS}
    training = {v.name: asdict(training_compared(v, ours.training, theirs.training)) for v in VIEWS}
    seconds = {
        "embedded": {"steps": ours.seconds_steps, "training": ours.seconds_training},
        "spark": {"steps": theirs.seconds_steps, "training": theirs.seconds_training},
    }
    return {"steps": steps, "training": training, "seconds": seconds}


def disagreements(found: Mapping[str, Mapping[str, Mapping[str, int | float]]]) -> int:
    """Cells that differ, and rows that one engine has more of."""
    views = [view for what in ("steps", "training") for view in found[what].values()]
    return sum(int(view["differing"] + abs(view["rows"] - view["rows_spark"])) for view in views)


def tables(found: Mapping[str, Mapping[str, Mapping[str, int | float]]]) -> Iterator[Table]:
    """Steps, then training rows: one line per view."""
    from rich.table import Table

    for what in ("steps", "training"):
        ours, theirs = (found["seconds"][engine][what] for engine in ("embedded", "spark"))
        title = f"{what}: embedded {ours:.1f} s, Spark {theirs:.1f} s"
        table = Table("view", "rows", "on Spark", "cells", "differing", title=title)
        for name, view in found[what].items():
            counts = (view["rows"], view["rows_spark"], view["cells"], view["differing"])
            table.add_row(name, *(f"{count:,}" for count in counts))
        yield table


def main(argv: Sequence[str]) -> int:
    argparse.ArgumentParser(prog="python -m labs engines", description=__doc__).parse_args(argv)
    missing = missing_for_spark()
    if missing:
        print(f"engines: Spark needs {missing}; run `{INSTALL}` and have Java 17.", file=sys.stderr)
        return 2
    from rich.console import Console

    from feature_repo.reports import write_report

    run = run_from_environment()
    log = EventLog(run.places.log)
    until_us = log.all_known_us()
    labels = labels_of_last_day(log, until_us)
    with tempfile.TemporaryDirectory() as scratch:
        ours = embedded(log, until_us, labels, Path(scratch) / "embedded")
        theirs = on_spark(log, until_us, labels, Path(scratch) / "spark")
        found = figures(ours, theirs)
    Console().print(*tables(found))
    differing = disagreements(found)
    path = write_report(run, "engines", found)
    print(f"differing cells and rows: {differing:,}\nreport: {path}\nnext: python -m labs")
    return 1 if differing else 0


def _answers(features: Path, write: Callable[[], object], join: Callable[[], pl.DataFrame]) -> Answers:
    from feature_repo.steps import source_of

    started = time.perf_counter()
    write()
    written = time.perf_counter()
    training = join()
    joined = time.perf_counter()
    steps = {view.name: pl.read_parquet(source_of(features, view)) for view in VIEWS}
    return Answers(steps, training, written - started, joined - written)


def _said(view: View, table: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    rows = table.sort("event_timestamp")
    found = asked.join_asof(rows, on="event_timestamp", by=list(view.keys), check_sortedness=False)
    return found.with_columns(pl.col(name).fill_null(DEFAULTS[name]) for name in view.names)


def _differing(ours: pl.Series, theirs: pl.Series) -> int:
    """How many differ in any bit; NaN is NaN, and null equals null only."""
    if not ours.dtype.is_float():
        return int(ours.ne_missing(theirs).sum())
    mine, other = ours.fill_null(np.inf).to_numpy(), theirs.fill_null(np.inf).to_numpy()
    bits = np.int32 if mine.dtype == np.float32 else np.int64
    same = (mine.view(bits) == other.view(bits)) | (np.isnan(mine) & np.isnan(other))
    return int((~same).sum())
