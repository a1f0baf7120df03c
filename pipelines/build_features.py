"""Write the steps of every feature view from the log and register the views with Feast."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.asides import done_aside
from pipelines.plan import Plan
from pipelines.shell import Told
from pipelines.stages import read_json, write_json

if TYPE_CHECKING:
    from feature_repo.log import EventLog
    from feature_repo.steps import Steps


def run(plan: Plan, told: Told) -> dict[str, Any]:
    """Steps up to the end of the log, unless those of this very log and code are there."""
    from feature_repo.steps import read_manifest

    manifest = read_manifest(plan.run.places.features)
    if manifest is None or manifest.until_us != plan.log_end_us:
        shutil.rmtree(plan.features.folder(plan.work), ignore_errors=True)
    artifact = plan.features.made(plan.work, lambda folder: _write(plan, told, folder))
    return {"reused": artifact.reused, **read_json(artifact.path / "figures.json")}


def writer(engine: str) -> Callable[[EventLog, Path, int], Steps]:
    """What writes the steps: this process, or Spark (extra [spark]), cell by cell the same."""
    if engine == "spark":
        from feature_repo.spark_engine import write_steps
    else:
        from feature_repo.steps import write_steps
    return write_steps


def _write(plan: Plan, told: Told, folder: Path) -> None:
    from feature_repo.store import apply

    told.say("the steps of every feature view…")
    write_steps = writer(plan.run.engine)
    with done_aside(partial(import_module, "feature_repo.feast_objects")):  # Feast takes seconds
        written = write_steps(plan.log, plan.run.places.features, plan.log_end_us)
    apply(plan.run.places)
    write_json(folder / "figures.json", {"until_us": written.until_us, "rows": dict(written.rows)})
