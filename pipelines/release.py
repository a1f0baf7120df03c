"""Assemble one release, measure it on the test rows beside its rivals, write its cards, register it as one
version.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.baselines import Logistic
from feature_repo.catalogue import SERVICE
from feature_repo.matrix import COLUMNS, matrix_hash
from feature_repo.reports import git_commit
from feature_repo.videos import VideoCatalog
from pipelines.asides import done_aside
from pipelines.build_training_set import SNAPSHOT
from pipelines.cards import data_card, model_card
from pipelines.measures import (
    Doubles,
    Rivals,
    Scores,
    as_figures,
    best_baseline,
    head_figures,
    ranking_figures,
    rivals,
)
from pipelines.plan import Plan
from pipelines.shell import Told
from pipelines.slates import asked, exposure_versus_candidates, shifted, slate_overlap
from pipelines.stages import Artifact, read_json, write_json
from pipelines.train_ranker import load_heads, load_values
from pipelines.train_towers import load as load_towers
from pipelines.training_sets import Rows, read_rows
from serving.heads import HEADS, Heads
from serving.policies import Policy
from serving.releases import Notes, Release, read_release, write_release
from serving.values import Values

PREDICTIONS = "test_predictions.npz"
REFERENCE_ROWS = 50_000
"""Newest train rows the candidates are compared with."""


@dataclass(frozen=True)
class Trained:
    """Everything the earlier stages made, loaded."""

    plan: Plan
    rows: Artifact
    ranker: Artifact
    towers: Artifact

    @classmethod
    def of(cls, plan: Plan) -> Trained:
        rows, ranker = plan.rows.needed(plan.work), plan.ranker.needed(plan.work)
        return cls(plan, rows, ranker, plan.towers.needed(plan.work))

    def heads(self) -> Heads:
        return load_heads(self.ranker)

    def values(self) -> Values:
        return load_values(self.ranker)

    def logistic(self) -> Logistic:
        return Logistic.from_json((self.ranker.path / "logistic.json").read_text(encoding="utf-8"))

    def split(self, name: str) -> Rows:
        return read_rows(self.rows.path / SNAPSHOT, name)

    def figures(self, stage: Artifact) -> dict[str, Any]:
        found: dict[str, Any] = read_json(stage.path / "figures.json")
        return found


def assembled(trained: Trained) -> Release:
    """The release's parts: towers, index of every video of the log, heads, calibrators, weights, policy."""
    towers, heads = load_towers(trained.towers), trained.heads()
    catalog = VideoCatalog.from_log(trained.plan.log)
    return Release(
        towers=towers.arrays(),
        video_ids=catalog.video_ids,
        video_vectors=towers.videos(towers.inputs(catalog)),
        heads=heads.texts(),
        calibrators=heads.calibrators(),
        values=trained.values().as_json(),
        columns=COLUMNS,
        matrix_hash=matrix_hash(),
        feature_service=SERVICE,
        snapshot_hash=str(trained.figures(trained.rows)["snapshot_hash"]),
        policy=Policy(),
    )


def scored(trained: Trained, rows: Rows, predictions: Scores) -> Rivals:
    """Everybody's scores on the same rows."""
    return rivals(rows, predictions, trained.values(), trained.logistic(), trained.plan.run.seed)


def predictions_of(artifact: Artifact) -> dict[str, Doubles]:
    """What every head said about the test rows when the release was measured."""
    with np.load(artifact.path / PREDICTIONS, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays}


def measured(trained: Trained, test: Rows, predictions: Scores) -> dict[str, Any]:
    """Figures on the test rows: per head, per scorer, and which baseline is the one to beat."""
    rival, seed = scored(trained, test, predictions), trained.plan.run.seed
    return {
        "heads": as_figures(head_figures(test, predictions, seed)),
        "ranking": as_figures(ranking_figures(test, rival, seed)),
        "best_baseline": best_baseline(test, rival),
        "rows": {"test": len(test), "judged": int(test.judged.sum())},
    }


def compared(trained: Trained, release: Release) -> dict[str, Any]:
    """Exposure versus candidates: what the heads learned from beside what they will be asked."""
    found = asked(trained.plan, release)
    reference = trained.split("train").matrix[-REFERENCE_ROWS:]
    table = exposure_versus_candidates(reference, found.candidates)
    return {
        "exposure_versus_candidates": table,
        "shifted": shifted(table),
        "slate_overlap": slate_overlap(found, trained.plan.run.seed).as_figure(),
        "degraded": list(found.degraded),
    }


def write(trained: Trained, told: Told, folder: Path) -> None:
    """The stage's artifact: the release directory and its figures."""
    plan, release = trained.plan, assembled(trained)
    told.say("measuring on the test rows…")
    test = trained.split("test")
    predictions = trained.heads().predict(test.matrix)
    np.savez(folder / PREDICTIONS, **predictions)  # type: ignore[arg-type]
    metrics = measured(trained, test, predictions)
    heads, rows = trained.figures(trained.ranker)["heads"], trained.figures(trained.rows)
    notes = Notes(
        git_commit=git_commit() or "",
        created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        metrics=metrics,
        model_card=model_card(plan, trained.values(), heads, metrics),
        data_card=data_card(plan, rows),
    )
    release_id = write_release(folder / "release", release, notes)
    told.say("what the heads learned from, beside what they will be asked…")
    shift = compared(trained, read_release(folder / "release"))
    used = {"rows_per_head": heads, "towers": trained.figures(trained.towers)}
    write_json(folder / "figures.json", {"release_id": release_id, **metrics, **used, **shift})


def registered(trained: Trained, artifact: Artifact) -> int:
    """One MLflow model version; parameters, metrics and artifacts belong to its run."""
    from serving import registry

    places, figures = trained.plan.run.places, read_json(artifact.path / "figures.json")
    known = [v.version for v in registry.versions(places) if v.release_id == figures["release_id"]]
    if known:
        return registry.register(places, artifact.path / "release", {})
    run_id = registry.start_run(places, figures["release_id"], {"logs": trained.plan.run.logs})
    _log(trained, artifact, run_id)
    return registry.register(places, artifact.path / "release", flat_metrics(figures), run_id)


def _log(trained: Trained, artifact: Artifact, run_id: str) -> None:
    from serving import registry

    mlflow, plan = registry.client(trained.plan.run.places), trained.plan
    parameters = {
        "seed": plan.run.seed,
        "scale": plan.run.scale,
        "logs": plan.run.logs,
        "log": plan.log_digest[:16],
    }
    growth = trained.figures(trained.ranker)["heads"]
    parameters |= {
        f"{name}.{key}": growth[name][key] for name in HEADS for key in ("trees", "leaves", "rows_used")
    }
    for name, value in parameters.items():
        mlflow.log_param(run_id, name, value)
    for path in (artifact.path / "figures.json", *sorted((artifact.path / "release").glob("*.md"))):
        mlflow.log_artifact(run_id, str(path))


def flat_metrics(figures: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Every estimate's value under its dotted name, as MLflow keeps metrics; its interval beside it."""
    found: dict[str, float] = {}
    for name, figure in figures.items():
        path = f"{prefix}{name}".replace(" ", "_")
        if isinstance(figure, Mapping) and {"value", "low", "high"} <= set(figure):
            found |= {
                path + end: figure[key] for key, end in (("value", ""), ("low", ".low"), ("high", ".high"))
            }
        elif isinstance(figure, Mapping):
            found |= flat_metrics(figure, f"{path}.")
    return {name: float(value) for name, value in found.items() if value is not None and np.isfinite(value)}


def run(plan: Plan, told: Told) -> dict[str, Any]:
    """Make the release, or find it made, and see that the registry holds it."""
    from serving import registry

    trained = Trained.of(plan)
    with done_aside(partial(registry.client, plan.run.places)):  # MLflow and its tables take seconds
        artifact = plan.release.made(plan.work, lambda folder: write(trained, told, folder))
    version = registered(trained, artifact)
    return {"reused": artifact.reused, "version": version, **read_json(artifact.path / "figures.json")}
