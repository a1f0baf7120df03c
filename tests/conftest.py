"""What tests of several planes share: one tiny world, trained once per session."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import prometheus_client  # noqa: F401 before Feast, which makes whoever imports it later count in files
import pytest
from hypothesis import settings

from feature_repo.places import Places, Run

SEED = 9
"""A tiny log hardly tells value and logistic regression apart: the seed decides whether a release passes."""

settings.register_profile("untimed", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A simulated run at SCALE=tiny with its log, features, registered release and reports.

    Tests that change it must copy what they change. TRAINED=dir uses an existing var folder instead.
    """
    kept = os.environ.get("TRAINED")
    var = Path(kept) if kept else tmp_path_factory.mktemp("var")
    run = Run("simulated", "tiny", SEED, Places(var / "simulated-tiny"))
    if not (run.places.reports / "train.json").exists():
        _train(run, var)
    return run


@pytest.fixture(scope="module")
def served(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A copy of the trained run whose newest release is champion, whatever the gates said."""
    from serving import registry

    root = tmp_path_factory.mktemp("served") / trained.places.root.name
    shutil.copytree(trained.places.root, root)
    copy = replace(trained, places=Places(root))
    registry.set_champion(copy.places, registry.versions(copy.places)[-1].version)
    return copy


def _train(run: Run, var: Path) -> None:
    from pipelines import __main__ as pipelines
    from simulator import __main__ as simulator

    asked = {"LOGS": run.logs, "SCALE": run.scale, "SEED": str(run.seed), "VAR": str(var), "TRAIN_UNTIL": ""}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in asked.items():
            environment.setenv(name, value)
        assert simulator.main(["logs"]) == 0
        assert pipelines.main(["train", "--quiet"]) == 0
