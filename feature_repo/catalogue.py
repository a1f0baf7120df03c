"""Every feature, defined once: meaning, window, default, range, owner and why.

windows, snapshots, feast_objects, matrix, materialization and online derive from this file.

A snapshot at moment s counts an event iff known_time < s and event_time >= s - window. The value at moment t
is that of the newest snapshot at or before t and at most TTL old (inclusive), else the default. Rates are
smoothed: (count + STRENGTH * prior) / (impressions + STRENGTH), clipped to 1. A snapshot row exists where a
count of its view is not zero, and one row of zeros closes each such stretch: a missing row and a row of zeros
mean the same, and an old count is never taken for a current one. So a TTL need not be tight to be right: it
says how long serving may live on what it has (a day for videos, three for people and creators).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from feature_repo.clock import DAY_US, HOUR_US

STRENGTH = 20.0
"""Prior impressions in every smoothed rate: a video seen twice says little."""

PRIORS = {
    "long_watch": 0.3,  # KuaiRand, standard log: long_view 31-33 %
    "like": 0.018,  # KuaiRand: 1.80-1.85 %
    "share_or_follow": 0.002,  # KuaiRand: forward .096 % + follow .107 %
    "negative": 0.0005,  # KuaiRand: hate .049 %
    "watched_share": 0.4,  # mean of min(watched, duration) / duration; a round figure
}

UNKNOWN = float("nan")
"""The default where "we do not know" is the honest answer; trees route NaN on their own."""

ANY = float("inf")

Kind = Literal["field", "count", "rate", "derived"]


@dataclass(frozen=True)
class Feature:
    """One column of the model's matrix, or a moment that one is made from."""

    name: str  # entity, what, window
    kind: Kind
    why: str
    owner: str
    event: str = ""  # what is counted: a key of facts.counted_facts
    window_us: int = 0
    default: float = UNKNOWN
    low: float = 0.0
    high: float = ANY
    integer: bool = False  # a moment: int64, because float32 would be minutes off
    codes: bool = False  # names written as numbers: 2 is no more than 1
    entity: str = ""  # user, video, creator, user_topic; request or pair if no view stores it
    view: str = ""  # the Feast view that stores it; "" if a pure function makes it


@dataclass(frozen=True)
class View:
    """One Feast feature view: its keys, how often it is snapshot, and how long a snapshot may be used."""

    name: str
    keys: tuple[str, ...]
    every_us: int | None  # None: one row per entity, from the moment it was known
    ttl_us: int | None  # inclusive; None: never expires
    features: tuple[Feature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)


def _view(
    name: str, keys: tuple[str, ...], every_us: int | None, ttl_us: int | None, *features: Feature
) -> View:
    entity = name.rsplit("_", 1)[0]
    mine = tuple(replace(feature, view=name, entity=entity) for feature in features)
    return View(name, keys, every_us, ttl_us, mine)


def _field(
    name: str, why: str, owner: str, low: float = 0.0, high: float = ANY, integer: bool = False
) -> Feature:
    return Feature(name, "field", why, owner, low=low, high=high, integer=integer)


def _codes(feature: Feature) -> Feature:
    return replace(feature, codes=True)


def _count(name: str, event: str, window_us: int, why: str, owner: str) -> Feature:
    return Feature(name, "count", why, owner, event, window_us, default=0.0)


def _rate(name: str, event: str, window_us: int, why: str, owner: str) -> Feature:
    return Feature(name, "rate", why, owner, event, window_us, default=PRIORS[event], high=1.0)


_GROWTH, _RANKING, _CREATORS, _INTEGRITY = "growth", "ranking", "creators", "integrity"
_6H, _1D, _3D, _7D, _14D = 6 * HOUR_US, DAY_US, 3 * DAY_US, 7 * DAY_US, 14 * DAY_US
_EVER = 3650 * DAY_US

USER_PROFILE = _view(
    *("user_profile", ("user_id",), None, None),
    _codes(_field("user_country", "language and taste differ by country", _GROWTH)),
    _codes(_field("user_device", "screen and network shape watching", _GROWTH)),
    _codes(_field("user_age_band", "taste differs by age", _GROWTH)),
    _codes(
        _field("user_activity_band", "the heaviest users are the pickiest (KuaiRand: .374 to .258)", _GROWTH)
    ),
    _codes(_field("user_fans_band", "people who make videos watch differently", _GROWTH)),
    _codes(_field("user_follows_band", "people who follow many like more", _GROWTH)),
    _field("user_joined_us", "tenure is derived from it at request time", _GROWTH, integer=True),
)

USER_STATS = _view(
    *("user_stats", ("user_id",), _6H, _3D),
    _count("user_impressions_24h", "impressions", _1D, "how deep into the day", _RANKING),
    _count("user_impressions_7d", "impressions", _7D, "habit, and how sure the rates are", _RANKING),
    _rate("user_long_watch_rate_7d", "long_watch", _7D, "how picky this person is", _RANKING),
    _rate("user_watched_share_7d", "watched_share", _7D, "patience", _RANKING),
    _rate("user_like_rate_7d", "like", _7D, "how readily this person likes", _RANKING),
    _rate(
        "user_share_rate_7d", "share_or_follow", _7D, "how readily this person shares or follows", _RANKING
    ),
    _rate("user_negative_rate_7d", "negative", _7D, "how readily this person complains", _INTEGRITY),
)

VIDEO_PROFILE = _view(
    *("video_profile", ("video_id",), None, None),
    _codes(_field("video_topic", "taste is by topic first", _CREATORS, high=63.0)),
    _field("video_duration_s", "long watch and watch time depend on length", _CREATORS),
    _field("video_headline_score", "does it promise more than it holds?", _INTEGRITY, low=-ANY),
    _field("video_production_score", "is it well made?", _CREATORS, low=-ANY),
    _field("video_uploaded_us", "age is derived from it at request time", _CREATORS, integer=True),
)

VIDEO_STATS = _view(
    *("video_stats", ("video_id",), HOUR_US, _1D),
    _count("video_impressions_24h", "impressions", _1D, "reach now", _RANKING),
    _count("video_impressions_7d", "impressions", _7D, "how sure its rates are", _RANKING),
    _rate("video_long_watch_rate_24h", "long_watch", _1D, "quality as of today", _RANKING),
    _rate("video_long_watch_rate_7d", "long_watch", _7D, "quality, steadier", _RANKING),
    _count("video_long_watches_3d", "long_watch", _3D, "trending: a source and a baseline", _RANKING),
    _rate("video_watched_share_7d", "watched_share", _7D, "does it hold attention?", _RANKING),
    _rate("video_like_rate_7d", "like", _7D, "liked for itself", _RANKING),
    _rate("video_share_rate_7d", "share_or_follow", _7D, "worth passing on", _RANKING),
    _rate("video_negative_rate_7d", "negative", _7D, "clickbait and worse", _INTEGRITY),
)

CREATOR_STATS = _view(
    *("creator_stats", ("creator_id",), _6H, _3D),
    _count("creator_impressions_7d", "impressions", _7D, "how known", _CREATORS),
    _rate("creator_long_watch_rate_7d", "long_watch", _7D, "speaks for a new video", _CREATORS),
    _rate("creator_like_rate_7d", "like", _7D, "speaks for a new video", _CREATORS),
    _rate("creator_share_rate_7d", "share_or_follow", _7D, "speaks for a new video", _CREATORS),
    _count("creator_followers", "followed", _EVER, "follows in the log so far", _CREATORS),
    _count("creator_uploads_7d", "uploaded", _7D, "spam uploads far more than people do", _INTEGRITY),
)

USER_TOPIC_STATS = _view(
    *("user_topic_stats", ("user_id", "topic"), _6H, _3D),
    _count("user_topic_impressions_14d", "impressions", _14D, "how sure the rates are", _RANKING),
    _rate("user_topic_long_watch_rate_14d", "long_watch", _14D, "taste", _RANKING),
    _rate("user_topic_like_rate_14d", "like", _14D, "taste, said aloud", _RANKING),
)

VIEWS = (USER_PROFILE, USER_STATS, VIDEO_PROFILE, VIDEO_STATS, CREATOR_STATS, USER_TOPIC_STATS)
"""The Feast views, in the order of FeatureService ranker_v1."""

STATS = tuple(view for view in VIEWS if view.every_us is not None)
PROFILES = tuple(view for view in VIEWS if view.every_us is None)


def _derived(
    entity: str, name: str, why: str, default: float = UNKNOWN, low: float = 0.0, high: float = ANY
) -> Feature:
    return Feature(name, "derived", why, _RANKING, default=default, low=low, high=high, entity=entity)


CONTEXT = (
    _codes(_derived("request", "surface", "label rates differ by surface (KuaiRand: 38.6 % to 4.2 %)")),
    _derived(
        "request", "hour_of_day", "people watch differently at night; UTC, with its fraction", high=24.0
    ),
    _derived("request", "is_weekend", "1 on Saturday and Sunday, UTC", high=1.0),
    _derived("pair", "video_age_hours", "freshness fades; NaN if the upload is unknown"),
    _derived("request", "user_tenure_days", "new people are not known yet; NaN if joining is unknown"),
)
"""What a request knows by itself: pure functions in context.py, the same for training and serving."""

HISTORY_FEATURES = (
    _derived("request", "history_size", "how much the history can say", default=0.0, high=20.0),
    _derived("pair", "history_topic_share", "of what was watched lately, this topic", default=0.0, high=1.0),
    _derived(
        "pair", "history_creator_share", "of what was watched lately, this creator", default=0.0, high=1.0
    ),
    _derived("pair", "follows_creator", "followed creators are liked more", default=0.0, high=1.0),
)
"""From the last watched videos and follows: pure functions in histories.py."""

MODEL_FEATURES = (
    _derived("pair", "tower_score", "what the retrieval model thinks: the dot product", low=-ANY),
)

FEATURES = (*(f for view in VIEWS for f in view.features), *CONTEXT, *HISTORY_FEATURES, *MODEL_FEATURES)
"""Every feature, stored or derived."""

CODES = tuple(feature.name for feature in FEATURES if feature.codes)
"""Features whose numbers are names (or bands): a linear model needs one indicator per code."""

DEFAULTS = {feature.name: feature.default for feature in FEATURES}


def feature_named(name: str) -> Feature:
    for feature in FEATURES:
        if feature.name == name:
            return feature
    raise KeyError(f"no feature {name!r}. Features: {', '.join(f.name for f in FEATURES)}.")


def view_named(name: str) -> View:
    for view in VIEWS:
        if view.name == name:
            return view
    raise KeyError(f"no view {name!r}. Views: {', '.join(v.name for v in VIEWS)}.")
