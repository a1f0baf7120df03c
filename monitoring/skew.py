"""Is what was served what training would have seen? Cell by cell, in float32, on the features logged with
impressions.

A cell is equal when it is the as-of join at the moment of the impression (two unknowns are equal); stale when
it is the join at the moment its mirror was read, which is logged with it; anything else is a mismatch, and
has a cause to look for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import FEATURES, feature_named
from feature_repo.matrix import COLUMNS
from monitoring.findings import Finding, Verdict, judged, not_judged

Matrix = NDArray[np.float32]
Mask = NDArray[np.bool_]

NO_ROWS = "no served rows yet by this champion: run `make serve` and ask for feeds"
MISMATCH_SHARE = 0.001
"""An event acknowledged while a request was under way may make one cell differ; a thousandth of cells may
not.
"""

MIRRORED = frozenset(f.name for f in FEATURES if f.view and f.entity in ("video", "creator"))
"""Columns served from the mirror, which may be as old as the time logged with it; no other may."""

TOLERANCES = {"tower_score": 1e-4}
"""Columns that are model outputs: a batch sums products in another order than one request does."""

CAUSES = {
    "user_profile": "the online store holds another profile: run `python -m pipelines materialize`",
    "user_stats": "the server counted other events than log and journal hold, or in other windows",
    "user_topic_stats": "the server counted other events than log and journal hold, or in other windows",
    "video_profile": "the mirror holds another profile, or the upload was changed",
    "video_stats": "the mirror was not what the log says of the time logged with it",
    "creator_stats": "the mirror was not what the log says of the time logged with it",
    "request": "clock, surface or joining time differ between request and log",
    "pair": "an event the server knew is not in the log or came in another order; or other towers",
}
"""Where to look first, by the view a feature lives in, or what a derived one is about."""


@dataclass(frozen=True)
class ColumnSkew:
    """One column: cells equal, stale and mismatched, and the largest difference of a mismatch."""

    column: str
    equal: int
    stale: int
    mismatched: int
    largest: float

    @property
    def cells(self) -> int:
        return self.equal + self.stale + self.mismatched

    @property
    def cause(self) -> str:
        feature = feature_named(self.column)
        return CAUSES[feature.view or feature.entity]


def served_rows(served: pl.DataFrame, most: int) -> pl.DataFrame:
    """The newest impressions that were served with features of this matrix; logging policies and foreign logs
    have none.
    """
    with_features = served.filter(pl.col("features").list.len() == len(COLUMNS))
    return with_features.sort("event_time", "impression_id").tail(most)


def features_of(served: pl.DataFrame) -> Matrix:
    """The features as served, f32[n, COLUMNS]."""
    flat = served["features"].explode().cast(pl.Float32).fill_null(float("nan")).to_numpy()
    return flat.reshape(len(served), len(COLUMNS))


def compared(served: Matrix, at_event: Matrix, at_mirror: Matrix) -> list[ColumnSkew]:
    """Every column's cells, sorted into equal, stale and mismatched."""
    return [
        column_skew(name, served[:, place], at_event[:, place], at_mirror[:, place])
        for place, name in enumerate(COLUMNS)
        if not np.isnan(at_event[:, place]).all() or not np.isnan(served[:, place]).all()
    ]


def column_skew(name: str, served: Matrix, at_event: Matrix, at_mirror: Matrix) -> ColumnSkew:
    """One column's cells, f32[n] each."""
    equal = same(served, at_event, TOLERANCES.get(name, 0.0))
    stale = ~equal & same(served, at_mirror, TOLERANCES.get(name, 0.0)) & (name in MIRRORED)
    wrong = ~equal & ~stale
    gaps = np.abs(served[wrong].astype(np.float64) - at_event[wrong])
    largest = float(np.nan_to_num(gaps, nan=np.inf).max(initial=0.0))
    return ColumnSkew(name, int(equal.sum()), int(stale.sum()), int(wrong.sum()), largest)


def same(a: Matrix, b: Matrix, tolerance: float = 0.0) -> Mask:
    """Equal in float32, or within the tolerance; NaN equals NaN."""
    close = np.abs(a.astype(np.float64) - b) <= tolerance if tolerance else a == b
    return np.asarray(close | (np.isnan(a) & np.isnan(b)), np.bool_)


def skew(columns: Sequence[ColumnSkew], rows: int) -> list[Finding]:
    """One finding over all cells, and one per column with mismatches, worst first."""
    if not rows:
        return [not_judged("skew", "served features", NO_ROWS)]
    cells, wrong, stale = (sum(getattr(c, of) for c in columns) for of in ("cells", "mismatched", "stale"))
    value = f"{wrong} of {cells:,} cells differ, {stale} stale, {rows} impressions"
    bound = f"<= {MISMATCH_SHARE:.1%} of cells"
    whole = judged("skew", "served features", value, bound, wrong <= MISMATCH_SHARE * cells, "columns below")
    worst = sorted((c for c in columns if c.mismatched), key=lambda c: -c.mismatched)
    return [whole, *(_column(c, whole.verdict) for c in worst)]


def _column(column: ColumnSkew, verdict: Verdict) -> Finding:
    value = f"{column.mismatched} of {column.cells} differ, by up to {column.largest:.3g}"
    return Finding("skew", column.column, value, "equal", verdict, column.cause)
