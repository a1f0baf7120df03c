"""The policies that whole worlds are lived under, by name, and the world they are lived in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from feature_repo.places import Run
    from simulator.slates import Policy
    from simulator.worlds import World

DEFAULT, UNIFORM = "default", "uniform"
NAMES = (DEFAULT, UNIFORM, "by-pull", "by-satisfaction", "warmer", "less-personal", "no-follows")


def rivals() -> Mapping[str, Policy]:
    """Each name's policy. The two oracles rank the usual candidates by the truth alone, almost greedily."""
    from simulator import slates

    usual = slates.DEFAULT
    blind = usual._replace(by_counts=0.0, by_age=0.0, by_affinity=0.0, follow_bonus=0.0, temperature=0.05)
    return {
        DEFAULT: usual,
        UNIFORM: slates.UNIFORM,
        "by-pull": blind._replace(by_pull=1.0),
        "by-satisfaction": blind._replace(by_satisfaction=1.0),
        "warmer": usual._replace(temperature=0.5),
        "less-personal": usual._replace(by_affinity=0.8),
        "no-follows": usual._replace(follow_bonus=0.0),
    }


def world_of_run(run: Run, future_days: int = 0) -> World:
    """The world of the run's log, hidden coefficients and scenario included; without a log, the calm one."""
    from simulator import logs
    from simulator.worlds import World

    found = logs.world_of(run) if logs.marker(run.places.log) else World(run.scale, run.seed)
    return replace(found, future_days=future_days)
