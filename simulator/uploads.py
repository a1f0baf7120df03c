"""What may be uploaded: every video's fate but whether it appears, which depends on its creator's energy.

The rows are potential outcomes: drawn once from the seed, more than will ever be public. A video appears iff
its `urge` is below its creator's energy on the scheduled day over MOST_ENERGY (supply.py), so a policy that
starves creators changes which videos exist and never what they are. Rows of a scenario or of future days are
appended and leave the others as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import DAY_US, HOUR_US, NEVER_US
from feature_repo.scales import Scale
from simulator.births import (
    BEFORE_DAYS,
    FIRST_VIDEO,
    LATENT,
    TOPICS,
    Creators,
    Floats,
    Ints,
    Mask,
    Stage,
    Vectors,
    moment_of_day,
    stacked,
    stage_of,
    topic_shares,
    unit,
)
from simulator.dials import Dial

MOST_ENERGY = 1.6
"""The most a creator's energy may be; at the usual energy, 1, one potential upload in 1.6 appears."""

UPLOADED_BEFORE = 0.5
HOME_TOPIC = 0.8  # share of a creator's videos on their own topic
VIDEO_SPREAD = 0.20  # per coordinate, around the topic's centre
CREATOR_QUALITY, OWN_QUALITY = 0.5, 0.87  # of a video's quality: its creator's, its own
CLICKBAIT = (1.2, 4.8)  # Beta, then standardised
LONG_SHARE, LONG_LOG_S, SHORT_LOG_S = 0.78, (4.655, 0.72), (2.71, 0.30)
"""Lengths: a mixture of two log-normals through KuaiRand-Pure's quantiles, log-mean and log-sd (S7)."""
SHORTEST_S, LONGEST_S = 5.0, 1200.0
EVERGREEN = 0.15
CONTENT_NOISE = 0.22  # per coordinate of a unit vector: cosine with the truth about .75
SCORE_CORRELATION = 0.5  # of headline_score with clickbait, production_score with quality

VIOLATING, SPAM_VIOLATING = 0.008, 0.5
CAUGHT = 0.87
"""Share of the violating that nobody ever sees (TikTok's enforcement reports: 83-90 %)."""
VERDICT_HOURS, VERDICT_SD = 6.0, 1.0
"""Median hours until moderation takes down the others, and the spread of their logarithm."""
SPAM_CLICKBAIT, SPAM_QUALITY = 2.0, -1.0
"""Added to what a video of spam would otherwise be."""


@dataclass(frozen=True)
class Videos:
    """A row per potential upload, [n]: the base rows in scheduled order, then appended ones."""

    video_ids: Ints
    creators: Ints  # rows of Creators
    topics: Ints
    uploaded_us: Ints  # scheduled
    duration_ms: Ints
    embedding: Vectors  # unit vectors [n, 16]
    quality: Floats
    clickbait: Floats  # standardised
    evergreen: Mask
    violation: Floats  # 0 or 1
    content: Vectors
    headline: Floats
    production: Floats
    urge: Floats  # (0, 1): it appears iff this is below its creator's energy / MOST_ENERGY
    caught: Mask  # violating, and stopped before anyone saw it: never public
    removed_us: Ints  # when moderation takes it down; NEVER_US if it does not violate


@dataclass(frozen=True)
class Studio:
    """Who uploads, where and when: what videos are drawn from."""

    seed: int
    scale: Scale
    start_us: int
    centres: NDArray[np.float64]  # of topics [24, 16]
    creators: Creators

    @property
    def daily(self) -> float:
        """Potential uploads per day of the log."""
        return MOST_ENERGY * self.scale.videos * (1.0 - UPLOADED_BEFORE) / self.scale.days


def base_count(scale: Scale) -> int:
    """Potential uploads without scenario and future; about 1 / MOST_ENERGY of them appear."""
    return round(MOST_ENERGY * scale.videos)


def draw_videos(studio: Studio, waves: tuple[Dial, ...] = (), future_days: int = 0) -> Videos:
    """Base rows, then a spam wave's of the log's days, then day after day of the future.

    So neither a scenario nor a longer future changes the rows of a log.
    """
    days = studio.scale.days
    parts = [_base(studio)]
    for day in range(days + future_days):
        parts += [_future_day(studio, day)] if day >= days else []
        parts += [_spam_of_day(studio, dial, number, day) for number, dial in enumerate(waves)]
    videos = stacked(parts)
    return replace(videos, video_ids=FIRST_VIDEO + np.arange(len(videos.video_ids)))


def _base(studio: Studio) -> Videos:
    n, rng = base_count(studio.scale), stage_of(studio.seed, Stage.VIDEOS)
    old = rng.random(n) < UPLOADED_BEFORE
    day = np.where(old, rng.integers(-BEFORE_DAYS, 0, n), rng.integers(0, studio.scale.days, n))
    moments_us = studio.start_us + day * DAY_US + moment_of_day(n, rng)
    return _drawn(studio, np.sort(moments_us), studio.creators.productivity, rng)


def _future_day(studio: Studio, day: int) -> Videos:
    rng = stage_of(studio.seed, Stage.FUTURE, day)
    moments_us = studio.start_us + day * DAY_US + moment_of_day(rng.poisson(studio.daily), rng)
    return _drawn(studio, np.sort(moments_us), studio.creators.productivity, rng)


def _spam_of_day(studio: Studio, dial: Dial, number: int, day: int) -> Videos:
    """What a wave adds on this day: spam creators' usual uploads, `times` - 1 times, all sure to appear."""
    rng, of = stage_of(studio.seed, Stage.SPAM_WAVE, number, day), studio.creators
    spammers = of.productivity * of.spam
    usual = studio.daily / MOST_ENERGY * spammers.sum() / of.productivity.sum()
    added = rng.poisson(max(0.0, dial["times"] - 1.0) * usual)
    moments_us = studio.start_us + day * DAY_US + moment_of_day(added, rng)
    moments_us = np.sort(moments_us[dial.holds_at(moments_us)])
    return replace(_drawn(studio, moments_us, spammers, rng), urge=np.zeros(len(moments_us)))


def _drawn(studio: Studio, moments_us: Ints, odds: Floats, rng: np.random.Generator) -> Videos:
    """Uploads at these moments, by creators drawn with these odds."""
    n = len(moments_us)
    by = rng.choice(len(odds), size=n, p=odds / odds.sum())
    topics, embedding = _subjects(studio, by, rng)
    quality, clickbait = _craft(studio.creators, by, rng)
    violates, caught, removed_us = _verdicts(moments_us, studio.creators.spam[by], rng)
    seconds = _lengths_s(n, rng)
    return Videos(
        video_ids=np.arange(n),
        creators=by,
        topics=topics,
        uploaded_us=moments_us,
        duration_ms=np.rint(1000 * seconds).astype(np.int64),
        embedding=embedding.astype(np.float32),
        quality=quality,
        clickbait=clickbait,
        evergreen=rng.random(n) < EVERGREEN,
        violation=violates.astype(np.float64),
        content=(embedding + CONTENT_NOISE * rng.normal(size=(n, LATENT))).astype(np.float32),
        headline=_noisy_view(clickbait, rng),
        production=_noisy_view(quality, rng),
        urge=1.0 - rng.random(n),
        caught=caught,
        removed_us=removed_us,
    )


def _subjects(studio: Studio, by: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """(topics, embeddings): mostly a creator's home topic, and unit vectors near the topic's centre."""
    n = len(by)
    home = rng.random(n) < HOME_TOPIC
    topics = np.where(home, studio.creators.home_topic[by], rng.choice(TOPICS, size=n, p=topic_shares()))
    return topics, unit(studio.centres[topics] + VIDEO_SPREAD * rng.normal(size=(n, LATENT)))


def _craft(creators: Creators, by: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(quality, clickbait); spam has less of the one and more of the other."""
    n, spam = len(by), creators.spam[by]
    quality = CREATOR_QUALITY * creators.quality[by] + OWN_QUALITY * rng.normal(size=n)
    clickbait = _standardised(rng.beta(*CLICKBAIT, size=n))
    return quality + SPAM_QUALITY * spam, clickbait + SPAM_CLICKBAIT * spam


def _verdicts(moments_us: Ints, spam: Mask, rng: np.random.Generator) -> tuple[Mask, Mask, Ints]:
    """(violates, caught, removed_us) of uploads at these moments; what is caught is removed at once."""
    n = len(moments_us)
    violates = rng.random(n) < np.where(spam, SPAM_VIOLATING, VIOLATING)
    caught = violates & (rng.random(n) < CAUGHT)
    hours = VERDICT_HOURS * np.exp(VERDICT_SD * rng.normal(size=n))
    verdict_us = moments_us + np.where(caught, 0, np.rint(hours * HOUR_US).astype(np.int64))
    return violates, caught, np.where(violates, verdict_us, NEVER_US)


def _lengths_s(n: int, rng: np.random.Generator) -> Floats:
    logs = np.where(rng.random(n) < LONG_SHARE, rng.normal(*LONG_LOG_S, n), rng.normal(*SHORT_LOG_S, n))
    return np.asarray(np.clip(np.exp(logs), SHORTEST_S, LONGEST_S))


def _standardised(beta: Floats) -> Floats:
    """Clickbait at mean 0 and standard deviation 1."""
    a, b = CLICKBAIT
    return np.asarray((beta - a / (a + b)) / np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1.0))))


def _noisy_view(latent: Floats, rng: np.random.Generator) -> Floats:
    noise = rng.normal(size=len(latent))
    return np.asarray(SCORE_CORRELATION * latent + np.sqrt(1 - SCORE_CORRELATION**2) * noise)
