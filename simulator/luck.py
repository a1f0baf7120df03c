"""Chance as a function: the same person at the same step has the same luck, whatever is served to them.

A draw is not taken from a stream but looked up: splitmix64's output function applied to a key (who, which
session) plus a counter (purpose, step). So two policies can be compared on the same people with the same
luck, in any order and any chunking (common random numbers). Source: Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014, figure 17.

`keys` and `uniforms` take arrays; `key` and `uniform` are the same for one person, compiled. Transformations
of draws work on both.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.compiled import compiled, equation

Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_STEPS_PER_PURPOSE = np.uint64(1 << 32)


class Purpose(IntEnum):
    """What a draw decides. Two purposes never share a draw; numbers are part of the seed's meaning."""

    RETURN = 1
    SESSIONS = 2
    START = 3
    SURFACE = 4
    VISIT = 5  # does a share bring the friend back
    FRIEND = 6  # which friend
    DRIFT = 7  # two draws per topic and day, 7..8
    CRAZE = 9
    ZERO = 10
    SKIP = 11
    GLANCE = 12
    INTENT = 13
    REPLAY = 14
    REPLAY_LENGTH = 15
    LEAVE = 16
    INTENT_ANGLE = 17
    EXAMINED = 18
    TAPPED = 19
    REACTION = 20  # one per reaction, 20..27
    DELAY = 30  # one per reaction, 30..37
    FOLLOW_LATER = 38
    NETWORK = 40  # one per kind of event, 40..44
    SURVEY = 45  # asked, answers, two draws of noise: 45..48
    BOT = 49
    CANDIDATE = 50  # two draws per candidate, 50..51
    GUMBEL = 52
    EXPLORE = 53
    EXPLORED_VIDEO = 54
    RANDOM_SLATE = 55
    DROPPED = 60  # from here to 73: faults.py and observations.py
    DUPLICATED = 61
    LATE = 62
    LATENESS = 63  # two draws of a normal, 63..64
    NULL_DURATION = 65
    SKEW = 66  # two draws of a normal, 66..67
    SKEWED_HOURS = 68
    HOURS = 69
    SENTINEL = 70
    FANS = 71  # two draws of a normal, 71..72
    SURVEY_DELAY = 73


def keys(seed: int, *parts: ArrayLike) -> Keys:
    """One 64-bit key per row from a seed and integer parts (user, session, ...), broadcast together."""
    folded: Keys = _mixed(np.asarray([seed], dtype=np.uint64) + _GOLDEN)
    for part in parts:
        folded = _folded(folded, np.atleast_1d(np.asarray(part)).astype(np.uint64))
    return folded


def uniforms(of: Keys, purpose: int, steps: ArrayLike = 0) -> Floats:
    """Numbers in the open interval (0, 1), one per (key, step) after broadcasting."""
    counter = np.atleast_1d(np.asarray(steps)).astype(np.uint64) + np.uint64(purpose) * _STEPS_PER_PURPOSE
    words = _mixed(of + (counter + np.uint64(1)) * _GOLDEN)
    return np.asarray((words >> np.uint64(11)) + 0.5) * 2.0**-53


def _folded(key: Any, part: Any) -> Any:
    return _mixed(key ^ (part * _GOLDEN + _FIRST))


@equation
def _mixed(words: Any) -> Any:
    """splitmix64's output function; wraps modulo 2**64."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


@compiled
def key(of: np.uint64, part: int) -> np.uint64:
    """One key more specific by one integer part: key(key(seed's, user), session)."""
    return np.uint64(_mixed(np.uint64(of) ^ (np.uint64(part) * _GOLDEN + _FIRST)))


@compiled
def uniform(of: np.uint64, purpose: int, step: int) -> float:
    """The same number as uniforms gives for this key, purpose and step."""
    counter = np.uint64(step) + np.uint64(purpose) * _STEPS_PER_PURPOSE
    word = _mixed(np.uint64(of) + (counter + np.uint64(1)) * _GOLDEN)
    return (np.float64(word >> np.uint64(11)) + 0.5) * 2.0**-53


@equation
def normal(uniform: Any, angle: Any) -> Any:
    """Standard normal draws from two uniform ones (Box and Muller, 1958)."""
    return np.sqrt(-2.0 * np.log(uniform)) * np.cos(2.0 * np.pi * angle)


@equation
def exponential(uniform: Any, mean: Any) -> Any:
    """Exponential draws by inversion, in the unit of `mean`."""
    return -mean * np.log(uniform)


@equation
def gumbel(uniform: Any) -> Any:
    """Standard Gumbel draws; log-weights plus these, sorted, are a Plackett-Luce order."""
    return -np.log(-np.log(uniform))
