"""One slate meets one person: what is watched, where the session ends, which reactions follow.

Within a slate nothing an earlier item does changes how a later one is felt, except by ending the session or
boring with its topic, so whole slates are computed at once; items after the end were served and never seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator import behaviour
from simulator.luck import Floats, Keys, Purpose, exponentials, uniforms

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

REMEMBERED = 6
"""Topics of this many last impressions count for boredom."""

FOLLOW_AT_ONCE, FOLLOW_LATER_S = 0.70, 12 * 3600.0
COMMENT_S, REPORT_S = 40.0, 3 * 3600.0
"""Means of exponential delays: a comment is typed, a report mulled over, 30 % of follows come later."""


@dataclass(frozen=True)
class Encounters:
    """People facing videos, elementwise; arrays of one shape."""

    pull: Floats
    satisfaction: Floats
    duration_ms: Ints
    topics: Ints
    warmth: Floats
    violation: Floats
    patience: Floats


@dataclass(frozen=True)
class Swipes:
    """What became of each item; only where `reached` did it happen."""

    watched_ms: Ints
    reached: Mask
    left: Mask  # per slate: the session ended within it


def swiped(of: Encounters, present: Mask, last_topics: Ints, keys: Keys, steps: Ints) -> Swipes:
    """Slates [n, k] in order; `present` masks padding, `last_topics` is [n, 6] newest last, -1 for none."""
    watched = behaviour.watched_seconds(of.pull, of.duration_ms / 1000.0, _watch_luck(keys, steps))
    bored = same_topic_in_last_6(of.topics, last_topics)
    hazard = behaviour.leave_probability(of.pull, bored, of.patience)
    leaves = uniforms(keys[:, None], Purpose.LEAVE, steps) < hazard
    stays = np.cumprod(~leaves, axis=1).astype(bool)
    reached = present & np.hstack([np.ones((len(stays), 1), bool), stays[:, :-1]])
    return Swipes(np.rint(1000 * watched).astype(np.int64), reached, (leaves & reached).any(axis=1))


def same_topic_in_last_6(topics: Ints, last_topics: Ints) -> Floats:
    """How many of the six impressions before each item had its topic."""
    line = np.hstack([last_topics, topics])
    width = topics.shape[1]
    return np.asarray(
        sum(
            (line[:, REMEMBERED - back : REMEMBERED - back + width] == topics)
            for back in range(1, REMEMBERED + 1)
        ),
        dtype=np.float64,
    )


def reacted(of: Encounters, watched_ms: Ints, keys: Keys, steps: Ints) -> dict[str, Mask]:
    """Which reactions each reached impression draws."""
    long_view = behaviour.reached(watched_ms / 1000.0, of.duration_ms / 1000.0, behaviour.LONG_VIEW_S)
    draws = {}
    for number, reaction in enumerate(behaviour.REACTIONS):
        chance = behaviour.reaction_probability(reaction, of.satisfaction, long_view, of.warmth, of.violation)
        draws[reaction] = uniforms(keys, Purpose.REACTION + number, steps) < chance
    return draws


def delay_us(reaction: str, watched_ms: Ints, keys: Keys, steps: Ints) -> Ints:
    """From the start of the watch to the reaction."""
    luck = uniforms(keys, Purpose.DELAY + behaviour.REACTIONS.index(reaction), steps)
    watched_s = watched_ms / 1000.0
    if reaction == "like":
        seconds = luck * watched_s
    elif reaction == "comment":
        seconds = watched_s + exponentials(luck, COMMENT_S)
    elif reaction == "report":
        seconds = watched_s + exponentials(luck, REPORT_S)
    elif reaction == "follow":
        later = uniforms(keys, Purpose.FOLLOW_LATER, steps) >= FOLLOW_AT_ONCE
        seconds = watched_s + later * exponentials(luck, FOLLOW_LATER_S)
    else:
        seconds = watched_s
    return np.rint(1_000_000 * seconds).astype(np.int64)


def _watch_luck(keys: Keys, steps: Ints) -> behaviour.WatchLuck:
    of = keys[:, None]
    return behaviour.WatchLuck(
        zero=uniforms(of, Purpose.ZERO, steps),
        skip=uniforms(of, Purpose.SKIP, steps),
        glance=uniforms(of, Purpose.GLANCE, steps),
        intent=uniforms(of, Purpose.INTENT, steps),
        replay=uniforms(of, Purpose.REPLAY, steps),
        replay_length=uniforms(of, Purpose.REPLAY_LENGTH, steps),
    )
