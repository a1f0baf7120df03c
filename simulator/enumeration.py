"""What slates and policies are worth exactly: sums over all that can happen, where that is not too much.

Nothing is drawn here. A swiped slate is a survival product of leave hazards, a page of covers a sum of
examination times tapping, and a policy that fills few slots from few videos a sum over every slate there is.
Units: satisfaction is summed over impressions seen (swipe) or covers tapped (grid), in logits.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import permutations
from math import perm
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator import behaviour
from simulator.coefficients import Coefficients
from simulator.exposures import SWIPE
from simulator.luck import Floats
from simulator.swipes import REMEMBERED, Encounters, same_topic_in_last_6
from simulator.worlds import END_US, World

Ints = NDArray[np.int64]

MOST_SLATES = 50_000
"""More different slates than this are rolled out, not enumerated."""


class Worth(NamedTuple):
    """The expected outcome of a slate, one per slate or per person."""

    length: Floats  # impressions seen, or covers tapped
    satisfaction: Floats  # summed over these
    stays: Floats  # probability of asking for more


class Softmax(NamedTuple):
    """How slots are filled, one by one: by softmax over scores, or with `explored_share` uniformly."""

    temperature: float
    explored_share: float = 0.0
    slots: int = 3


def reach_probabilities(c: Coefficients, of: Encounters, last_topics: Ints | None = None) -> Floats:
    """P(each item comes on screen) of slates [n, k], and of what would follow: [n, k + 1], 1 at the top."""
    if last_topics is None:
        last_topics = np.full((len(of.pull), REMEMBERED), -1)
    bored = same_topic_in_last_6(of.topics, last_topics)
    hazard = behaviour.leave_probability(c, of.pull, bored, of.patience)
    return np.hstack([np.ones((len(hazard), 1)), np.cumprod(1.0 - hazard, axis=1)])


def swiped_worth(c: Coefficients, of: Encounters, last_topics: Ints | None = None) -> Worth:
    """Of slates [n, k] on the swipe surface, [n]; `last_topics` [n, 6] newest last, -1 for none."""
    reach = reach_probabilities(c, of, last_topics)
    seen = reach[:, :-1]
    return Worth(seen.sum(axis=1), (seen * of.satisfaction).sum(axis=1), reach[:, -1])


def browsed_worth(c: Coefficients, of: Encounters) -> Worth:
    """Of pages [n, k] on the grid, [n]: who looks taps, whatever else is on the page."""
    examined = behaviour.examination(c, np.arange(of.pull.shape[1]))
    taps = examined * behaviour.tap_probability(c, of.pull, of.clickbait)
    stays = np.full(len(taps), 1.0 - c.grid_leave)
    return Worth(taps.sum(axis=1), (taps * of.satisfaction).sum(axis=1), stays)


def slate_worth(
    world: World,
    user_ids: ArrayLike,
    slates: ArrayLike,
    now_us: ArrayLike = END_US,
    surface: int = SWIPE,
    last_topics: Ints | None = None,
) -> Worth:
    """Of slates of ids [n, k] shown to these people [n] at that moment, as the first of their sessions."""
    people = np.atleast_1d(world.rows_of_people(user_ids))[:, None]
    now = np.broadcast_to(np.asarray(now_us), len(people))[:, None]
    of = world.encounters(people, np.atleast_2d(world.rows_of_videos(slates)), now)
    if surface == SWIPE:
        return swiped_worth(world.coefficients, of, last_topics)
    return browsed_worth(world.coefficients, of)


def examination_curve(world: World, positions: int) -> Floats:
    """P(eyes fall on a cover) by position, the top first: the grid's true position bias."""
    return np.asarray(behaviour.examination(world.coefficients, np.arange(positions)))


def slates_there_are(items: int, slots: int) -> int:
    """How many ordered choices of `slots` items there are."""
    return perm(items, slots)


def all_slates(items: int, slots: int) -> Ints:
    """Every ordered choice of `slots` of the items 0..n-1, a row each; at most MOST_SLATES of them."""
    count = slates_there_are(items, slots)
    if not 0 < count <= MOST_SLATES:
        raise ValueError(
            f"{slots} slots and {items} items make {count:,} slates, must be 1 to {MOST_SLATES:,}; "
            "roll the policy out instead (rollouts.worth_of)."
        )
    return np.asarray(list(permutations(range(items), slots)), dtype=np.int64).reshape(count, slots)


def slate_probabilities(scores: Floats, slates: Ints, rule: Softmax) -> Floats:
    """P(each slate [s, k]) for people with these scores [n, items], -inf for what was not found: [n, s].

    Slot by slot (1 - e) * softmax over what is left + e / items left: Plackett-Luce (1975) with exploration.
    Where nothing found is left, a slate ends unless it explores; so the sum may be below 1.
    """
    weights = np.exp((scores - scores.max(axis=1, keepdims=True)) / rule.temperature)
    mass = np.repeat(weights.sum(axis=1)[:, None], len(slates), axis=1)
    chance = np.ones_like(mass)
    for slot in range(slates.shape[1]):
        chosen = weights[:, slates[:, slot]]
        share = np.divide(chosen, mass, out=np.zeros_like(mass), where=mass > 1e-12)
        left = scores.shape[1] - slot
        chance *= (1.0 - rule.explored_share) * share + rule.explored_share / left
        mass = mass - chosen
    return chance


def policy_worth(
    c: Coefficients, of: Encounters, scores: Floats, rule: Softmax, surface: int = SWIPE
) -> Worth:
    """Of one slate from all eligible videos, per person: encounters and scores [n, items], worth [n]."""
    slates = all_slates(scores.shape[1], rule.slots)
    chance = slate_probabilities(scores, slates, rule)
    shown = taken(of, slates)
    each = swiped_worth(c, shown) if surface == SWIPE else browsed_worth(c, shown)
    return Worth(*((chance * part.reshape(chance.shape)).sum(axis=1) for part in each))


def taken(of: Encounters, slates: Ints) -> Encounters:
    """Encounters [n, items] as each slate [s, k] orders them: [n * s, k], the slates of a person together."""
    k = slates.shape[1]
    return Encounters(**{f.name: getattr(of, f.name)[:, slates].reshape(-1, k) for f in fields(of)})
