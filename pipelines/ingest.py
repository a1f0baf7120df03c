"""Absorb events into the log: what the server acknowledged since last time, and foreign logs when LOGS names
them.

Doing it twice changes nothing: parts are named by what they hold.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from feature_repo.events import KINDS
from feature_repo.journal import Journal
from feature_repo.log import EventLog
from pipelines.plan import Plan
from pipelines.shell import Told
from pipelines.stages import OutOfOrder


def run(plan: Plan, told: Told) -> dict[str, Any]:
    """Drain the journal; for LOGS=kuairand read the folder first. Counts per kind, and what was repaired."""
    log = EventLog(plan.run.places.log)
    foreign = _foreign(log) if plan.run.logs == "kuairand" else {}
    drained = _drained(plan, log)
    if log.is_empty():
        raise OutOfOrder(
            f"{log.root} holds no events. Run `python -m simulator logs` first (or `make train`)."
        )
    parts = sum(len(log.parts(kind)) for kind in KINDS)
    told.say(f"log: {parts} parts, {drained} events from the server's journal")
    return {"from_journal": drained, "foreign": foreign, "audit": _audits(log)}


def _drained(plan: Plan, log: EventLog) -> int:
    if not plan.run.places.journal.exists():
        return 0
    return Journal(plan.run.places.journal).drain_into(log)


def _foreign(log: EventLog) -> dict[str, int]:
    from pipelines.adapters import kuairand

    folder = Path(os.environ.get("REAL_LOGS") or "var/real_logs")
    if not folder.exists():
        raise OutOfOrder(
            f"no real logs at {folder}. Put KuaiRand-Pure there, or point REAL_LOGS at a folder that holds "
            "impressions_*.parquet, users.parquet and videos_basic.parquet."
        )
    return kuairand.ingest(folder, log)


def _audits(log: EventLog) -> dict[str, dict[str, int]]:
    """Per kind: rows stored, repeats dropped on reading, rows out of order in their part, rows known late."""
    audits = {kind: log.audit(kind) for kind in KINDS if log.parts(kind)}
    return {kind: {name: int(count) for name, count in vars(audit).items()} for kind, audit in audits.items()}
