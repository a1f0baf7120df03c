"""A gradient-boosted head per objective, on all its mature rows, calibrated on rows no tree has seen.

Features are binned once; a head is the same table with another label. Trees stop when the earlier half of the
calibrate rows stops improving; the later half fits the calibrator, where it holds enough positives for one
(calibrate.py); test rows are not touched here. Logistic regression, the honest rival, learns from the same
rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.baselines import fitted_logistic
from feature_repo.catalogue import CODES
from feature_repo.matrix import COLUMNS
from pipelines.build_training_set import SNAPSHOT
from pipelines.calibrate import calibrator
from pipelines.plan import Plan
from pipelines.shell import Told
from pipelines.stages import Artifact, read_json, write_json
from pipelines.training_sets import Rows, earlier_half, read_rows
from pipelines.weights import values
from serving.calibrators import Calibrator
from serving.heads import HEADS, Heads
from serving.values import Values

PATIENCE = 15
"""Trees without improvement before a head stops."""
EXACT_ROWS = 200_000
"""Up to here gradients are exact: rounding them saves no second and costs KuaiRand .002 of its figure."""
LEAF_POSITIVES = 8
"""Positives a leaf must expect at the head's base rate."""
POSITIVES_PER_TREE = 10
POSITIVES_PER_TREE_UNJUDGED = 50
"""Of a head too rare to be stopped by its watchdog."""
FEWEST_TO_JUDGE = 10
"""Positives the watchdog needs to say when to stop."""
RIVAL = "long_watch"
"""The label logistic regression learns: the one the simple baselines are about too."""


Labels = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Growth:
    """How large a head may grow. 120 trees of 31 leaves cost a request about 3 ms per 500 candidates."""

    trees: int
    leaves: int
    smallest_leaf: int
    objective: str = "binary"


GROWTH: Mapping[str, Growth] = {
    "long_watch": Growth(120, 31, 50),
    "watch": Growth(120, 31, 50, objective="regression"),
    "like": Growth(80, 31, 100),
    "share_or_follow": Growth(60, 15, 200),
    "negative": Growth(60, 15, 200),
}


@dataclass(frozen=True)
class Learned:
    """A head with how it was learned: rows there were, rows used, trees kept."""

    text: str
    calibrator: Calibrator
    figures: Mapping[str, float]


def settings(growth: Growth, seed: int) -> dict[str, Any]:
    """LightGBM's parameters: deterministic, row-wise, one seed."""
    return {
        "objective": growth.objective,
        "num_leaves": growth.leaves,
        "min_data_in_leaf": growth.smallest_leaf,
        "learning_rate": 0.1,
        "max_bin": 255,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "use_quantized_grad": True,
        "quant_train_renew_leaf": True,
        "num_threads": min(2, os.cpu_count() or 1),
        "seed": seed,
        "verbosity": -1,
    }


def binned(train: Rows, seed: int) -> Any:
    """The train matrix, binned once for all heads."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import lightgbm

    parameters = settings(GROWTH["long_watch"], seed) | {"min_data_in_leaf": 1}
    bins = {
        name: parameters[name]
        for name in ("max_bin", "feature_pre_filter", "verbosity", "seed", "num_threads")
    }
    return lightgbm.Dataset(
        train.matrix, label=np.zeros(len(train)), feature_name=list(COLUMNS), params=bins, free_raw_data=False
    ).construct()


def learned(name: str, bins: Any, train: Rows, calibrate: Rows, most_trees: int, seed: int) -> Learned:
    """One head: all mature train rows, stopped early, calibrated."""
    import lightgbm

    usable = train.mature(name)
    rows = np.flatnonzero(usable)
    labels = train.label(name)[rows]
    table = (bins if usable.all() else bins.subset(rows)).construct().set_label(labels)
    held = calibrate.where(calibrate.mature(name))
    first = earlier_half(held)
    watchdog, late = held.where(first), held.where(~first)
    judged = bool(watchdog.label(name).sum() >= FEWEST_TO_JUDGE)
    booster = lightgbm.train(
        settings(GROWTH[name], seed) | fitted_to(GROWTH[name], labels),
        table,
        num_boost_round=trees_earned(min(GROWTH[name].trees, most_trees), labels, judged),
        valid_sets=[table.create_valid(watchdog.matrix, watchdog.label(name))] if judged else [],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)] if judged else [],
    )
    kept = booster.best_iteration or booster.current_iteration()
    raw = np.asarray(booster.predict(late.matrix, num_iteration=kept)) if len(late) else np.zeros(0)
    figures = {
        "rows_mature": int(usable.sum()),
        "rows_used": len(rows),
        "positives": float(labels.sum()),
        "trees": int(kept),
        "rows_stopping": len(watchdog),
        "rows_calibrating": len(late),
        "positives_calibrating": float(late.label(name).sum()),
    }
    text = booster.model_to_string(num_iteration=kept)
    return Learned(text, calibrator(raw, late.label(name)), figures)


def fitted_to(growth: Growth, labels: Labels) -> dict[str, Any]:
    """Settings that follow from the rows: a leaf must expect LEAF_POSITIVES, or a rare head learns luck.

    Few rows are shrunk harder, or the columns that move with every event teach luck too: of eight settings
    tried in three tiny worlds, these did best on calibrate rows, and a linear model is hard to match there.
    """
    expected = int(LEAF_POSITIVES * len(labels) / max(float(labels.sum()), 1.0))
    few = len(labels) <= EXACT_ROWS
    return {
        "use_quantized_grad": not few,
        "feature_fraction": 0.4 if few else 0.8,
        "lambda_l2": 10.0 if few else 1.0,
        "min_data_in_leaf": max(growth.smallest_leaf, expected),
    }


def trees_earned(most: int, labels: Labels, judged: bool) -> int:
    """One per ten positives, per fifty where nobody can say when to stop: rare heads stay near their mean."""
    per_tree = POSITIVES_PER_TREE if judged else POSITIVES_PER_TREE_UNJUDGED
    return min(most, max(1, int(labels.sum()) // per_tree))


def base_rates(train: Rows) -> dict[str, float]:
    """Mean label of the mature train rows."""
    return {name: float(train.label(name)[train.mature(name)].mean()) for name in HEADS}


def make(plan: Plan, told: Told) -> Callable[[Path], None]:
    """What the stage writes: boosters, calibrators, value file, logistic rival, and what each head saw."""

    def write(folder: Path) -> None:
        snapshot = plan.rows.needed(plan.work).path / SNAPSHOT
        train, calibrate = read_rows(snapshot, "train"), read_rows(snapshot, "calibrate")
        with told.progress("heads", len(HEADS) + 2) as advance:
            bins = binned(train, plan.run.seed)
            advance()
            heads = {}
            for name in HEADS:
                heads[name] = learned(name, bins, train, calibrate, plan.scale.trees, plan.run.seed)
                (folder / f"{name}.txt").write_text(heads[name].text, encoding="utf-8")
                advance()
            (folder / "logistic.json").write_text(rival(train), encoding="utf-8")
            advance()
        write_json(
            folder / "calibrators.json", {name: head.calibrator.as_json() for name, head in heads.items()}
        )
        write_json(folder / "value.json", values(base_rates(train), plan.run.logs).as_json())
        figures = {name: {**asdict(GROWTH[name]), **head.figures} for name, head in heads.items()}
        write_json(folder / "figures.json", {"heads": figures})

    return write


def rival(train: Rows) -> str:
    """Logistic regression on the same columns and rows, a code as an indicator and not as a quantity."""
    usable = train.mature(RIVAL)
    return fitted_logistic(COLUMNS, train.matrix[usable], train.label(RIVAL)[usable], CODES).to_json()


def load_heads(artifact: Artifact) -> Heads:
    texts = {name: (artifact.path / f"{name}.txt").read_text(encoding="utf-8") for name in HEADS}
    return Heads.from_texts(texts, read_json(artifact.path / "calibrators.json"))


def load_values(artifact: Artifact) -> Values:
    return Values.from_json(read_json(artifact.path / "value.json"))


def run(plan: Plan, told: Told) -> dict[str, Any]:
    """Make the heads, or find them made."""
    plan.rows.needed(plan.work)
    artifact = plan.ranker.made(plan.work, make(plan, told))
    return {"reused": artifact.reused, **read_json(artifact.path / "figures.json")}
