"""Let the challenger serve a share of the people, or nobody; a running server follows within a second."""

from __future__ import annotations

from typing import Any

from pipelines.plan import Plan
from pipelines.shell import Told


def run(
    plan: Plan, told: Told, share: float | None = None, version: int | None = None, promote: bool = False
) -> dict[str, Any]:
    """Change the canary if asked to, and say how it stands."""
    from serving import canaries, registry

    places = plan.run.places
    if version is not None:
        registry.set_challenger(places, version)
    if share is not None:
        canaries.start(places, share)
    if promote:
        canaries.promote(places)
    canary, challenger = canaries.running(places), registry.aliased(places, registry.CHALLENGER)
    champion = registry.champion(places)
    figures = {
        "champion": champion[0] if champion else None,
        "challenger": challenger[0] if challenger else None,
        "share": canary.share,
    }
    told.say(_words(figures))
    return figures


def _words(figures: dict[str, Any]) -> str:
    if not figures["share"]:
        return f"no canary runs; version {figures['champion']} serves everybody."
    served = f"version {figures['challenger']} serves {figures['share']:.1%} of the people"
    return f"{served}, version {figures['champion']} the others."
