"""Does the training snapshot know more than was known? The checks of evaluation/leakage.py on a run's rows.

Two of them go back to the log. A sample of rows is counted anew from raw events known strictly before each
row, which proves of those rows that no column holds the row's own label, a later event, or one that was heard
of later. And every train row is made anew, by the code that made it, from a log in which nothing known after
the train days is left, which proves of all of them that no column shares anything with the days after.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from evaluation.leakage import Finding, beyond, copies, implausible, leaks, named, nearest, recomputed
from feature_repo.clock import NEVER_US
from feature_repo.events import KINDS
from feature_repo.labels import LABELS, WINDOWS_US
from feature_repo.log import EventLog
from feature_repo.matrix import COLUMNS, assemble
from feature_repo.places import Places, Run
from feature_repo.reports import write_report
from feature_repo.videos import VideoCatalog
from pipelines import build_features
from pipelines.build_training_set import SNAPSHOT, matrix_columns
from pipelines.plan import Plan
from pipelines.recounts import recounted
from pipelines.shell import Told
from pipelines.train_towers import load as load_towers
from pipelines.training_sets import Rows, read_rows
from serving.towers import Towers

SAMPLE = 2_000
"""Rows counted anew: a leak in one row of a thousand goes unseen in one audit of seven."""

TOLERANCES = {"tower_score": 1e-4}
"""Columns that are model outputs: sums of products come out in another order."""

OUTCOMES = (*LABELS, *(f"{label}_mature" for label in LABELS), "watched_ms")
"""What is known of an impression only afterwards."""

YES_OR_NO = tuple(label for label in LABELS if label != "watch")
SPLITS = ("train", "calibrate", "test")


class LeakFound(RuntimeError):
    """At least one column knows more than was known."""

    def __init__(self, found: tuple[Finding, ...], report: Path):
        lines = "\n".join(f"  {finding}" for finding in found)
        super().__init__(f"{len(found)} findings, all in {report}. Mend these before training:\n{lines}")


def outcomes(rows: Rows) -> dict[str, npt.NDArray[np.float64]]:
    """What happened after each row, f64[n], NaN where a label is not mature."""
    marks = {label: np.where(rows.mature(label), rows.label(label), np.nan) for label in LABELS}
    return {**marks, "watched_ms": rows.label("watched_ms")}


def recount(log: EventLog, towers: Towers, rows: Rows, rng: np.random.Generator, size: int) -> list[Finding]:
    """A sample of rows beside what raw events known before them say; see recounts.py."""
    drawn = np.zeros(len(rows), np.bool_)
    drawn[rng.permutation(len(rows))[:size]] = True
    sample = rows.where(drawn)
    again = recounted(log, towers, sample.table)
    return recomputed("newer than its row", COLUMNS, sample.matrix, again, TOLERANCES)


def without_later(plan: Plan, towers: Towers, train: Rows, folder: Path) -> list[Finding]:
    """Every train row beside the same row made from a log that ends with the train days."""
    places = Places(folder)
    log = known_before(plan.log, places.log, plan.splits.train.end_us)
    run = Run(plan.run.logs, plan.run.scale, plan.run.seed, places)
    build_features.run(Plan(run, plan.train_until), Told(quiet=True))
    table = train.table.rename({"served_surface": "surface"})
    columns = matrix_columns(places, log, VideoCatalog.from_log(log), towers, table)
    again = assemble(columns, len(table))
    return recomputed("shares the days after train", COLUMNS, train.matrix, again, TOLERANCES)


def known_before(log: EventLog, folder: Path, moment_us: int) -> EventLog:
    """A log of its own, in which nothing known at or after the moment is left."""
    cut = EventLog(folder)
    for kind in KINDS:
        rows = log.read(kind, known_before_us=moment_us)
        if len(rows):
            cut.append(kind, rows, "before")
    return cut


def order_of_time(rows: Rows, towers_end_us: int) -> Iterator[Finding]:
    """Towers, train, calibrate and test follow each other, label windows included; none is asked too late."""
    shown = rows.table["event_time"].to_physical().to_numpy()
    asked = rows.table["asked_time"].to_physical().to_numpy()
    yield Finding("asked after it was shown", "asked_time", float((asked > shown).sum()), 0.0, len(rows))
    among = float((asked < towers_end_us).sum())
    yield Finding("among the days towers learned from", "tower_score", among, 0.0, len(rows))
    for earlier, later in pairwise(SPLITS):
        mine, first_us = rows.table["split"].to_numpy() == earlier, _first_us(rows, later)
        yield beyond("later than the next split", earlier, shown[mine], first_us - 1)
        for label, window_us in WINDOWS_US.items():
            known = shown[mine & rows.mature(label)] + window_us
            yield beyond("label known in the next split", f"{earlier} ~ {label}", known, first_us)


def _first_us(rows: Rows, split: str) -> int:
    times = rows.table.filter(pl.col("split") == split)["event_time"].to_physical().to_numpy()
    return int(times.min(initial=NEVER_US))


def of_columns(rows: Rows) -> list[Finding]:
    """What the columns alone give away: names and copies on all rows, single AUCs on train and test rows."""
    found = [*named(COLUMNS, OUTCOMES), *copies(COLUMNS, rows.matrix, outcomes(rows))]
    for split in ("train", "test"):
        part = rows.where(rows.table["split"].to_numpy() == split)
        labels = {label: each for label, each in outcomes(part).items() if label in YES_OR_NO}
        found += implausible(f"better than honest, {split}", COLUMNS, part.matrix, labels)
    return found


def audited(plan: Plan, rows: Rows, towers: Towers, size: int = SAMPLE) -> list[Finding]:
    """Every check on these rows."""
    rng = np.random.default_rng([plan.run.seed, 51])
    findings = [*order_of_time(rows, plan.splits.towers.end_us), *of_columns(rows)]
    findings += recount(plan.log, towers, rows, rng, size)
    train = rows.where(rows.table["split"].to_numpy() == "train")
    with tempfile.TemporaryDirectory(dir=plan.work, prefix="audit-") as folder:
        return findings + without_later(plan, towers, train, Path(folder))


def closing(findings: list[Finding]) -> list[tuple[str, ...]]:
    """One line per column that leaks; of a check without any, the column nearest to its bound."""
    asked = Counter(finding.check for finding in findings)
    return [
        (
            each.check,
            each.column if each.verdict == "LEAKS" else f"{each.column}, nearest of {asked[each.check]}",
            each.shown,
            f"{each.bound:g}",
            f"{each.n:,}",
            each.verdict,
        )
        for each in nearest(findings)
    ]


def figures(findings: list[Finding]) -> dict[str, Any]:
    """How many findings leak, and each of them."""
    return {"leaks": len(leaks(findings)), "findings": [each.as_figure() for each in findings]}


def run(plan: Plan, told: Told) -> Mapping[str, Any]:
    """Audit the snapshot of this log and code; LeakFound once the table and the report are written."""
    rows = read_rows(plan.rows.needed(plan.work).path / SNAPSHOT)
    told.say(f"{len(rows):,} rows, {SAMPLE:,} of them counted anew, every train row made anew…")
    findings = audited(plan, rows, load_towers(plan.towers.needed(plan.work)))
    columns = ("check", "column", "found", "at most", "rows", "verdict")
    told.table("leakage of the training snapshot", columns, closing(findings))
    if found := leaks(findings):
        raise LeakFound(found, write_report(plan.run, "audit-leakage", figures(findings)))
    return figures(findings)
