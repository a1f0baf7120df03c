"""Every check of one run, in order: log, freshness, volume, drift, skew, server. Reads everything, changes
nothing.

A check that cannot read what it needs becomes a finding; only an empty log and a missing champion stop the
monitor, because then there is nothing to watch over yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from feature_repo.clock import DAY_US
from feature_repo.journal import frame_of
from feature_repo.labels import WINDOWS_US, learnable
from feature_repo.log import EventLog
from feature_repo.matrix import COLUMNS
from feature_repo.places import Places, Run
from feature_repo.schemas import BadLog
from monitoring import recompute
from monitoring.decision import Decision, Facts, decide
from monitoring.drift import SAMPLE, Drift, drift, drift_findings, too_few
from monitoring.findings import Finding, judged, not_judged
from monitoring.freshness import freshness
from monitoring.health import Health, health, read_health
from monitoring.recent import Recent, newest_us, recent, waiting_events
from monitoring.references import Reference, reference
from monitoring.skew import ColumnSkew, compared, features_of, served_rows, skew
from monitoring.volume import volume
from serving import registry
from serving.releases import DamagedRelease, Release, read_manifest, read_release
from serving.towers import Towers

SKEW_SAMPLE = 2_000
"""Served impressions recomputed: enough cells to find a thousandth, few enough for a second or two."""

SERVED = ("event_id", "release_id", "features", "features_time", *recompute.ROWS)


class OutOfOrder(RuntimeError):
    """There is nothing to watch over yet; the message says which command to run first."""


@dataclass(frozen=True)
class Watched:
    """The run being watched: its log, what waits in the journal, its champion, how far we look back."""

    run: Run
    version: int
    release: Path
    since_days: float
    wall_s: float

    @property
    def places(self) -> Places:
        return self.run.places

    @cached_property
    def log(self) -> EventLog:
        return EventLog(self.places.log)

    @cached_property
    def waiting(self) -> dict[str, pl.DataFrame]:
        return waiting_events(self.places)

    @cached_property
    def since_us(self) -> int:
        return self.log.end_us() - round(self.since_days * DAY_US)

    @cached_property
    def clocks(self) -> Recent:
        return recent(self.log, self.waiting, self.since_us)

    @cached_property
    def end_us(self) -> int:
        """One microsecond after the newest event, journaled or logged."""
        return max(self.log.end_us(), (newest_us(self.clocks) or 0) + 1)

    @cached_property
    def server(self) -> Health | None:
        return read_health(self.places, self.wall_s)

    @cached_property
    def now_us(self) -> int:
        """The world's clock: the running server's, else the end of the log."""
        return max(self.end_us, (self.server.now_us or 0) if self.server else 0)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the champion says of itself; a damaged one says only which it is."""
        try:
            return read_manifest(self.release)
        except DamagedRelease:
            return {"release_id": self.release.name}

    @cached_property
    def reference(self) -> Reference | None:
        return reference(self.places, self.release, self.manifest, SAMPLE)

    @cached_property
    def past(self) -> recompute.Past:
        return recompute.Past.of(self.log, self.waiting)


def watched(run: Run, since_days: float, wall_s: float) -> Watched:
    """The run, if it has a log and a champion."""
    if EventLog(run.places.log).is_empty():
        raise OutOfOrder(f"{run.places.log} holds no events; run `make train` first.")
    champion = registry.champion(run.places)
    if champion is None:
        raise OutOfOrder(f"{run.places.registry} has no champion to watch over; run `make train` first.")
    return Watched(run, *champion, since_days, wall_s)


def log_findings(found: Watched) -> list[Finding]:
    """Whether the log can be read at all; if so, whether it is fresh and as full as usual."""
    try:
        clocks = found.clocks
    except (BadLog, pl.exceptions.PolarsError, OSError) as error:
        return [judged("log", "files", "unreadable", "readable", False, str(error))]
    rows = f"{sum(len(each) for each in clocks.values()):,} events in {found.since_days:g} days"
    waiting = sum(len(frame) for frame in found.waiting.values())
    stored = judged("log", "files", f"{rows}, {waiting:,} waiting in the journal", "readable", True)
    fresh = freshness(clocks, found.now_us, found.run.logs)
    return [stored, *fresh, *volume(clocks, found.log.end_us(), found.since_us)]


def drift_of(found: Watched, towers: Towers | None) -> tuple[list[Finding], Drift | None]:
    """Recent impressions against the champion's training snapshot."""
    if found.reference is None:
        why = "the champion's training snapshot is gone: `make train` keeps one with each release"
        return [not_judged("drift", "features", why)], None
    rows = recent_rows(found)
    few = too_few(found.reference.rows, rows)
    if few:
        return list(few), None
    matrix = recompute.matrix_of(found.past, towers, rows)
    drifted = drift(found.reference.rows, pl.DataFrame(matrix, schema=list(COLUMNS)), found.places.reports)
    return drift_findings(drifted), drifted


def recent_rows(found: Watched) -> pl.DataFrame:
    """At most SAMPLE impressions a model would learn from, of the log's last day."""
    until_us = found.log.end_us()
    span = (until_us - DAY_US, until_us)
    served = found.log.read("served", *span, columns=("event_id", *recompute.ROWS))
    seen = found.log.read("watched", span[0], columns=("event_id", "event_time", "impression_id"))
    on_screen = pl.col("impression_id").is_in(seen["impression_id"].implode())
    rows = served.filter(on_screen, learnable(found.run.logs))
    return rows.sample(min(SAMPLE, len(rows)), seed=0).sort("impression_id").select(recompute.ROWS)


def skew_of(found: Watched, release: Release | None) -> tuple[list[Finding], list[ColumnSkew]]:
    """Features as the champion's server logged them, against what they should have been."""
    if release is None:
        return [not_judged("skew", "served features", "the champion cannot be read")], []
    rows = served_rows(served_since(found).filter(pl.col("release_id") == release.release_id), SKEW_SAMPLE)
    if not len(rows):
        return skew([], 0), []
    columns = skewed_columns(found, Towers.from_arrays(release.towers), rows)
    return skew(columns, len(rows)), columns


def skewed_columns(found: Watched, towers: Towers, rows: pl.DataFrame) -> list[ColumnSkew]:
    """Each column's cells; the join at the time of the mirror is asked for only if some cell is not equal."""
    served, asked = features_of(rows), rows.select(recompute.ROWS)
    at_event = recompute.matrix_of(found.past, towers, asked)
    columns = compared(served, at_event, at_event)
    if not any(column.mismatched for column in columns):
        return columns
    mirrored = asked.with_columns(rows["features_time"].fill_null(rows["event_time"]).alias("event_time"))
    return compared(served, at_event, recompute.matrix_of(found.past, towers, mirrored))


def served_since(found: Watched) -> pl.DataFrame:
    """Impressions of the time looked at, those still in the journal included."""
    stored = found.log.read("served", start_us=found.since_us, columns=SERVED)
    waiting = found.waiting.get("served", frame_of("served", []))
    return pl.concat([stored, waiting.select(SERVED)]).unique("event_id", keep="first", maintain_order=True)


def facts_of(found: Watched) -> Facts:
    """What the decision needs to know beside the findings."""
    learned = found.reference
    matured_us = found.now_us - max(WINDOWS_US.values())
    event_us = found.clocks["watched"].event_us
    new = int(((event_us > learned.until_us) & (event_us <= matured_us)).sum()) if learned else 0
    hours, predecessor = promotion(registry.promotions(found.places), found.wall_s)
    return Facts(
        new_labels=new,
        snapshot_labels=learned.size if learned else 0,
        champion_age_days=(found.now_us - learned.until_us) / DAY_US if learned else None,
        hours_since_promotion=hours,
        has_predecessor=predecessor,
    )


def promotion(moves: list[dict[str, Any]], wall_s: float) -> tuple[float | None, bool]:
    """Hours since the champion alias moved forward, and whether there was a champion before; None after a
    rollback.
    """
    mine = [move for move in moves if move.get("alias") == registry.CHAMPION]
    if not mine or mine[-1].get("reason") == "rollback":
        return None, False
    moved_s = np.datetime64(str(mine[-1]["at"]).rstrip("Z"), "s").astype(int)
    return (wall_s - float(moved_s)) / 3600, mine[-1].get("from") is not None


@dataclass(frozen=True)
class Outcome:
    """Everything the monitor found, and what it decided."""

    findings: tuple[Finding, ...]
    decision: Decision
    facts: Facts
    drift: Drift | None
    skew: tuple[ColumnSkew, ...]

    def figures(self) -> Mapping[str, Any]:
        """What monitor.json holds."""
        skewed = {
            c.column: {"equal": c.equal, "stale": c.stale, "mismatched": c.mismatched} for c in self.skew
        }
        drifted = {c.column: c.distance for c in self.drift.columns} if self.drift else {}
        return {
            "decision": self.decision.action.value,
            "reasons": list(self.decision.reasons),
            "findings": [finding.as_figure() for finding in self.findings],
            "facts": vars(self.facts),
            "drift": drifted,
            "skew": skewed,
        }


def release_of(found: Watched) -> tuple[list[Finding], Release | None]:
    """The champion, verified; a damaged one is a finding."""
    try:
        return [judged("server", "release", found.release.name, "sound", True)], read_release(found.release)
    except DamagedRelease as damage:
        return [judged("server", "release", "damaged", "sound", False, str(damage))], None


def outcome(found: Watched) -> Outcome:
    """Run every check, then decide."""
    logged = log_findings(found)
    sound, release = release_of(found)
    if any(finding.check == "log" and finding.failed for finding in logged):
        findings = (*logged, *sound, *health(found.server))
        return Outcome(findings, decide(findings, Facts(0, 0)), Facts(0, 0), None, ())
    towers = Towers.from_arrays(release.towers) if release else None
    drifted, distances = drift_of(found, towers)
    skewed, columns = skew_of(found, release)
    findings = (*logged, *drifted, *skewed, *sound, *health(found.server))
    facts = facts_of(found)
    return Outcome(findings, decide(findings, facts), facts, distances, tuple(columns))
