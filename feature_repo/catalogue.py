"""Every feature once: what it means, where it lives, over which window, its default, its range, its owner and why.

windows.py, snapshots.py, feast_objects.py, matrix.py and online.py derive from this file; nothing is named twice.

A snapshot at moment s counts an event iff known_time < s and event_time >= s - window. The value of a feature at moment
t is that of the newest snapshot at or before t that is at most TTL old, else its default. Rates are smoothed:
(count + STRENGTH * prior) / (impressions + STRENGTH). A snapshot row exists exactly where a count of the view is not
zero, plus one closing row of zeros when the last count ends: so a missing row and a row of zeros mean the same, and an
old count is never taken for a current one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from feature_repo.clock import DAY_US, HOUR_US

STRENGTH = 20.0
"""Prior impressions in every smoothed rate: a video seen twice says little (KuaiRand's baseline uses the same 20)."""

PRIORS = {
    "long_watch": 0.3,  # WORLD.md section 2: long_view 31-33 % on the standard log
    "like": 0.018,  # 1.80-1.85 %
    "share_or_follow": 0.002,  # forward .096 % + follow .107 %
    "negative": 0.0005,  # hate .049 %
    "watched_share": 0.4,  # mean min(watched, duration) / duration; between KuaiRand's and KuaiRec's
}

UNKNOWN = float("nan")
"""The default where "we do not know" is the honest answer; trees route NaN on their own."""

Entity = Literal["user", "video", "creator", "user_topic", "request", "pair"]
Kind = Literal["field", "count", "rate", "derived"]


@dataclass(frozen=True)
class Feature:
    """One column of the model's matrix (or, for a moment, an ingredient of one)."""

    name: str
    entity: Entity
    view: str
    kind: Kind
    why: str
    owner: str
    event: str = ""  # what is counted, a column of windows.counted
    window_us: int = 0
    default: float = UNKNOWN
    low: float = 0.0
    high: float = float("inf")
    integer: bool = False  # stored as int64, because float32 cannot hold it (moments)


@dataclass(frozen=True)
class View:
    """One Feast feature view: its keys, how often it is snapshot, and how long a snapshot may be used."""

    name: str
    keys: tuple[str, ...]
    every_us: int | None  # None: written once per entity, at the moment it became known
    ttl_us: int | None  # inclusive; None: never expires
    features: tuple[Feature, ...] = field(default=())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @property
    def windows_us(self) -> tuple[int, ...]:
        return tuple(sorted({f.window_us for f in self.features if f.window_us}))


def _field(name: str, entity: Entity, why: str, owner: str, **rest: object) -> Feature:
    return Feature(name, entity, f"{entity}_profile", "field", why, owner, **rest)  # type: ignore[arg-type]


def _count(name: str, view: str, event: str, window_us: int, why: str, owner: str) -> Feature:
    entity: Entity = _ENTITIES[view]
    return Feature(name, entity, view, "count", why, owner, event=event, window_us=window_us, default=0.0)


def _rate(name: str, view: str, event: str, window_us: int, why: str, owner: str) -> Feature:
    entity: Entity = _ENTITIES[view]
    return Feature(
        name, entity, view, "rate", why, owner, event=event, window_us=window_us, default=PRIORS[event], high=1.0
    )


_ENTITIES: dict[str, Entity] = {
    "user_stats": "user",
    "video_stats": "video",
    "creator_stats": "creator",
    "user_topic_stats": "user_topic",
}

_GROWTH, _RANKING, _CREATORS, _INTEGRITY = "growth", "ranking", "creators", "integrity"

USER_PROFILE = View(
    "user_profile",
    ("user_id",),
    every_us=None,
    ttl_us=None,
    features=(
        _field("user_country", "user", "language and taste differ by country", _GROWTH),
        _field("user_device", "user", "screen and network shape watching", _GROWTH),
        _field("user_age_band", "user", "taste differs by age", _GROWTH),
        _field("user_activity_band", "user", "the heaviest users are the pickiest (.374 to .258)", _GROWTH),
        _field("user_fans_band", "user", "people who make videos watch differently", _GROWTH),
        _field("user_follows_band", "user", "people who follow many like more", _GROWTH),
        _field("user_joined_us", "user", "tenure is derived from it at request time", _GROWTH, integer=True),
    ),
)

USER_STATS = View(
    "user_stats",
    ("user_id",),
    every_us=6 * HOUR_US,
    ttl_us=3 * DAY_US,
    features=(
        _count("user_impressions_24h", "user_stats", "impressions", DAY_US, "how deep into the day", _RANKING),
        _count("user_impressions_7d", "user_stats", "impressions", 7 * DAY_US, "habit; how sure rates are", _RANKING),
        _rate("user_long_watch_rate_7d", "user_stats", "long_watch", 7 * DAY_US, "how picky this person is", _RANKING),
        _rate("user_watched_share_7d", "user_stats", "watched_share", 7 * DAY_US, "patience", _RANKING),
        _rate("user_like_rate_7d", "user_stats", "like", 7 * DAY_US, "like-proneness", _RANKING),
        _rate("user_share_rate_7d", "user_stats", "share_or_follow", 7 * DAY_US, "share-proneness", _RANKING),
        _rate("user_negative_rate_7d", "user_stats", "negative", 7 * DAY_US, "complains easily?", _INTEGRITY),
    ),
)

VIDEO_PROFILE = View(
    "video_profile",
    ("video_id",),
    every_us=None,
    ttl_us=None,
    features=(
        _field("video_topic", "video", "taste is by topic first", _CREATORS, high=63.0),
        _field("video_duration_s", "video", "long watch and watch time depend on length", _CREATORS),
        _field("video_headline_score", "video", "promises more than it holds?", _INTEGRITY, low=float("-inf")),
        _field("video_production_score", "video", "well made?", _CREATORS, low=float("-inf")),
        _field("video_uploaded_us", "video", "age is derived from it at request time", _CREATORS, integer=True),
    ),
)

VIDEO_STATS = View(
    "video_stats",
    ("video_id",),
    every_us=HOUR_US,
    ttl_us=DAY_US,
    features=(
        _count("video_impressions_24h", "video_stats", "impressions", DAY_US, "reach now", _RANKING),
        _count("video_impressions_7d", "video_stats", "impressions", 7 * DAY_US, "how sure its rates are", _RANKING),
        _rate("video_long_watch_rate_24h", "video_stats", "long_watch", DAY_US, "quality, fresh", _RANKING),
        _rate("video_long_watch_rate_7d", "video_stats", "long_watch", 7 * DAY_US, "quality, steady", _RANKING),
        _count("video_long_watches_3d", "video_stats", "long_watch", 3 * DAY_US, "trending; a baseline", _RANKING),
        _rate("video_watched_share_7d", "video_stats", "watched_share", 7 * DAY_US, "holds attention?", _RANKING),
        _rate("video_like_rate_7d", "video_stats", "like", 7 * DAY_US, "liked for itself", _RANKING),
        _rate("video_share_rate_7d", "video_stats", "share_or_follow", 7 * DAY_US, "worth passing on", _RANKING),
        _rate("video_negative_rate_7d", "video_stats", "negative", 7 * DAY_US, "clickbait and worse", _INTEGRITY),
    ),
)

CREATOR_STATS = View(
    "creator_stats",
    ("creator_id",),
    every_us=6 * HOUR_US,
    ttl_us=3 * DAY_US,
    features=(
        _count("creator_impressions_7d", "creator_stats", "impressions", 7 * DAY_US, "how known", _CREATORS),
        _rate("creator_long_watch_rate_7d", "creator_stats", "long_watch", 7 * DAY_US, "speaks for new videos", _CREATORS),
        _rate("creator_like_rate_7d", "creator_stats", "like", 7 * DAY_US, "speaks for new videos", _CREATORS),
        _rate("creator_share_rate_7d", "creator_stats", "share_or_follow", 7 * DAY_US, "speaks for new videos", _CREATORS),
        _count("creator_followers", "creator_stats", "followed", 3650 * DAY_US, "follows in the log so far", _CREATORS),
        _count("creator_uploads_7d", "creator_stats", "uploaded", 7 * DAY_US, "spam uploads ten times as much", _INTEGRITY),
    ),
)

USER_TOPIC_STATS = View(
    "user_topic_stats",
    ("user_id", "topic"),
    every_us=6 * HOUR_US,
    ttl_us=3 * DAY_US,
    features=(
        _count("user_topic_impressions_14d", "user_topic_stats", "impressions", 14 * DAY_US, "how sure", _RANKING),
        _rate("user_topic_long_watch_rate_14d", "user_topic_stats", "long_watch", 14 * DAY_US, "taste", _RANKING),
        _rate("user_topic_like_rate_14d", "user_topic_stats", "like", 14 * DAY_US, "taste, said aloud", _RANKING),
    ),
)

VIEWS = (USER_PROFILE, USER_STATS, VIDEO_PROFILE, VIDEO_STATS, CREATOR_STATS, USER_TOPIC_STATS)
"""The Feast views, in the order of FeatureService ranker_v1."""

STATS = tuple(view for view in VIEWS if view.every_us is not None)
PROFILES = tuple(view for view in VIEWS if view.every_us is None)


def _derived(name: str, entity: Entity, why: str, **rest: object) -> Feature:
    return Feature(name, entity, "request" if entity == "request" else "derived", "derived", why, _RANKING, **rest)  # type: ignore[arg-type]


CONTEXT = (
    _derived("surface", "request", "label rates differ by surface (38.6 % to 4.2 %)"),
    _derived("hour_of_day", "request", "people watch differently at night; UTC, with the fraction", high=24.0),
    _derived("is_weekend", "request", "1 on Saturday and Sunday, UTC", high=1.0),
    _derived("video_age_hours", "pair", "freshness fades; NaN if the upload is unknown"),
    _derived("user_tenure_days", "request", "new people are not yet known; NaN if joining is unknown"),
)
"""Known when the request is: pure functions in context.py, the same for training and serving."""

HISTORY_FEATURES = (
    _derived("history_size", "request", "how much the history can say", default=0.0, high=20.0),
    _derived("history_topic_share", "pair", "watched share-weighted share of this topic", default=0.0, high=1.0),
    _derived("history_creator_share", "pair", "the same for this creator", default=0.0, high=1.0),
    _derived("follows_creator", "pair", "followed authors are liked more", default=0.0, high=1.0),
)
"""From the last watched videos: pure functions in histories.py."""

MODEL_FEATURES = (_derived("tower_score", "pair", "the retrieval model's dot product", low=float("-inf")),)

FEATURES = (*(f for view in VIEWS for f in view.features), *CONTEXT, *HISTORY_FEATURES, *MODEL_FEATURES)
"""Every feature, stored or derived."""

DEFAULTS = {feature.name: feature.default for feature in FEATURES}


def feature_named(name: str) -> Feature:
    for feature in FEATURES:
        if feature.name == name:
            return feature
    raise KeyError(f"no feature {name!r}. Features: {', '.join(f.name for f in FEATURES)}")


def view_named(name: str) -> View:
    for view in VIEWS:
        if view.name == name:
            return view
    raise KeyError(f"no view {name!r}. Views: {', '.join(v.name for v in VIEWS)}")
