"""What people are interested in, day by day: a slow walk of their own, weekly crazes, and a scenario's shift.

    walk(0)      = log mix on day 0
    walk(t + 1)  = walk(t) + N(0, drift_sd^2), a draw per person and topic, looked up by (seed, user, day)
    mix(t)       = softmax(walk(t) + craze(t) + shift(t))
    taste(t)     = unit(mix(t) @ topic centres + own taste)

Pure functions; worlds.py keeps the latest days at hand.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from simulator.births import TOPICS, Floats, Ints, Vectors
from simulator.coefficients import Coefficients
from simulator.dials import Dial
from simulator.luck import Purpose, keys, normal, uniforms

WEEK, CRAZE_DAYS = 7, 3
CHUNK = 8192
"""People at a time: the draws of so many stay in the processor's cache."""


def walked(c: Coefficients, walk: Vectors, seed: int, user_ids: Ints, day: int) -> Vectors:
    """Log interests [n, 24] on the day after `day`, from those of `day`."""
    after = np.empty_like(walk)
    for start in range(0, len(walk), CHUNK):
        part = slice(start, start + CHUNK)
        after[part] = walk[part] + c.drift_sd * drift(seed, user_ids[part], day)
    return after


def drift(seed: int, user_ids: Ints, day: int) -> Floats:
    """Standard normal steps of a night, [n, 24]; a person has the same in any company."""
    of, topics = keys(seed, user_ids, day)[:, None], np.arange(TOPICS)
    steps: Floats = normal(uniforms(of, Purpose.DRIFT, topics), uniforms(of, Purpose.DRIFT + 1, topics))
    return steps


def craze(seed: int, day: int) -> tuple[int, bool]:
    """(this week's topic, whether it is a craze today): three days in a row within each week of the log."""
    week, weekday = divmod(day, WEEK)
    of = keys(seed, week)
    topic = int(uniforms(of, Purpose.CRAZE, 0)[0] * TOPICS)
    first = int(uniforms(of, Purpose.CRAZE, 1)[0] * (WEEK - CRAZE_DAYS + 1))
    return topic, first <= weekday < first + CRAZE_DAYS


def tilt(c: Coefficients, seed: int, day: int, shifts: Iterable[Dial], start_us: int) -> Floats:
    """What everybody's log interest in each topic gains on this day, [24]; shifts by `start_us`, its dawn."""
    gain = np.zeros(TOPICS)
    topic, crazy = craze(seed, day)
    gain[topic] += c.craze_logit * crazy
    for dial in shifts:
        moved = dial["logits_per_day"] * dial.days_held(start_us)
        gain[int(dial["from_topic"])] -= moved
        gain[int(dial["to_topic"])] += moved
    return gain


def mixes(walk: Vectors, gain: Floats) -> Vectors:
    """Shares of topics [n, 24], each row summing to 1."""
    logits = walk + gain.astype(np.float32)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def tastes(mix: Vectors, centres: Floats, own_taste: Vectors) -> Vectors:
    """Unit vectors [n, 16]."""
    lean = mix @ centres.astype(np.float32) + own_taste
    return np.asarray(lean / np.linalg.norm(lean, axis=1, keepdims=True), dtype=np.float32)
