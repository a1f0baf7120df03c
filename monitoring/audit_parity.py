"""The evidence of a parity audit: what was served, joined offline by Feast, and counted by two other ways.

Every impression with features is joined as training rows are, from step files built anew from the log. A
sample is counted by brute force in SQL over the raw log, and a smaller one joined by Feast's DuckDB store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import PROJECT, SERVICE, VIEWS
from feature_repo.clock import INSTANT
from feature_repo.journal import Journal
from feature_repo.log import EventLog
from feature_repo.materialization import read_loaded
from feature_repo.matrix import COLUMNS
from feature_repo.places import Places
from feature_repo.steps import write_steps
from feature_repo.store import training_features
from monitoring import recompute
from monitoring.brute_force import brute_force
from monitoring.parity import Evidence, Parity, differing, parity
from monitoring.recompute import Matrix, Past
from monitoring.skew import features_of, same
from serving import registry
from serving.releases import read_release
from serving.towers import Towers

SERVED = ("event_id", "release_id", "features", "features_time", *recompute.ROWS)
DIAGNOSED = 20_000
"""Differing rows that hypotheses are tested on; there should be none."""

Stored = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Second:
    """Another way to the stored features: rows and cells compared, and how many cells differ, by feature."""

    way: str
    rows: int
    cells: int
    differing: Mapping[str, int]

    def figures(self) -> dict[str, object]:
        return {"rows": self.rows, "cells": self.cells, "differing": dict(self.differing)}


@dataclass(frozen=True)
class Audit:
    """Served against joined, and joined against the two other ways."""

    served: Parity
    seconds: tuple[Second, ...]

    @property
    def holds(self) -> bool:
        return self.served.holds and not any(each.differing for each in self.seconds)

    def figures(self) -> dict[str, object]:
        ways = {each.way: each.figures() for each in self.seconds}
        return {"holds": self.holds, "served": self.served.figures(), **ways}


@dataclass(frozen=True)
class Offline:
    """A run's log as offline stores see it, its step files built anew in a folder of their own."""

    places: Places
    scratch: Places
    past: Past

    @classmethod
    def of(cls, places: Places, scratch: Places) -> Offline:
        """The log must have absorbed the journal: what waits there is in no step file."""
        log = EventLog(places.log)
        write_steps(log, scratch.features, log.all_known_us())
        return cls(places, scratch, Past.of(log, {}))

    def joined(self, towers: Towers | None, rows: pl.DataFrame) -> Matrix:
        """The matrix as training would have joined it at each row's event_time."""
        return recompute.matrix_of(self.past, towers, rows, self.stored(rows))

    def counted(self, towers: Towers | None, rows: pl.DataFrame) -> Matrix:
        """The same, counted from facts: for hypotheses about few rows."""
        return recompute.matrix_of(self.past, towers, rows)

    def stored(self, rows: pl.DataFrame) -> Stored:
        """Every feature Feast keeps, through its historical join."""
        found = training_features(self.scratch, _keyed(self.past, rows))
        return {name: found[name].to_numpy() for view in VIEWS for name in view.names}


def audited(places: Places, scratch: Places, sample: int, feast_sample: int, seed: int) -> Audit:
    """Audit every logged impression that was served with features of this matrix."""
    offline = Offline.of(places, scratch)
    rows = served_rows(EventLog(places.log))
    parts = [
        _evidence(offline, rows.filter(pl.col("release_id") == name)) for name in rows["release_id"].unique()
    ]
    whole = parity(_joined_evidence(parts))
    drawn = rows.sample(min(sample, len(rows)), seed=seed).select(recompute.ROWS)
    mine = offline.stored(drawn)
    by_hand = second("brute_force", mine, brute_force(EventLog(places.log), _keyed(offline.past, drawn)))
    few = drawn.head(feast_sample)
    feasts = second("feast_duckdb", _first(mine, len(few)), feast_duckdb(scratch, _keyed(offline.past, few)))
    return Audit(whole, (by_hand, feasts))


def served_rows(log: EventLog) -> pl.DataFrame:
    """Impressions served with features of this matrix, in order of time."""
    served = log.read("served", columns=SERVED)
    return served.filter(pl.col("features").list.len() == len(COLUMNS)).sort("event_time", "impression_id")


def second(way: str, mine: Stored, theirs: Stored) -> Second:
    """Our stored features beside another way's, in float32."""
    wrong = {
        name: int((~same(mine[name].astype(np.float32), theirs[name].astype(np.float32))).sum())
        for name in mine
    }
    rows = len(next(iter(mine.values())))
    return Second(way, rows, rows * len(mine), {name: n for name, n in wrong.items() if n})


def feast_duckdb(places: Places, rows: pl.DataFrame) -> Stored:
    """The same features through Feast's own DuckDB store; it does not keep the order of rows."""
    from feast import FeatureStore, RepoConfig

    from feature_repo.feast_objects import feast_objects
    from feature_repo.store import filled, questions

    folder = places.root / "feast-duckdb"
    folder.mkdir(parents=True, exist_ok=True)
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": "duckdb"},
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    store.apply(feast_objects(places).all())
    job = store.get_historical_features(
        questions(rows).to_pandas(), features=store.get_feature_service(SERVICE)
    )
    found = filled(pl.from_arrow(job.to_arrow()))  # type: ignore[arg-type]
    ordered = rows.select("impression_id").join(found, on="impression_id", how="left", maintain_order="left")
    return {name: ordered[name].to_numpy() for name in ordered.columns if name != "impression_id"}


def _evidence(offline: Offline, rows: pl.DataFrame) -> Evidence:
    """One release's impressions; other moments are asked about only where something differs."""
    towers = towers_of(offline.places, rows["release_id"][0])
    served, asked = features_of(rows), rows.select(recompute.ROWS)
    joined = offline.joined(towers, asked)
    wrong = np.flatnonzero(differing(served, joined))
    evidence = Evidence(served, joined, joined, joined)
    if not len(wrong):
        return evidence
    mirror = rows["features_time"].fill_null(rows["event_time"]).to_physical().to_numpy()
    mirrored = _put(joined, wrong, offline.counted(towers, _at(asked[wrong], mirror[wrong])))
    late_us = stored_after(offline.places, rows[wrong])
    came_late = late_us >= 0
    late_rows = asked[wrong].filter(came_late)
    late = _put(joined, wrong[came_late], offline.counted(towers, _at(late_rows, late_us[came_late])))
    diagnosed = wrong[:DIAGNOSED]
    others = _hypotheses(offline, towers, asked[diagnosed])
    hypotheses = {cause: _put(joined, diagnosed, matrix) for cause, matrix in others.items()}
    return Evidence(served, joined, mirrored, late, hypotheses)


def _hypotheses(offline: Offline, towers: Towers | None, rows: pl.DataFrame) -> dict[str, Matrix]:
    """The matrix at moments a bug might have asked about."""
    times = rows["event_time"].to_physical().to_numpy()
    loaded = read_loaded(offline.places)
    moments = {"boundary (1 us early)": times - 1, "boundary (1 us late)": times + 1}
    if loaded is not None:
        moments["old table (as last loaded)"] = np.full_like(times, loaded.until_us)
    return {cause: offline.counted(towers, _at(rows, moment)) for cause, moment in moments.items()}


def stored_after(places: Places, rows: pl.DataFrame) -> NDArray[np.int64]:
    """[n], the known time of the person's first event that was known before an impression, stored after it.

    -1 where there is none. The journal knows the order in which things were stored.
    """
    journal = Journal(places.journal)
    entries = [(each.number, each.event) for each in journal.events()]
    journal.close()
    slates = {event["impression_id"]: number for number, event in entries if event["kind"] == "served"}
    by_person: dict[int, list[tuple[int, int]]] = {}
    for number, event in entries:
        if event["kind"] not in ("served", "requested"):
            by_person.setdefault(event["user_id"], []).append((number, event["known_time_us"]))
    found = []
    for impression, user, moment in rows.select("impression_id", "user_id", "event_time").iter_rows():
        at_us = int(pl.Series([moment]).cast(INSTANT).to_physical()[0])
        slate = slates.get(impression, 2**62)
        after = [known for number, known in by_person.get(user, []) if number > slate and known < at_us]
        found.append(min(after, default=-1))
    return np.array(found, np.int64)


def towers_of(places: Places, release_id: str) -> Towers | None:
    """The towers of a registered release; None if it is gone, and its tower scores cannot be checked."""
    for version in registry.versions(places):
        if version.directory.name == release_id:
            return Towers.from_arrays(read_release(version.directory).towers)
    return None


def _keyed(past: Past, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the keys that follow from the video."""
    videos = rows["video_id"].to_numpy()
    keys = {"creator_id": past.catalog.creators_of(videos), "topic": past.catalog.topics_of(videos)}
    return rows.with_columns(**{name: pl.Series(key) for name, key in keys.items()})


def _at(rows: pl.DataFrame, moments_us: NDArray[np.int64]) -> pl.DataFrame:
    return rows.with_columns(pl.Series("event_time", moments_us, pl.Int64).cast(INSTANT))


def _put(matrix: Matrix, places: NDArray[np.int64], rows: Matrix) -> Matrix:
    """A copy of the matrix with these rows in place."""
    changed = matrix.copy()
    changed[places] = rows
    return changed


def _first(stored: Stored, n: int) -> Stored:
    return {name: column[:n] for name, column in stored.items()}


def _joined_evidence(parts: Sequence[Evidence]) -> Evidence:
    """The impressions of all releases."""
    nothing = np.zeros((0, len(COLUMNS)), np.float32)
    if not parts:
        return Evidence(nothing, nothing, nothing, nothing)
    names = dict.fromkeys(cause for part in parts for cause in part.hypotheses)

    def stacked(matrices: Sequence[Matrix]) -> Matrix:
        return np.concatenate(matrices)

    hypotheses = {
        cause: stacked([part.hypotheses.get(cause, part.joined) for part in parts]) for cause in names
    }
    served, joined, mirrored, late = (
        stacked([getattr(part, name) for part in parts]) for name in ("served", "joined", "mirrored", "late")
    )
    return Evidence(served, joined, mirrored, late, hypotheses)
