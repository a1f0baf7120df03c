"""One random world of a week, its feature views, its Feast store: built once, read by many tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from feature_repo.log import EventLog
from feature_repo.places import Places
from feature_repo.steps import write_steps
from tests.feature_repo.builders import Story, a_busy_story, at

LAST = at(days=6, hours=5)
"""Where the busy world ends; not a multiple of six hours."""


@pytest.fixture(scope="session")
def busy() -> Story:
    return a_busy_story(np.random.default_rng(5), until_us=LAST)


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory, busy: Story) -> Places:
    """A run with its log and feature views, nothing materialised."""
    found = Places(Path(tmp_path_factory.mktemp("run")))
    write_steps(busy.log(found.log), found.features, LAST)
    return found


@pytest.fixture(scope="session")
def log(places: Places) -> EventLog:
    return EventLog(places.log)
