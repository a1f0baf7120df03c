"""Every verb in order, in one process: logs in, a registered and judged release out."""

from __future__ import annotations

import importlib
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

from pipelines.plan import Plan
from pipelines.shell import Told, shown

ORDER = (
    "ingest",
    "build-features",
    "train-towers",
    "build-training-set",
    "train-ranker",
    "materialize",
    "release",
    "promote",
)


def run(plan: Plan, told: Told) -> dict[str, Any]:
    """Figures of every verb, the seconds it took, and one closing table."""
    from feature_repo.reports import write_report

    figures, seconds = {}, {}
    for verb in ORDER:
        started = time.perf_counter()
        figures[verb] = importlib.import_module(f"pipelines.{verb.replace('-', '_')}").run(plan, told)
        seconds[verb] = time.perf_counter() - started
        write_report(plan.run, verb, {**figures[verb], "seconds": seconds[verb]})
        told.say(f"{verb:20} {_took(figures[verb], seconds[verb])}")
    told.table("release", ("what", "figure"), closing(figures, seconds))
    held_out = _held_out(plan, told)
    return {
        "seconds_per_verb": seconds,
        "reused": [verb for verb in ORDER if figures[verb].get("reused")],
        "peak_memory_gib": peak_memory_gib(),
        "promoted": figures["promote"]["promoted"],
        **_kept(figures),
        **held_out,
    }


def peak_memory_gib() -> float:
    """The most memory this process has held; ru_maxrss counts KiB, on macOS bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _took(figures: Mapping[str, Any], seconds: float) -> str:
    return "reused" if figures.get("reused") else f"{seconds:.1f} s"


def closing(figures: Mapping[str, Any], seconds: Mapping[str, float]) -> list[tuple[str, str]]:
    """The rows of the last table: the release, how it ranks beside its rivals, what the verbs took."""
    release = figures["release"]
    ranking = release["ranking"]
    rows = [("release", str(release["release_id"])), ("version", str(release["version"]))]
    rows += [("promoted", "yes" if figures["promote"]["promoted"] else "no: " + _refused(figures["promote"]))]
    rows += [(f"per-user AUC of a yes, {name}", shown(row["gauc_yes"])) for name, row in ranking.items()]
    rows += [(f"AUC, {name}", shown(row["auc"])) for name, row in release["heads"].items() if "auc" in row]
    rows += [
        (f"calibration error, {n}", shown(row["calibration_error"])) for n, row in release["heads"].items()
    ]
    rows += [(verb, _took(figures[verb], seconds[verb])) for verb in ORDER]
    return rows


def _refused(promote: Mapping[str, Any]) -> str:
    return (
        ", ".join(name for name, verdict in promote.get("gates", {}).items() if not verdict["holds"])
        or "rolled back"
    )


def _kept(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What documents quote from the whole run."""
    release = figures["release"]
    names = ("release_id", "version", "ranking", "heads", "best_baseline", "slate_overlap", "shifted")
    return {name: release[name] for name in names} | {"towers": figures["train-towers"]}


def _held_out(plan: Plan, told: Told) -> dict[str, Any]:
    """For real logs: the ranking table on the held-out days."""
    if plan.run.logs == "simulated":
        return {}
    from pipelines.held_out import held_out_table

    return {"held_out": held_out_table(plan, told)}
