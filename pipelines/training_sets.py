"""The training snapshot as models read it: a matrix and the labels that may be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_repo.matrix import COLUMNS
from pipelines.splits import is_mature

Mask = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

YES = ("long_watch", "like")
"""Acts by which a person says yes within the hour, so that all rows but the last hour's count."""


@dataclass(frozen=True)
class Rows:
    """Some rows of the snapshot: keys and labels as a table, features as a matrix in COLUMNS order."""

    table: pl.DataFrame
    matrix: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.table)

    def where(self, mask: Mask) -> Rows:
        return Rows(self.table.filter(pl.Series(mask)), self.matrix[mask])

    def mature(self, label: str) -> Mask:
        """Which rows may be used for this label."""
        return self.table.select(is_mature(label)).to_series().to_numpy()

    def label(self, label: str) -> Doubles:
        return self.table[label].cast(pl.Float64).fill_null(float("nan")).to_numpy()

    @cached_property
    def users(self) -> npt.NDArray[np.int64]:
        return self.table["user_id"].to_numpy()

    @cached_property
    def judged(self) -> Mask:
        """Rows on which a yes has had its time."""
        return self.settled(YES)

    def settled(self, acts: Iterable[str]) -> Mask:
        """Rows on which every one of these acts has had its time."""
        return np.asarray(np.logical_and.reduce([self.mature(act) for act in acts]), np.bool_)

    @cached_property
    def yeses(self) -> Doubles:
        """1 where the person said yes: watched long, or liked."""
        return np.asarray(self.realised(dict.fromkeys(YES, 1.0)) > 0, np.float64)

    def realised(self, prices: Mapping[str, float]) -> Doubles:
        """What happened, at these prices: the sum of price times label, and 0 where that is a loss (a gain in
        nDCG cannot be negative).
        """
        worth = [price * np.nan_to_num(self.label(act)) for act, price in prices.items()]
        return np.maximum(np.asarray(sum(worth), np.float64), 0.0)


def read_rows(snapshot: Path, split: str | None = None) -> Rows:
    """Rows of one split, or of all, in order of time."""
    scan = pl.scan_parquet(snapshot)
    table = (scan if split is None else scan.filter(pl.col("split") == split)).collect()
    matrix = np.empty((len(table), len(COLUMNS)), np.float32)
    for place, name in enumerate(COLUMNS):
        matrix[:, place] = table[name].to_numpy()
    return Rows(table.drop(COLUMNS), matrix)


def earlier_half(rows: Rows) -> Mask:
    """The first half of rows in order of time; the rest is the later half."""
    times = rows.table["event_time"].to_physical().to_numpy()
    return times < np.median(times) if len(times) else np.zeros(0, np.bool_)
