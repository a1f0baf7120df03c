"""Join every labelled impression with what was known when it was served: one row in, one row out.

Stored features come through Feast's point-in-time join; context, history and tower score are the same pure
functions a request runs, asked about the moment of the impression. The file written here is the training
snapshot: its hash is part of the release.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_repo.clock import INSTANT
from feature_repo.context import context_columns
from feature_repo.contracts import table_violations
from feature_repo.histories import (
    Histories,
    follows_before,
    histories_before,
    history_creator_share,
    history_topic_share,
)
from feature_repo.labels import LABELS, DurationQuantiles, learnable, with_watch_quantile
from feature_repo.log import EventLog
from feature_repo.matrix import COLUMNS, assemble
from feature_repo.places import Places
from feature_repo.videos import VideoCatalog
from pipelines.plan import Plan
from pipelines.shell import Told
from pipelines.splits import WITHOUT_SLATES
from pipelines.stages import file_digest, read_json, write_json
from pipelines.train_towers import load as load_towers
from pipelines.watches import history_of, labels_of_each, profiles_of
from serving.towers import Towers, scores

SNAPSHOT = "snapshot.parquet"


class RowsLost(RuntimeError):
    """The join did not return exactly the labelled impressions."""


def matrix_columns(
    places: Places, log: EventLog, catalog: VideoCatalog, towers: Towers, table: pl.DataFrame
) -> dict[str, npt.NDArray[Any]]:
    """Every column a model reads, for labelled impressions, as of each one's `asked_time`."""
    from feature_repo.store import training_features

    asked = table.with_columns(event_time="asked_time")
    stored = training_features(places, asked)
    _refuse_lost_rows(table, stored)
    end_us = int(table["event_time"].to_physical().max() or 0) + 1  # type: ignore[arg-type]
    watched = log.read("watched", end_us=end_us)
    times = table["event_time"].to_physical().to_numpy()
    histories = histories_before(
        watched, table["user_id"].to_numpy(), asked["event_time"].to_physical().to_numpy()
    )
    columns = {name: stored[name].to_numpy() for name in stored.columns if name not in table.columns}
    joined, uploaded = columns["user_joined_us"], columns["video_uploaded_us"]
    return {
        **columns,
        **context_columns(times, table["surface"].to_numpy(), uploaded, joined),
        **history_columns(log, catalog, histories, asked),
        "tower_score": tower_scores(log, catalog, towers, histories, table),
    }


def history_columns(
    log: EventLog, catalog: VideoCatalog, histories: Histories, table: pl.DataFrame
) -> dict[str, npt.NDArray[np.float32]]:
    """The columns of catalogue.HISTORY_FEATURES."""
    had, asked = (catalog.rows_of(videos) for videos in (histories.video_ids, table["video_id"].to_numpy()))
    topics, creators = catalog.topics_at(asked), catalog.creators_at(asked)
    users, times = table["user_id"].to_numpy(), table["event_time"].to_physical().to_numpy()
    return {
        "history_size": histories.sizes,
        "history_topic_share": history_topic_share(histories.weights, catalog.topics_at(had), topics),
        "history_creator_share": history_creator_share(histories.weights, catalog.creators_at(had), creators),
        "follows_creator": follows_before(log.read("followed"), users, creators, times),
    }


def tower_scores(
    log: EventLog, catalog: VideoCatalog, towers: Towers, histories: Histories, table: pl.DataFrame
) -> npt.NDArray[np.float32]:
    """Dot product of each person, with the history they had, and each video; of an unknown video, that of no
    video.
    """
    inputs = towers.inputs(catalog)
    times = table["asked_time"].to_physical().to_numpy()
    profiles = profiles_of(log.read("joined"), table["user_id"].to_numpy(), times)
    users = towers.users(profiles, *history_of(histories, catalog), towers.seen(inputs))
    videos = towers.videos(inputs)
    rows = catalog.rows_of(table["video_id"].to_numpy())
    return np.where(rows >= 0, scores(users, videos[rows]), np.float32(0))


def _refuse_lost_rows(table: pl.DataFrame, stored: pl.DataFrame) -> None:
    if not table["impression_id"].equals(stored["impression_id"]):
        raise RowsLost(
            f"the point-in-time join returned {len(stored)} rows for {len(table)} labels, or in another "
            "order; it must return each once, in order. Check the offline store in "
            "feature_repo/feature_store.yaml."
        )


def snapshot(plan: Plan, towers: Towers) -> tuple[pl.DataFrame, DurationQuantiles]:
    """All ranker rows with labels, split and matrix columns, and watch-time quantiles of the train rows."""
    names, windows = zip(*plan.splits.ranker, strict=True)
    known = labels_of_each(plan.log, windows)
    parts = [labelled(plan, name, rows) for name, rows in zip(names, known, strict=True)]
    quantiles = fitted_quantiles(parts[0])
    table = with_watch_quantile(pl.concat(parts), quantiles)
    catalog = VideoCatalog.from_log(plan.log)
    matrix = assemble(matrix_columns(plan.run.places, plan.log, catalog, towers, table), len(table))
    features = [pl.Series(column, matrix[:, place]) for place, column in enumerate(COLUMNS)]
    return table.rename({"surface": "served_surface"}).with_columns(features), quantiles


def labelled(plan: Plan, split: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of one split that are learned from, with the moment each is asked about."""
    learned = rows.filter(learnable(plan.run.logs))
    return learned.with_columns(asked_time(plan, split), pl.lit(split).alias("split"))


def asked_time(plan: Plan, split: str) -> pl.Expr:
    """When people and videos are looked up: at the impression; without slates, held-out rows at their start.

    A person's impressions of all the held-out days are then ranked as one list, and a list has one moment.
    Looked up later, a person's rates and history hold the labels of the very list they help to rank: a
    positive raises every row after it, which orders moments, not videos (on KuaiRand the mean of GAUC and
    nDCG@5 falls from .54 to .51).
    """
    own = pl.col("event_time").alias("asked_time")
    if split != "test" or plan.run.logs not in WITHOUT_SLATES:
        return own
    start = pl.lit(plan.splits.test.start_us, pl.Int64).cast(INSTANT)
    return pl.min_horizontal(own, start).alias("asked_time")


def fitted_quantiles(train: pl.DataFrame) -> DurationQuantiles:
    """Watch-time quantiles by duration, from the train rows alone."""
    durations = train["duration_ms"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return DurationQuantiles.fitted(train["watched_ms"].to_numpy(), durations)


def make(plan: Plan, told: Told) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        told.say("labels, features as of each impression, tower scores…")
        table, quantiles = snapshot(plan, load_towers(plan.towers.needed(plan.work)))
        table.write_parquet(folder / SNAPSHOT, compression="zstd", compression_level=1)
        (folder / "quantiles.json").write_text(quantiles.to_json(), encoding="utf-8")
        kept = table_violations(table)
        for breach in kept.breaches():
            told.say(f"contract: {breach}")
        counted = {"snapshot_hash": file_digest(folder / SNAPSHOT), "contracts": kept.as_figure()}
        write_json(folder / "figures.json", figures(table) | counted)

    return write


def figures(table: pl.DataFrame) -> dict[str, Any]:
    """Rows per split, and per head the rows whose label has matured with the mean label."""
    heads = {
        label: {
            split: _counted(table.filter(pl.col("split") == split, pl.col(f"{label}_mature")), label)
            for split in ("train", "calibrate", "test")
        }
        for label in LABELS
    }
    return {"rows": {split: len(part) for (split,), part in table.group_by("split")}, "mature": heads}


def _counted(rows: pl.DataFrame, label: str) -> dict[str, float]:
    return {"rows": len(rows), "mean": float(rows[label].cast(pl.Float64).mean() or 0.0)}  # type: ignore[arg-type]


def run(plan: Plan, told: Told) -> dict[str, Any]:
    """Make the snapshot, or find it made."""
    plan.features.needed(plan.work)
    plan.towers.needed(plan.work)
    artifact = plan.rows.made(plan.work, make(plan, told))
    return {"reused": artifact.reused, **read_json(artifact.path / "figures.json")}
