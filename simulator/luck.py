"""Chance as a function: the same person at the same step has the same luck, whatever is served to them.

A draw is not taken from a stream but looked up: splitmix64's output function applied to a key (who, which
session) plus a counter (purpose, step). So two policies can be compared on the same people with the same
luck, in any order and any chunking (common random numbers). Source: Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014, figure 17.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

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
    ZERO = 10
    SKIP = 11
    GLANCE = 12
    INTENT = 13
    REPLAY = 14
    REPLAY_LENGTH = 15
    LEAVE = 16
    REACTION = 20  # one per reaction, 20..27
    DELAY = 30  # one per reaction, 30..37
    FOLLOW_LATER = 38
    NETWORK = 40  # one per kind of event, 40..44
    CANDIDATE = 50  # two draws per candidate, 50..51
    GUMBEL = 52
    EXPLORE = 53
    EXPLORED_VIDEO = 54
    RANDOM_SLATE = 55


def keys(seed: int, *parts: ArrayLike) -> Keys:
    """One 64-bit key per row from a seed and integer parts (user, session, ...), broadcast together."""
    folded = _mixed(np.asarray([seed], dtype=np.uint64) + _GOLDEN)
    for part in parts:
        folded = _mixed(folded ^ (np.atleast_1d(np.asarray(part)).astype(np.uint64) * _GOLDEN + _FIRST))
    return folded


def uniforms(of: Keys, purpose: int, steps: ArrayLike = 0) -> Floats:
    """Numbers in the open interval (0, 1), one per (key, step) after broadcasting."""
    counter = np.atleast_1d(np.asarray(steps)).astype(np.uint64) + np.uint64(purpose) * _STEPS_PER_PURPOSE
    words = _mixed(of + (counter + np.uint64(1)) * _GOLDEN)
    return np.asarray((words >> np.uint64(11)) + 0.5) * 2.0**-53


def normals(uniform: Floats) -> Floats:
    """Standard normal draws by inversion."""
    return np.asarray(ndtri(uniform))


def exponentials(uniform: Floats, mean: float = 1.0) -> Floats:
    """Exponential draws by inversion, in the unit of `mean`."""
    return -mean * np.log(uniform)


def gumbels(uniform: Floats) -> Floats:
    """Standard Gumbel draws; log-weights plus these, sorted, are a Plackett-Luce order."""
    return -np.log(-np.log(uniform))


def _mixed(words: Keys) -> Keys:
    """splitmix64's output function; arrays wrap modulo 2**64."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))
