"""Who exists: people and creators, drawn once from the seed; what creators may upload is in uploads.py.

Latents (taste, leniency, quality, ...) and what an outside observer gets to see of them (country, age band)
are drawn together here and told apart in observations.py, which writes only the latter. Each kind of birth
has its own random stage, so that bots, spam or a new market never change anybody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import DAY_US, HOUR_US, MINUTE_US
from feature_repo.scales import Scale
from simulator.behaviour import hour_intensity

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]
Rows = TypeVar("Rows")

TOPICS = 24
LATENT = 16
FIRST_USER, FIRST_CREATOR, FIRST_VIDEO = 1, 1_000_001, 2_000_001
"""Ids of different kinds never overlap, so a join on the wrong key finds nothing."""

BEFORE_DAYS = 14
"""People and videos that precede the log appeared during the two weeks before it."""

JOINED_BEFORE = 0.85
ACTIVITY_SD = 1.09  # log-normal fit to 19/42/83 videos per active day (WORLD.md section 2)
TASTE_SPREAD = 0.08  # per coordinate: topics explain most of taste, not all of it
TOPIC_FOCUS = 3.0  # concentration of a person's Dirichlet mix of topics
LEAST_SHARE = 1e-4  # of a topic in a mix: its logarithm must be finite, and a craze must find something
COUNTRIES, DEVICES, AGE_BANDS = 8, 3, 5
NEW_COUNTRY = COUNTRIES
"""The country code of a new market, which nobody else has."""
MOST_NEW_SHARE = 0.9
"""People are added, never replaced: a share of 1 would take infinitely many."""

BOT_SHARE = 0.01

FANS_MEDIAN, FANS_SD = 48.0, 2.29  # log-normal (WORLD.md section 3)
RETURNS = (1.4, 1.1)  # Beta of daily return chances; solved for the published gaps between active days
PICKIER = -0.22  # correlation of leniency with log activity: the heaviest users are the pickiest
FAME_QUALITY = 0.35  # correlation of a creator's quality with log fans
PRODUCTIVITY_TAIL = 1.6  # Pareto exponent of uploads per creator; smaller is a heavier tail
SPAM_SHARE, SPAM_TIMES = 0.005, 10.0
"""Share of creators who spam (one at least), and their uploads over the mean creator's."""


class Stage(IntEnum):
    """Random stages: [seed, stage, ...] seeds one generator; the numbers are part of the seed's meaning."""

    CENTRES = 0
    PEOPLE = 1
    CREATORS = 2
    VIDEOS = 3
    MOMENTS = 4
    BOTS = 11  # 5 to 10 are taken elsewhere
    SPAMMERS = 12
    FRIENDS = 13
    MARKET = 14  # and the number of the dial
    MARKET_FRIENDS = 15
    SPAM_WAVE = 16  # and the number of the dial, and the day
    FUTURE = 17  # and the day


@dataclass(frozen=True)
class People:
    """A row per person, [n]; rows that a scenario adds stand behind the others."""

    user_ids: Ints
    joined_us: Ints
    mix: Vectors  # log shares of topics on day 0, [n, 24]
    own_taste: Vectors  # what topics do not explain, [n, 16]
    leniency: Floats
    warmth: Floats  # proneness to react
    patience: Floats  # log of impressions per day relative to the median person
    return_logit: Floats
    country: Ints
    device: Ints
    age_band: Ints
    bot: Mask


@dataclass(frozen=True)
class Creators:
    """A row per creator, [n]."""

    creator_ids: Ints
    fans: Floats
    quality: Floats
    home_topic: Ints
    productivity: Floats  # uploads relative to the least productive creator
    spam: Mask


def stage_of(seed: int, stage: Stage, *parts: int) -> np.random.Generator:
    """The generator of one stage of this seed's world."""
    return np.random.default_rng([seed, int(stage), *parts])


def topic_shares() -> Floats:
    """w_k ~ k^-.62: an effective number of about 17 of 24, as in KuaiRand's tags."""
    weights = np.arange(1, TOPICS + 1) ** -0.62
    return np.asarray(weights / weights.sum())


def topic_centres(rng: np.random.Generator) -> Floats:
    """Where each topic lies among tastes: unit vectors [24, 16]."""
    return unit(rng.normal(size=(TOPICS, LATENT)))


def draw_people(scale: Scale, start_us: int, centres: Floats, rng: np.random.Generator) -> People:
    """The people of every scenario; no bots yet."""
    joined_us = _joined_us(scale, start_us, rng)
    return _people(joined_us, topic_shares(), _most_patient(scale), centres, rng)


def with_bots(people: People, rng: np.random.Generator) -> People:
    """The same people, one account in a hundred (one at least) now run by a program."""
    return replace(people, bot=_marked(len(people.bot), BOT_SHARE, rng))


def draw_market(
    scale: Scale,
    base: People,
    share: float,
    window_us: tuple[int, int],
    centres: Floats,
    rng: np.random.Generator,
) -> People:
    """People of a new country who join in the window: `share` of all who then do, with tastes turned round.

    They come besides those who join anyway, at most nine for one of these; ids are given by `stacked_people`.
    """
    inside = base.joined_us[(base.joined_us >= window_us[0]) & (base.joined_us < window_us[1])]
    kept = min(share, MOST_NEW_SHARE)
    n = round(len(inside) * kept / (1.0 - kept))
    around = rng.choice(inside, size=n) if n else inside[:0]
    joined_us = np.clip(around + rng.integers(-30, 31, n) * MINUTE_US, window_us[0], window_us[1] - 1)
    people = _people(joined_us, topic_shares()[::-1], _most_patient(scale), centres, rng)
    bot = rng.random(n) < BOT_SHARE
    return replace(people, country=np.full(n, NEW_COUNTRY, dtype=np.int64), bot=bot)


def stacked_people(parts: Sequence[People]) -> People:
    """All in one table, in this order, with ids by row."""
    people = stacked(parts)
    return replace(people, user_ids=FIRST_USER + np.arange(len(people.user_ids)))


def draw_creators(scale: Scale, rng: np.random.Generator) -> Creators:
    """The creators of every world; nobody spams yet."""
    n = scale.creators
    fame = rng.normal(size=n)
    return Creators(
        creator_ids=FIRST_CREATOR + np.arange(n),
        fans=np.exp(np.log(FANS_MEDIAN) + FANS_SD * fame),
        quality=FAME_QUALITY * fame + np.sqrt(1 - FAME_QUALITY**2) * rng.normal(size=n),
        home_topic=rng.choice(TOPICS, size=n, p=topic_shares()),
        productivity=rng.pareto(PRODUCTIVITY_TAIL, size=n) + 1.0,
        spam=np.zeros(n, dtype=bool),
    )


def with_spam(creators: Creators, rng: np.random.Generator) -> Creators:
    """The same creators, a few of them now spamming: ten times the mean creator's uploads."""
    spam = _marked(len(creators.spam), SPAM_SHARE, rng)
    usual = PRODUCTIVITY_TAIL / (PRODUCTIVITY_TAIL - 1.0)
    return replace(
        creators, spam=spam, productivity=np.where(spam, SPAM_TIMES * usual, creators.productivity)
    )


def stacked(parts: Sequence[Rows]) -> Rows:
    """Tables of one kind, one under the other."""
    kind: Any = type(parts[0])
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(kind)
    }
    made: Rows = kind(**columns)
    return made


def moment_of_day(n: int, rng: np.random.Generator) -> Ints:
    """Microseconds since midnight, by the hours' intensity, [n]."""
    shares = hour_intensity(np.arange(24, dtype=np.float64) + 0.5)
    hours = rng.choice(24, size=n, p=shares / shares.sum())
    return np.asarray(hours * HOUR_US + rng.integers(0, HOUR_US, n))


def unit(vectors: Floats) -> Floats:
    """The same directions [n, d] at length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _people(
    joined_us: Ints, shares: Floats, most_patient: float, centres: Floats, rng: np.random.Generator
) -> People:
    n = len(joined_us)
    activity = rng.normal(size=n)
    mix = np.maximum(rng.dirichlet(TOPIC_FOCUS * shares, size=n), LEAST_SHARE)
    own_taste = TASTE_SPREAD * rng.normal(size=(n, LATENT))
    taste = unit(mix @ centres + own_taste)
    returns = rng.beta(*RETURNS, size=n)
    return People(
        user_ids=FIRST_USER + np.arange(n),
        joined_us=joined_us,
        mix=np.log(mix).astype(np.float32),
        own_taste=own_taste.astype(np.float32),
        leniency=PICKIER * activity + np.sqrt(1 - PICKIER**2) * rng.normal(size=n),
        warmth=rng.normal(size=n),
        patience=np.minimum(ACTIVITY_SD * activity, np.log(most_patient)),
        return_logit=np.log(returns) - np.log1p(-returns),
        country=_weakly_related(taste, COUNTRIES, rng),
        device=rng.choice(DEVICES, size=n, p=(0.55, 0.35, 0.10)),
        age_band=_weakly_related(taste, AGE_BANDS, rng),
        bot=np.zeros(n, dtype=bool),
    )


def _most_patient(scale: Scale) -> float:
    """A person must not run out of unseen videos: the heaviest see at most a third of the corpus."""
    return max(3.0, scale.videos / 800.0)


def _joined_us(scale: Scale, start_us: int, rng: np.random.Generator) -> Ints:
    old = rng.random(scale.users) < JOINED_BEFORE
    day = np.where(old, rng.integers(-BEFORE_DAYS, 0, scale.users), rng.integers(0, scale.days, scale.users))
    return start_us + day * DAY_US + moment_of_day(scale.users, rng)


def _weakly_related(taste: Floats, bands: int, rng: np.random.Generator) -> Ints:
    """A band per person whose odds lean on taste: something to learn, little to rely on."""
    lean = 2.0 * taste @ unit(rng.normal(size=(LATENT, bands)).T).T
    base = np.log(np.arange(1, bands + 1) ** -0.5)
    return np.asarray(np.argmax(base + lean + rng.gumbel(size=lean.shape), axis=1))


def _marked(n: int, share: float, rng: np.random.Generator) -> Mask:
    """This share of n rows, one at least, at random."""
    marked = np.zeros(n, dtype=bool)
    marked[rng.choice(n, size=max(1, round(share * n)), replace=False)] = True
    return marked
