"""Who and what exists: people, creators and videos, drawn once from the seed.

Latents (taste, leniency, quality, clickbait, ...) and what an outside observer gets to see of them (content,
scores, country, age band) are drawn together here and told apart in observations.py, which writes only the
latter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import DAY_US, HOUR_US
from feature_repo.scales import Scale
from simulator.behaviour import hour_intensity

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

TOPICS = 24
LATENT = 16
FIRST_USER, FIRST_CREATOR, FIRST_VIDEO = 1, 1_000_001, 2_000_001
"""Ids of different kinds never overlap, so a join on the wrong key finds nothing."""

BEFORE_DAYS = 14
"""People and videos that precede the log appeared during the two weeks before it."""

JOINED_BEFORE, UPLOADED_BEFORE = 0.85, 0.5
ACTIVITY_SD = 1.09  # log-normal fit to 19/42/83 videos per active day (WORLD.md section 2)
TASTE_SPREAD, VIDEO_SPREAD = 0.08, 0.20  # per coordinate: topics explain most of taste, not all of it
CONTENT_NOISE = 0.22  # per coordinate of a unit vector: cosine with the truth about .75
SCORE_CORRELATION = 0.5  # of headline_score with clickbait, production_score with quality
HOME_TOPIC = 0.8  # share of a creator's videos on their own topic
COUNTRIES, DEVICES, AGE_BANDS = 8, 3, 5


@dataclass(frozen=True)
class People:
    user_ids: Ints
    joined_us: Ints
    taste: NDArray[np.float32]  # unit vectors [n, 16]
    leniency: Floats
    warmth: Floats  # proneness to react
    patience: Floats  # log of impressions per day relative to the median person
    return_logit: Floats
    country: Ints
    device: Ints
    age_band: Ints


@dataclass(frozen=True)
class Creators:
    creator_ids: Ints
    fans: Floats
    quality: Floats
    home_topic: Ints
    productivity: Floats


@dataclass(frozen=True)
class Videos:
    """Rows are in upload order, so what existed at a moment is a prefix."""

    video_ids: Ints
    creators: Ints  # rows of Creators
    topics: Ints
    uploaded_us: Ints
    duration_ms: Ints
    embedding: NDArray[np.float32]
    quality: Floats
    clickbait: Floats  # standardised
    evergreen: NDArray[np.bool_]
    violation: Floats
    content: NDArray[np.float32]
    headline: Floats
    production: Floats

    def existing_at(self, moment_us: int | Ints) -> Ints:
        """How many videos were uploaded strictly before each moment."""
        return np.asarray(np.searchsorted(self.uploaded_us, moment_us, side="left"))


def topic_shares() -> Floats:
    """w_k ~ k^-.62: an effective number of about 17 of 24, as in KuaiRand's tags."""
    weights = np.arange(1, TOPICS + 1) ** -0.62
    return np.asarray(weights / weights.sum())


def topic_centres(rng: np.random.Generator) -> Floats:
    return _unit(rng.normal(size=(TOPICS, LATENT)))


def draw_people(scale: Scale, start_us: int, centres: Floats, rng: np.random.Generator) -> People:
    n = scale.users
    activity = rng.normal(size=n)
    mix = rng.dirichlet(3.0 * topic_shares(), size=n)
    taste = _unit(mix @ centres + TASTE_SPREAD * rng.normal(size=(n, LATENT)))
    returns = rng.beta(2.73, 1.82, size=n)  # fits the published gaps between active days
    return People(
        user_ids=FIRST_USER + np.arange(n),
        joined_us=_joined_us(scale, start_us, rng),
        taste=taste.astype(np.float32),
        leniency=-0.35 * activity + np.sqrt(1 - 0.35**2) * rng.normal(size=n),
        warmth=rng.normal(size=n),
        patience=np.minimum(ACTIVITY_SD * activity, np.log(_most_patient(scale))),
        return_logit=np.log(returns) - np.log1p(-returns),
        country=_weakly_related(taste, COUNTRIES, rng),
        device=rng.choice(DEVICES, size=n, p=(0.55, 0.35, 0.10)),
        age_band=_weakly_related(taste, AGE_BANDS, rng),
    )


def draw_creators(scale: Scale, rng: np.random.Generator) -> Creators:
    n = scale.creators
    fame = rng.normal(size=n)
    return Creators(
        creator_ids=FIRST_CREATOR + np.arange(n),
        fans=np.exp(np.log(48) + 2.29 * fame),
        quality=0.35 * fame + np.sqrt(1 - 0.35**2) * rng.normal(size=n),
        home_topic=rng.choice(TOPICS, size=n, p=topic_shares()),
        productivity=rng.pareto(1.6, size=n) + 1.0,
    )


def draw_videos(
    scale: Scale, start_us: int, centres: Floats, creators: Creators, rng: np.random.Generator
) -> Videos:
    n = scale.videos
    by = rng.choice(len(creators.fans), size=n, p=creators.productivity / creators.productivity.sum())
    home = rng.random(n) < HOME_TOPIC
    topics = np.where(home, creators.home_topic[by], rng.choice(TOPICS, size=n, p=topic_shares()))
    embedding = _unit(centres[topics] + VIDEO_SPREAD * rng.normal(size=(n, LATENT)))
    quality = 0.5 * creators.quality[by] + 0.87 * rng.normal(size=n)
    clickbait = (rng.beta(1.2, 4.8, size=n) - 0.2) / np.sqrt(1.2 * 4.8 / (6.0**2 * 7.0))
    seconds = np.clip(np.exp(rng.normal(4.35, 1.0, size=n)), 5.0, 1200.0)
    return Videos(
        video_ids=FIRST_VIDEO + np.arange(n),
        creators=by,
        topics=topics,
        uploaded_us=_uploaded_us(scale, start_us, rng),
        duration_ms=np.rint(1000 * seconds).astype(np.int64),
        embedding=embedding.astype(np.float32),
        quality=quality,
        clickbait=clickbait,
        evergreen=rng.random(n) < 0.15,
        violation=(rng.random(n) < 0.008).astype(np.float64),
        content=(embedding + CONTENT_NOISE * rng.normal(size=(n, LATENT))).astype(np.float32),
        headline=_noisy_view(clickbait, rng),
        production=_noisy_view(quality, rng),
    )


def _most_patient(scale: Scale) -> float:
    """A person must not run out of unseen videos: the heaviest see at most a third of the corpus."""
    return max(3.0, scale.videos / 800.0)


def _joined_us(scale: Scale, start_us: int, rng: np.random.Generator) -> Ints:
    old = rng.random(scale.users) < JOINED_BEFORE
    day = np.where(old, rng.integers(-BEFORE_DAYS, 0, scale.users), rng.integers(0, scale.days, scale.users))
    return start_us + day * DAY_US + _moment_of_day(scale.users, rng)


def _uploaded_us(scale: Scale, start_us: int, rng: np.random.Generator) -> Ints:
    old = rng.random(scale.videos) < UPLOADED_BEFORE
    before = rng.integers(-BEFORE_DAYS, 0, scale.videos)
    day = np.where(old, before, rng.integers(0, scale.days, scale.videos))
    return np.sort(start_us + day * DAY_US + _moment_of_day(scale.videos, rng))


def _moment_of_day(n: int, rng: np.random.Generator) -> Ints:
    shares = hour_intensity(np.arange(24, dtype=np.float64) + 0.5)
    hours = rng.choice(24, size=n, p=shares / shares.sum())
    return np.asarray(hours * HOUR_US + rng.integers(0, HOUR_US, n))


def _weakly_related(taste: Floats, bands: int, rng: np.random.Generator) -> Ints:
    """A band per person whose odds lean on taste: something to learn, little to rely on."""
    lean = 2.0 * taste @ _unit(rng.normal(size=(LATENT, bands)).T).T
    base = np.log(np.arange(1, bands + 1) ** -0.5)
    return np.asarray(np.argmax(base + lean + rng.gumbel(size=lean.shape), axis=1))


def _noisy_view(latent: Floats, rng: np.random.Generator) -> Floats:
    noise = rng.normal(size=len(latent))
    return np.asarray(SCORE_CORRELATION * latent + np.sqrt(1 - SCORE_CORRELATION**2) * noise)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
