"""Do recent rows look like those the champion learned from? Per column one method and one threshold, fixed
here.

Evidently would choose the method by the number of rows and gate on a preset; both are written down here
instead, so that a verdict means the same tomorrow. `psi` is the population stability index, `wasserstein` the
distance over the reference's standard deviation. What must differ by its definition (the hour, the calendar,
ages that grow) is not judged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from feature_repo.matrix import COLUMNS
from feature_repo.reports import write_text_atomically
from monitoring.findings import Finding, Verdict, judged, not_judged

SAMPLE = 5_000
"""Rows of each side given to Evidently: seconds, not minutes; the page stays small."""

DRIFTED_SHARE = 0.2
"""The features have drifted when more than a fifth of the judged columns have."""

MISSING_JUMP = 0.1
"""A column whose unknown share rose by a tenth has lost its source: a broken log, not a drifting world."""

LEAST_ROWS = 500
"""Below this, sampling noise alone exceeds the thresholds (a psi of B bins is about B (1/n + 1/m))."""


@dataclass(frozen=True)
class Watch:
    """How one column is compared: `codes` are categories, whatever their dtype."""

    method: Literal["psi", "wasserstein"]
    threshold: float
    codes: bool = False


CODES = Watch("psi", 0.2, codes=True)  # .1 is the textbook's "moderate", .2 its "significant" shift
AMOUNT = Watch("wasserstein", 0.35)
RATE = Watch("wasserstein", 0.35)
CREATOR = Watch("wasserstein", 0.6)  # creators are few and each has many rows: one good week moves them
CALENDAR = "one day of the week or of the clock is not all of them"
GROWS = "grows with the age of the log, whatever people do"

WATCHED: Mapping[str, Watch | str] = {
    "user_country": CODES,
    "user_device": CODES,
    "user_age_band": CODES,
    "user_activity_band": CODES,
    "user_fans_band": CODES,
    "user_follows_band": CODES,
    "user_impressions_1h": AMOUNT,
    "user_impressions_24h": AMOUNT,
    "user_impressions_7d": AMOUNT,
    "user_watched_s_24h": AMOUNT,
    "user_long_watch_rate_1h": RATE,
    "user_long_watch_rate_7d": RATE,
    "user_watched_share_7d": RATE,
    "user_like_rate_7d": RATE,
    "user_share_rate_7d": RATE,
    "user_negative_rate_7d": RATE,
    "video_topic": CODES,
    "video_duration_s": AMOUNT,
    "video_headline_score": AMOUNT,
    "video_production_score": AMOUNT,
    "video_impressions_1h": AMOUNT,
    "video_impressions_24h": AMOUNT,
    "video_impressions_7d": AMOUNT,
    "video_long_watch_rate_24h": RATE,
    "video_long_watch_rate_7d": RATE,
    "video_long_watches_3d": AMOUNT,
    "video_watched_share_7d": RATE,
    "video_like_rate_7d": RATE,
    "video_share_rate_7d": RATE,
    "video_negative_rate_7d": RATE,
    "creator_impressions_1h": CREATOR,
    "creator_impressions_24h": CREATOR,
    "creator_impressions_7d": CREATOR,
    "creator_long_watch_rate_24h": CREATOR,
    "creator_long_watch_rate_7d": CREATOR,
    "creator_like_rate_7d": CREATOR,
    "creator_share_rate_7d": CREATOR,
    "creator_followers": GROWS,
    "creator_uploads_7d": CREATOR,
    "user_topic_impressions_1h": AMOUNT,
    "user_topic_impressions_24h": AMOUNT,
    "user_topic_impressions_14d": GROWS,
    "user_topic_long_watch_rate_24h": RATE,
    "user_topic_long_watch_rate_7d": RATE,
    "user_topic_long_watch_rate_14d": RATE,
    "user_topic_like_rate_14d": RATE,
    "surface": CODES,
    "hour_of_day": CALENDAR,
    "is_weekend": CALENDAR,
    "video_age_hours": GROWS,
    "user_tenure_days": GROWS,
    "history_size": AMOUNT,
    "history_topic_share": RATE,
    "history_creator_share": RATE,
    "follows_creator": CODES,
    "tower_score": AMOUNT,
}
"""Every column of the matrix: how it is watched, or why it is not."""


@dataclass(frozen=True)
class ColumnDrift:
    """One column's distance from the reference by its method."""

    column: str
    method: str
    distance: float
    threshold: float

    @property
    def has_drifted(self) -> bool:
        return self.distance > self.threshold


@dataclass(frozen=True)
class Drift:
    """All judged columns, and where Evidently's page lies."""

    columns: tuple[ColumnDrift, ...]
    unknown_jumps: Mapping[str, float]
    page: Path | None = None

    @property
    def drifted(self) -> list[ColumnDrift]:
        """Columns beyond their threshold, furthest first."""
        return sorted((c for c in self.columns if c.has_drifted), key=lambda c: -c.distance / c.threshold)


def judged_columns(reference: pl.DataFrame, current: pl.DataFrame) -> dict[str, Watch]:
    """Watched columns that both sides know and that vary or may vary; a wholly unknown one has nothing to
    compare.
    """
    known = [name for name in COLUMNS if _is_known(reference, name) and _is_known(current, name)]
    watches = {name: WATCHED[name] for name in known}
    return {name: watch for name, watch in watches.items() if isinstance(watch, Watch)}


def unknown_jumps(reference: pl.DataFrame, current: pl.DataFrame) -> dict[str, float]:
    """Columns whose unknown share rose by more than MISSING_JUMP, with the rise."""
    shared = [name for name in COLUMNS if name in reference.columns and name in current.columns]
    rises = {name: _unknown_share(current, name) - _unknown_share(reference, name) for name in shared}
    return {name: rise for name, rise in rises.items() if rise > MISSING_JUMP}


def drift(reference: pl.DataFrame, current: pl.DataFrame, reports: Path) -> Drift:
    """Judge every column with Evidently, and write drift.html and drift.json into `reports`."""
    watches = judged_columns(reference, current)
    distances, page = evidently_distances(reference, current, watches, reports / "drift.html")
    columns = tuple(ColumnDrift(name, w.method, distances[name], w.threshold) for name, w in watches.items())
    found = Drift(columns, unknown_jumps(reference, current), page)
    write_text_atomically(reports / "drift.json", json.dumps(verdict(found), indent=2) + "\n")
    return found


def verdict(found: Drift) -> dict[str, Any]:
    """What drift.json holds: every column's method, distance, threshold and whether it drifted."""
    rows = {
        c.column: {**asdict(c), "distance": _finite(c.distance), "drifted": c.has_drifted}
        for c in found.columns
    }
    why = {name: watch for name, watch in WATCHED.items() if isinstance(watch, str)}
    jumps = dict(found.unknown_jumps)
    return {
        "drifted": len(found.drifted),
        "judged": len(rows),
        "columns": rows,
        "not_judged": why,
        "unknown": jumps,
    }


def evidently_distances(
    reference: pl.DataFrame, current: pl.DataFrame, watches: Mapping[str, Watch], page: Path
) -> tuple[dict[str, float], Path]:
    """Each column's distance as Evidently computes it, and its self-contained page."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        codes = [name for name, watch in watches.items() if watch.codes]
        numbers = [name for name in watches if name not in codes]
        definition = DataDefinition(numerical_columns=numbers, categorical_columns=codes)
        sides = [
            Dataset.from_pandas(_pandas(side, watches), data_definition=definition)
            for side in (current, reference)
        ]
        metrics = [ValueDrift(column=n, method=w.method, threshold=w.threshold) for n, w in watches.items()]
        snapshot = Report(metrics).run(*sides)
        page.parent.mkdir(parents=True, exist_ok=True)
        snapshot.save_html(str(page))
    values = [metric["value"] for metric in snapshot.dict()["metrics"]]
    return {name: float(value) for name, value in zip(watches, values, strict=True)}, page


def drift_findings(found: Drift) -> list[Finding]:
    """Whether the features as a whole have drifted, and whether one lost its source."""
    if not found.columns:
        return [not_judged("drift", "features", "no column is known on both sides")]
    drifted, of = found.drifted, len(found.columns)
    named = ", ".join(f"{c.column} {c.method} {c.distance:.2f} > {c.threshold:g}" for c in drifted[:5])
    fine = Verdict.OK if len(drifted) <= DRIFTED_SHARE * of else Verdict.FAILED
    bound = f"<= {DRIFTED_SHARE:.0%} of columns"
    whole = Finding("drift", "features", f"{len(drifted)} of {of} columns", bound, fine, named)
    return [whole, _missing(found.unknown_jumps)]


def _missing(jumps: Mapping[str, float]) -> Finding:
    named = ", ".join(f"{name} +{rise:.0%}" for name, rise in jumps.items()) or "none"
    bound = f"unknown share up by <= {MISSING_JUMP:.0%}"
    return judged("missing", "features", named, bound, not jumps, "what feeds these columns?")


def too_few(reference: pl.DataFrame, current: pl.DataFrame) -> Sequence[Finding]:
    """A finding instead of a verdict when either side is too small."""
    sizes = f"{len(reference):,} reference and {len(current):,} recent rows"
    few = min(len(reference), len(current)) < LEAST_ROWS
    return [not_judged("drift", "features", f"{sizes}, {LEAST_ROWS} each are needed")] if few else []


def _pandas(side: pl.DataFrame, watches: Mapping[str, Watch]) -> Any:
    """Codes as text, because Evidently treats numbers with many values as amounts; unknown stays unknown."""
    columns = [
        pl.col(name).fill_nan(None).cast(pl.Int64).cast(pl.String)
        if watch.codes
        else pl.col(name).cast(pl.Float64)
        for name, watch in watches.items()
    ]
    return side.select(columns).to_pandas()


def _unknown_share(side: pl.DataFrame, name: str) -> float:
    column = side[name].cast(pl.Float64)
    return float((column.is_null() | column.is_nan().fill_null(False)).mean() or 0.0)  # type: ignore[arg-type]


def _is_known(side: pl.DataFrame, name: str) -> bool:
    return name in side.columns and len(side) > 0 and _unknown_share(side, name) < 1.0


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
