"""Move the champion alias back to the champion before; a running server follows without a restart."""

from __future__ import annotations

from typing import Any

from pipelines.plan import Plan
from pipelines.shell import Told


def run(plan: Plan, told: Told) -> dict[str, Any]:
    from serving import registry

    moved = registry.rollback(plan.run.places)
    told.say(str(moved))
    return {"from_version": moved.from_version, "to_version": moved.to_version, "took_ms": moved.took_ms}
