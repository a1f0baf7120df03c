"""Write the snapshots of every feature view from the log and register the views with Feast."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pipelines.plan import Plan
from pipelines.shell import Told
from pipelines.stages import read_json, write_json


def run(plan: Plan, told: Told) -> dict[str, Any]:
    """Snapshots up to the end of the log, unless those of this very log and code are there."""
    from feature_repo.snapshots import read_manifest

    manifest = read_manifest(plan.run.places.features)
    if manifest is None or manifest.until_us != plan.log_end_us:
        shutil.rmtree(plan.features.folder(plan.work), ignore_errors=True)
    artifact = plan.features.made(plan.work, lambda folder: _write(plan, told, folder))
    return {"reused": artifact.reused, **read_json(artifact.path / "figures.json")}


def _write(plan: Plan, told: Told, folder: Path) -> None:
    from feature_repo.snapshots import write_snapshots
    from feature_repo.store import apply

    told.say("snapshots of every feature view…")
    written = write_snapshots(plan.log, plan.run.places.features, plan.log_end_us)
    apply(plan.run.places)
    write_json(folder / "figures.json", {"until_us": written.until_us, "rows": dict(written.rows)})
