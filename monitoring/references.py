"""What the champion learned from: a sample of its training snapshot, and when that snapshot ends.

Looked for in two places: `reference.parquet` inside the release, which travels with it, or the snapshot
itself under work/build-training-set, recognised by the hash the release's manifest carries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from feature_repo.matrix import COLUMNS
from feature_repo.places import Places

INSIDE_RELEASE = "reference.parquet"
SNAPSHOTS = "build-training-set"
SNAPSHOT = "snapshot.parquet"
FIGURES = "figures.json"


@dataclass(frozen=True)
class Reference:
    """`rows`: at most `sample` rows of the matrix columns; `size` rows the snapshot has; `until_us` its last
    moment.
    """

    rows: pl.DataFrame
    size: int
    until_us: int


def reference(places: Places, release: Path, manifest: Mapping[str, Any], sample: int) -> Reference | None:
    """The champion's reference; None when neither place has it any more."""
    path = _found(places, release, str(manifest.get("snapshot_hash", "")))
    if path is None:
        return None
    scan = pl.scan_parquet(path)
    moments = scan.select(pl.len().alias("size"), pl.col("event_time").to_physical().max().alias("until"))
    size, until = moments.collect().row(0)
    learned = _learned(scan)
    return Reference(learned.sample(min(sample, len(learned)), seed=0), int(size), int(until))


def _found(places: Places, release: Path, snapshot_hash: str) -> Path | None:
    if (release / INSIDE_RELEASE).exists():
        return release / INSIDE_RELEASE
    for figures in sorted((places.work / SNAPSHOTS).glob(f"[!.]*/{FIGURES}")):
        if snapshot_hash and json.loads(figures.read_text()).get("snapshot_hash") == snapshot_hash:
            return figures.with_name(SNAPSHOT)
    return None


def _learned(scan: pl.LazyFrame) -> pl.DataFrame:
    """The rows the heads trained on, or all of a file that does not say which those are."""
    columns = scan.collect_schema().names()
    rows = scan.filter(pl.col("split") == "train") if "split" in columns else scan
    return rows.select(name for name in COLUMNS if name in columns).collect()
