"""What tests of the server share: a registry made once, since MLflow takes seconds to make its database."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from feature_repo.places import Places
from serving import registry
from serving.app import create_app
from serving.live import Live
from tests.serving.builders import a_live, released

os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two registered releases; version 1 is champion."""
    places = Places(tmp_path_factory.mktemp("registered") / "run")
    for seed in (0, 1):
        released(places.work / str(seed), seed)
        registry.register(places, places.work / str(seed), {"auc": 0.5 + seed / 10})
    registry.set_champion(places, 1)
    return places.root


@pytest.fixture
def places(registered: Path, tmp_path: Path) -> Places:
    """A copy of that run for this test alone; it lies elsewhere, and still works."""
    shutil.copytree(registered, tmp_path / "run")
    return Places(tmp_path / "run")


@pytest.fixture
def live(places: Places) -> Iterator[Live]:
    """A running server with version 1 in service."""
    made = a_live(places)
    made.champion.follow()
    yield made
    made.close()


@pytest.fixture
def client(live: Live, places: Places) -> Iterator[TestClient]:
    with TestClient(create_app(live, places), raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture
def break_release(places: Places) -> Callable[[int], str]:
    """Change one byte of a registered release; its name."""

    def broken(version: int) -> str:
        folder = next(each.directory for each in registry.versions(places) if each.version == version)
        (folder / "value.json").write_text('{"weights": []}\n')
        return folder.name

    return broken
