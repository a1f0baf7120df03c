"""What creators bring out and moderation takes away: seen creators post more, starved ones fade.

energy(t + 1) = memory * energy(t) + (1 - memory) * heart, where heart depends on the day's reach r against
the neutral reach r0 through s = r / (r + r0): `energy_fade` when nobody looked (s = 0), 1 at r = r0
(s = 1/2), `energy_boost` when seen without end (s = 1), straight in between. A potential upload appears iff
its urge is below energy / MOST_ENERGY.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import DAY_US
from simulator.births import Floats, Ints
from simulator.coefficients import Coefficients
from simulator.uploads import MOST_ENERGY
from simulator.worlds import World

Mask = NDArray[np.bool_]


def published_before(world: World) -> Ints:
    """Rows of the videos that became public before the log, when every creator's energy was 1."""
    return _appearing(world, world.videos.uploaded_us < world.start_us, np.ones(len(world.creators.fans)))


def published(world: World, day: int, energy: Floats) -> Ints:
    """Rows that become public on this day, in scheduled order; `energy` is [creators], this morning's."""
    return _appearing(world, _on(world, day, world.videos.uploaded_us), energy)


def removed(world: World, day: int, public: Ints) -> Ints:
    """Which of these public rows moderation takes down on this day, in their order."""
    return public[_on(world, day, world.videos.removed_us[public])]


def next_energy(c: Coefficients, energy: Floats, reach: Floats, neutral_reach: Floats | float) -> Floats:
    """Tomorrow's energy of creators whose videos were seen `reach` times today; all arrays [creators]."""
    memory = c.energy_memory
    return np.asarray(
        np.minimum(memory * energy + (1.0 - memory) * heart(c, reach, neutral_reach), MOST_ENERGY)
    )


def heart(c: Coefficients, reach: Floats, neutral_reach: Floats | float) -> Floats:
    """Where energy goes at this reach; neutral_reach is positive."""
    saturated = 2.0 * reach / (reach + neutral_reach) - 1.0
    lost, gained = (1.0 - c.energy_fade) * np.minimum(saturated, 0.0), (c.energy_boost - 1.0)
    return np.asarray(1.0 + lost + gained * np.maximum(saturated, 0.0))


def _appearing(world: World, scheduled: Mask, energy: Floats) -> Ints:
    of = world.videos
    rows = np.flatnonzero(scheduled & ~of.caught)
    rows = rows[of.urge[rows] < _willing(world, rows, energy)]
    return np.asarray(rows[np.argsort(of.uploaded_us[rows], kind="stable")])


def _willing(world: World, rows: Ints, energy: Floats) -> Floats:
    """The bar an upload's urge must be below; a spam dial under 1 lowers it for spam creators."""
    by = world.videos.creators[rows]
    bar = energy[by] / MOST_ENERGY
    for dial in world.scenario.of_kind("spam_wave"):
        held = dial.holds_at(world.videos.uploaded_us[rows]) & world.creators.spam[by]
        bar = np.where(held, bar * min(1.0, dial["times"]), bar)
    return bar


def _on(world: World, day: int, moments_us: Ints) -> Mask:
    start_us = world.start_us + day * DAY_US
    return np.asarray((moments_us >= start_us) & (moments_us < start_us + DAY_US))
