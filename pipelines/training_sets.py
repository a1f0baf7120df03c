"""The training snapshot as models read it: a matrix and the labels that may be used."""

from __future__ import annotations

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

GAIN = {"long_watch": 1.0, "like": 2.0}
"""What an impression was worth, seen afterwards: graded relevance for nDCG, in small integers so that one
rare act does not decide a person's score. Only acts whose window is an hour, so that all rows but the last
hour's count.
"""


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
        """Rows on which every act that gains has had its time."""
        return np.asarray(np.logical_and.reduce([self.mature(act) for act in GAIN]), np.bool_)

    @cached_property
    def yeses(self) -> Doubles:
        """1 where the person said yes: watched long, or liked."""
        return np.asarray(self.gains > 0, np.float64)

    @cached_property
    def gains(self) -> Doubles:
        """Graded relevance of each row, from its labels."""
        worth = [weight * np.nan_to_num(self.label(act)) for act, weight in GAIN.items()]
        return np.asarray(sum(worth), np.float64)


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
