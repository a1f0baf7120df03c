"""One slate meets one person: what is watched, where the session ends, which reactions follow.

On arrays, for feeds that are handed in; person_days.py is the same for one person at a time, compiled, and a
test holds the two together. Within a slate nothing an earlier item does changes how a later one is felt,
except by ending the session or boring with its topic, so whole slates are computed at once; items after the
end were served and never seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator import behaviour
from simulator.coefficients import Coefficients
from simulator.luck import Floats, Keys, Purpose, exponential, uniforms

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
    clickbait: Floats
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


@dataclass(frozen=True)
class Browsed:
    """What became of each cover of a page; only where `tapped` did it play."""

    examined: Mask
    tapped: Mask
    watched_ms: Ints
    left: Mask  # per page: the app was closed after it


def swiped(
    c: Coefficients, of: Encounters, present: Mask, last_topics: Ints, keys: Keys, steps: Ints
) -> Swipes:
    """Slates [n, k] in order; `present` masks padding, `last_topics` is [n, 6] newest last, -1 for none."""
    luck = watch_luck(keys, steps)
    watched = behaviour.watched_seconds(c, of.pull, of.duration_ms / 1000.0, luck)
    bored = same_topic_in_last_6(of.topics, last_topics)
    hazard = behaviour.leave_probability(c, of.pull, bored, of.patience)
    leaves = uniforms(keys[:, None], Purpose.LEAVE, steps) < hazard
    stays = np.cumprod(~leaves, axis=1).astype(bool)
    reached = present & np.hstack([np.ones((len(stays), 1), bool), stays[:, :-1]])
    return Swipes(milliseconds(watched), reached, (leaves & reached).any(axis=1))


def browsed(c: Coefficients, of: Encounters, present: Mask, keys: Keys, steps: Ints) -> Browsed:
    """Pages of covers [n, k] in order of rank: eyes by position, taps by promise, then watching as ever."""
    positions = np.arange(of.pull.shape[1])
    chance = behaviour.examination(c, positions)
    examined = present & (uniforms(keys[:, None], Purpose.EXAMINED, steps) < chance)
    wanted = behaviour.tap_probability(c, of.pull, of.clickbait)
    tapped = examined & (uniforms(keys[:, None], Purpose.TAPPED, steps) < wanted)
    watched = behaviour.seconds_once_playing(c, of.pull, of.duration_ms / 1000.0, watch_luck(keys, steps))
    left = uniforms(keys, Purpose.LEAVE, steps[:, -1]) < c.grid_leave
    return Browsed(examined, tapped, np.where(tapped, milliseconds(watched), 0), left)


def milliseconds(seconds: Floats) -> Ints:
    return np.rint(1000 * seconds).astype(np.int64)


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


def reacted(c: Coefficients, of: Encounters, watched_ms: Ints, keys: Keys, steps: Ints) -> dict[str, Mask]:
    """Which reactions each reached impression draws."""
    long_view = behaviour.reached(watched_ms / 1000.0, of.duration_ms / 1000.0, behaviour.LONG_VIEW_S)
    draws = {}
    for number, reaction in enumerate(behaviour.REACTIONS):
        chance = behaviour.reaction_probability(
            c, number, of.satisfaction, long_view, of.warmth, of.violation
        )
        draws[reaction] = uniforms(keys, Purpose.REACTION + number, steps) < chance
    return draws


def delay_us(reaction: str, watched_ms: Ints, keys: Keys, steps: Ints) -> Ints:
    """From the start of the watch to the reaction."""
    luck = uniforms(keys, Purpose.DELAY + behaviour.REACTIONS.index(reaction), steps)
    watched_s = watched_ms / 1000.0
    if reaction == "like":
        seconds = luck * watched_s
    elif reaction == "comment":
        seconds = watched_s + exponential(luck, COMMENT_S)
    elif reaction == "report":
        seconds = watched_s + exponential(luck, REPORT_S)
    elif reaction == "follow":
        later = uniforms(keys, Purpose.FOLLOW_LATER, steps) >= FOLLOW_AT_ONCE
        seconds = watched_s + later * exponential(luck, FOLLOW_LATER_S)
    else:
        seconds = watched_s
    return np.rint(1_000_000 * seconds).astype(np.int64)


def watch_luck(keys: Keys, steps: Ints) -> behaviour.WatchLuck:
    """The draws of a thumb for each item [n, k] of each person [n]."""
    of = keys[:, None]
    return behaviour.WatchLuck(
        zero=uniforms(of, Purpose.ZERO, steps),
        skip=uniforms(of, Purpose.SKIP, steps),
        glance=uniforms(of, Purpose.GLANCE, steps),
        intent=uniforms(of, Purpose.INTENT, steps),
        intent_angle=uniforms(of, Purpose.INTENT_ANGLE, steps),
        replay=uniforms(of, Purpose.REPLAY, steps),
        replay_length=uniforms(of, Purpose.REPLAY_LENGTH, steps),
    )
