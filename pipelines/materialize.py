"""Bring the newest features online, so that a server that starts now knows what the log knows."""

from __future__ import annotations

from typing import Any

from pipelines.plan import Plan
from pipelines.shell import Told
from pipelines.stages import Stage, read_json, write_json

SOURCES = ("feature_repo", "pipelines/materialize.py")


def stage(plan: Plan) -> Stage:
    settings = {"until_us": plan.log_end_us, "online": plan.run.places.online_url}
    return Stage("materialize", {"features": plan.features.key}, settings, SOURCES)


def run(plan: Plan, told: Told) -> dict[str, Any]:
    """Load every view's newest values at the end of the log; nothing newer is ever overwritten."""
    plan.features.needed(plan.work)
    receipt = plan.run.places.feast / "materialized.json"
    wanted = stage(plan)
    if receipt.exists() and read_json(receipt)["key"] == wanted.key:
        return {"reused": True, **read_json(receipt)["figures"]}
    receipt.unlink(missing_ok=True)
    from feature_repo.store import materialize

    told.say("features online…")
    figures = {"until_us": plan.log_end_us, "rows": materialize(plan.run.places, plan.log_end_us)}
    write_json(receipt, {"key": wanted.key, "figures": figures})
    return {"reused": False, **figures}
