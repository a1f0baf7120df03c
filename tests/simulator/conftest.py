"""One tiny world, lived once for all tests of this folder."""

from __future__ import annotations

import pytest

from simulator.days import Lived, days
from simulator.truth import World


@pytest.fixture(scope="session")
def world() -> World:
    return World("tiny", 7)


@pytest.fixture(scope="session")
def lived(world: World) -> list[Lived]:
    return list(days(world))
