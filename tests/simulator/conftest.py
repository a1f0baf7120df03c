"""One tiny world, lived once for all tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from simulator.days import Lived
    from simulator.worlds import World


@pytest.fixture(scope="session")
def world() -> World:
    from simulator.worlds import World

    return World("tiny", 7)


@pytest.fixture(scope="session")
def lived_days(world: World) -> list[Lived]:
    """Every day of the world under its own policy."""
    from simulator.days import days

    return list(days(world))
