"""How good a perfect model could look: Bayes ceilings of each label, from the sealed true probabilities.

Nobody ranks better, in expectation, than who knows each impression's true probability p. What that person's
AUC and log-loss come to on impressions like these is closed form: labels are independent draws given p.

expected AUC = sum over pairs of P(i positive, j negative, i ranked above j) / P(i positive, j negative)
expected log-loss = mean of -p log p - (1 - p) log(1 - p), in nats

An interval says where 95 of 100 logs of the same impressions would put the figure: label noise alone, by the
first-order (Hajek) projection on the independent labels (van der Vaart 1998, ch. 11-12).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from simulator.behaviour import REACTIONS
from simulator.exposures import GRID, SWIPE
from simulator.luck import Floats
from simulator.swipes import Encounters
from simulator.worlds import World

LABELS = ("click", "long_view", "like")
Z = 1.959963984540054
LEAST = 1e-12
"""Probabilities are kept this far from 0 and 1, as float32 may round them there."""


class Estimate(NamedTuple):
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class Ceiling(NamedTuple):
    """What the true probability itself scores on n impressions, in expectation."""

    auc: Estimate
    log_loss: Estimate
    rate: float  # mean probability
    n: int


def ceilings(world: World, impressions: pl.DataFrame, surface: int = SWIPE) -> Mapping[str, Ceiling]:
    """The ceiling of each label on rows of the shadow log: what people (no bots) examined on this surface."""
    human = impressions.filter((pl.col("surface") == surface) & pl.col("examined") & ~pl.col("bot"))
    chances = {name: human[name].to_numpy().astype(np.float64) for name in ("click", "long_view")}
    chances["like"] = like_probabilities(world, human)
    return {label: ceiling(chances[label]) for label in LABELS}


def like_probabilities(world: World, impressions: pl.DataFrame) -> Floats:
    """P(like) of each row of the shadow log given that it was examined, a scenario's odds included."""
    long_view, started = (impressions[name].to_numpy().astype(np.float64) for name in ("long_view", "click"))
    plays = np.where(impressions["surface"].to_numpy() == GRID, started, 1.0)
    without, along = (_liking(world, impressions, happened) for happened in (0.0, 1.0))
    return np.asarray((plays - long_view) * without + long_view * along)


def ceiling(probabilities: ArrayLike) -> Ceiling:
    """Of independent labels with these true probabilities, [n]."""
    p = np.clip(np.asarray(probabilities, dtype=np.float64), LEAST, 1.0 - LEAST)
    return Ceiling(expected_auc(p), expected_log_loss(p), float(p.mean()), len(p))


def expected_auc(p: Floats) -> Estimate:
    """Of p as a score of labels drawn from p; ties count one half."""
    ordered = np.sort(p)
    low, high = (np.searchsorted(ordered, p, side=side) for side in ("left", "right"))
    below, upto = _sums_before(ordered, low), _sums_before(ordered, high)
    negatives = 0.5 * ((low - below) + (high - upto)) - 0.5 * (1.0 - p)
    positives = p.sum() - 0.5 * (below + upto) - 0.5 * p
    pairs = p.sum() * (1.0 - p).sum() - (p * (1.0 - p)).sum()
    auc = float((p * negatives).sum() / pairs)
    slope = negatives - positives - auc * ((1.0 - p).sum() - p.sum() - (1.0 - 2.0 * p))
    return _around(auc, float(np.sqrt((p * (1.0 - p) * slope**2).sum()) / pairs))


def expected_log_loss(p: Floats) -> Estimate:
    """Mean entropy of the labels, nats per impression."""
    loss = -(p * np.log(p) + (1.0 - p) * np.log1p(-p))
    logit = np.log(p) - np.log1p(-p)
    return _around(float(loss.mean()), float(np.sqrt((p * (1.0 - p) * logit**2).sum()) / len(p)))


def _sums_before(ordered: Floats, counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    """Sums of the first so many of the ordered values."""
    return np.concatenate([[0.0], np.cumsum(ordered)])[counts]


def _around(value: float, deviation: float) -> Estimate:
    return Estimate(value, value - Z * deviation, value + Z * deviation)


def _liking(world: World, rows: pl.DataFrame, long_view: float) -> Floats:
    people = world.rows_of_people(rows["user_id"].to_numpy())
    videos = world.rows_of_videos(rows["video_id"].to_numpy())
    of, none = world.videos, np.zeros(len(rows))
    meeting = Encounters(
        pull=rows["pull"].to_numpy().astype(np.float64),
        satisfaction=rows["satisfaction"].to_numpy().astype(np.float64),
        clickbait=of.clickbait[videos],
        duration_ms=of.duration_ms[videos],
        topics=of.topics[videos],
        warmth=world.people.warmth[people],
        violation=none,
        patience=none,
    )
    like = REACTIONS.index("like")
    return world.reacting(like, meeting, long_view, rows["started_us"].to_numpy())
