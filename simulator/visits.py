"""Who opens the app on a day, and when: habit decides the day, the clock's rhythm the hour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from feature_repo.clock import DAY_US, HOUR_US, NEVER_US, SECOND_US, day_of
from simulator import behaviour
from simulator.luck import Floats, Purpose, keys, uniforms
from simulator.person_days import Coming
from simulator.worlds import World

Ints = NDArray[np.int64]

EXTRA_SESSIONS, WEEKEND = 1.2, 1.15
"""Sessions on an active day: 1 + Poisson(1.2), the extra ones times 1.15 at weekends (WORLD.md section 3)."""
MOST_SESSIONS = 8
SESSIONS_PER_DAY = 16
"""Room in the session number: day * 16 + ordinal."""
AFTER_JOINING_US = 30 * SECOND_US


def visits(world: World, day: int, habit: Floats, invited: Ints) -> Coming:
    """The day's visits. Who joins today comes today, who was `invited` by a friend comes once more."""
    start_us = world.start_us + day * DAY_US
    joined, traffic = world.people.joined_us, world.scenario.at(day).traffic
    luck = keys(world.luck, world.people.user_ids, day)
    likely = behaviour.return_probability(world.coefficients, world.people.return_logit, habit)
    comes = (uniforms(luck, Purpose.RETURN) < likely) | (invited > 0) | world.people.bot
    open_today = uniforms(luck, Purpose.SESSIONS, 1) < traffic
    new = (joined >= start_us) & (joined < start_us + DAY_US)
    people = np.flatnonzero(((comes & (joined < start_us)) | new) & open_today)
    counts = _session_counts(uniforms(luck[people], Purpose.SESSIONS), start_us, traffic) + invited[people]
    counts = np.minimum(counts, MOST_SESSIONS)
    starts = start_us + _moments(uniforms(luck[people, None], Purpose.START, np.arange(MOST_SESSIONS)))
    starts = np.where(np.arange(MOST_SESSIONS) < counts[:, None], starts, NEVER_US)
    return Coming(
        people, counts, np.sort(np.maximum(starts, joined[people, None] + AFTER_JOINING_US), axis=1)
    )


def _session_counts(luck: Floats, start_us: int, traffic: float) -> Ints:
    """1 + Poisson on a usual day; more traffic means more of the extra ones."""
    extra = EXTRA_SESSIONS * (WEEKEND if day_of(start_us).weekday() >= 5 else 1.0)
    extra = max(0.0, (1.0 + extra) * max(traffic, 1.0) - 1.0)
    steps = poisson.cdf(np.arange(MOST_SESSIONS - 1), extra)
    return 1 + np.searchsorted(steps, luck).clip(max=MOST_SESSIONS - 1)


def _moments(luck: Floats) -> Ints:
    """Moments of a day in microseconds, by the hours' intensity."""
    edges = np.linspace(0.0, 24.0, 97)
    mass = np.concatenate([[0.0], np.cumsum(behaviour.hour_intensity(edges[:-1] + 0.125))])
    return np.asarray(np.interp(luck, mass / mass[-1], edges) * HOUR_US).astype(np.int64)
