"""The model card and the data card of a release: what it is for, what it learned from, how good it is, where
it fails.

After Mitchell et al. (2019) and Gebru et al. (2021); every number comes from the release's own figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feature_repo.clock import utc
from feature_repo.labels import WINDOWS_US
from pipelines.plan import Plan
from pipelines.shell import shown
from pipelines.splits import WITHOUT_SLATES, Window
from serving.values import Values

Figures = Mapping[str, Any]


def model_card(plan: Plan, values: Values, heads: Figures, metrics: Figures) -> str:
    """One page for a reader who must decide whether to trust this release."""
    return "\n".join(
        [
            f"# Model card: short-video ranker, {_told(plan)}",
            "",
            "**For**: ordering short videos for one person in one feed. **Not for**: judging videos,",
            "creators or people; decisions outside the feed; people or catalogues unlike the data card's.",
            "",
            "**What it is**: two towers (user x video, 32 numbers each) find candidates, beside followed,",
            "fresh, similar and trending ones; five gradient-boosted heads predict what the person would do,",
            "each calibrated where enough of it happened; reviewed weights make one value.",
            "",
            "## Heads on the test days",
            "",
            *_table(
                ("head", "rows used", "trees", "quality", "calibration error"), _head_rows(heads, metrics)
            ),
            "",
            "## Order on the test days (the same rows for everybody)",
            "",
            "A yes is a long watch or a like; realised value is what happened, at the weights below.",
            "",
            *_table(("scorer", "per-user AUC of a yes", "nDCG@10 of realised value"), _scorer_rows(metrics)),
            "",
            "## What each act is worth",
            "",
            *_table(("act", "weight", "base rate", "contribution", "reason"), _weight_rows(values)),
            "",
            "## Limits",
            "",
            "- Labels exist only for what an older policy showed: `exposure_versus_candidates` in the",
            "  release report says how far candidates are from that.",
            "- People without history are ranked by profile and popularity, videos without views by content",
            "  and creator.",
            "- Offline figures order past impressions. They do not say what a feed of its own would earn.",
            "",
        ]
    )


def data_card(plan: Plan, rows: Figures) -> str:
    """Where the rows come from, what was left out, and why."""
    windows = [("towers", plan.splits.towers), *plan.splits.ranker]
    known = (
        "simulated people whose true preferences are sealed"
        if plan.run.logs == "simulated"
        else plan.run.logs
    )
    return "\n".join(
        [
            f"# Data card: {_told(plan)}",
            "",
            f"**Source**: the event log under `VAR/{plan.run.logs}-{plan.run.scale}/log` ({known}).",
            f"**Log digest**: `{plan.log_digest[:16]}`. **Snapshot**: `{str(rows['snapshot_hash'])[:16]}`.",
            "",
            "## Splits, by time",
            "",
            *_table(("window", "from", "to (before)", "rows"), [_window_row(*w, rows) for w in windows]),
            "",
            "## Labels",
            "",
            "One row per impression that reached the screen; served without being watched is unseen, not",
            "a negative. A row is used for a head once the head's window has passed before its split ends.",
            "",
            *_table(("label", "window, h", "mature train rows", "mean"), _label_rows(rows)),
            "",
            "## Features",
            "",
            "Each row sees what was known strictly before its moment (Feast, point-in-time, filtered by",
            "known time). Ids are keys, never columns. No column is derived from outcomes of the row itself.",
            *_asked_at(plan),
            "",
        ]
    )


def _asked_at(plan: Plan) -> list[str]:
    if plan.run.logs not in WITHOUT_SLATES:
        return []
    return [
        "This log has no slates, so a person's test rows are ranked as one list: all of them see what was",
        "known when the test days began, not at their own moment.",
    ]


def _told(plan: Plan) -> str:
    return f"{plan.run.logs} logs, scale {plan.run.scale}, seed {plan.run.seed}"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [header, tuple("---" for _ in header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _head_rows(heads: Figures, metrics: Figures) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, figures in heads.items():
        measured = metrics["heads"][name]
        quality = "auc" if "auc" in measured else "rank_correlation"
        error = shown(measured["calibration_error"])
        used = f"{figures['rows_used']:,} of {figures['rows_mature']:,}"
        rows.append((name, used, str(figures["trees"]), f"{quality} {shown(measured[quality])}", error))
    return rows


def _scorer_rows(metrics: Figures) -> list[tuple[str, ...]]:
    ranking = metrics["ranking"]
    return [(name, shown(row["gauc_yes"]), shown(row["ndcg_at_10"])) for name, row in ranking.items()]


def _weight_rows(values: Values) -> list[tuple[str, ...]]:
    return [
        (w.act, f"{w.weight:g}", f"{w.base_rate:.5f}", f"{w.contribution:+.4f}", w.reason)
        for w in values.weights
    ]


def _window_row(name: str, window: Window, rows: Figures) -> tuple[str, ...]:
    days = [f"{utc(moment):%Y-%m-%d %H:%M}" for moment in (window.start_us, window.end_us)]
    counted = rows["rows"].get(name)
    return (name, *days, f"{counted:,}" if counted is not None else "positives only")


def _label_rows(rows: Figures) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for label, splits in rows["mature"].items():
        hours = WINDOWS_US[label] / 3_600_000_000
        found.append((label, f"{hours:g}", f"{splits['train']['rows']:,}", f"{splits['train']['mean']:.5f}"))
    return found
