"""Every feature, defined once: meaning, window, default, range, owner and why.

windows, steps, streams, feast_objects, matrix, materialization and online derive from this file.

A windowed feature is a step function of time: at moment t it counts the facts with known_time < t and
event_time >= t - window. It changes when a fact becomes known and when one leaves a window, at no other
moment, so its steps are all there is to store. Rates are smoothed: (count + STRENGTH * prior) /
(impressions + STRENGTH), clipped to 1. A step holds until the next one and at most the view's TTL
(inclusive). The TTL is the view's longest window: what is older counts nothing any more, so an expired row, a
missing one and a row of zeros mean the same, the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from feature_repo.clock import DAY_US, HOUR_US

PROJECT = "fourplanes"
SERVICE = "ranker_v2"
"""The FeatureService of this generation of models; a new set of features is a new service."""

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

SHARE_UNITS = 1_000_000
"""Watched shares are summed as whole millionths: whole numbers cancel exactly when they leave a window."""

UNITS = {"watched_share": SHARE_UNITS, "watched_ms": 1_000}
"""What sums of these events are divided by: shares are kept in millionths, watch time is told in seconds."""

Kind = Literal["field", "count", "sum", "rate", "derived"]


@dataclass(frozen=True)
class Feature:
    """One column of the model's matrix, or a moment that one is made from."""

    name: str  # entity, what, window
    kind: Kind
    why: str
    owner: str
    event: str = ""  # what is counted: one of facts.EVENTS
    window_us: int = 0
    default: float = UNKNOWN
    low: float = 0.0
    high: float = ANY
    most_unknown: float = 1.0  # share of rows that may be NaN; the contract that builds and servers check
    integer: bool = False  # a moment: int64, because float32 would be minutes off
    codes: bool = False  # names written as numbers: 2 is no more than 1
    entity: str = ""  # user, video, creator, user_topic; request or pair if no view stores it
    view: str = ""  # the Feast view that stores it; "" if a pure function makes it


@dataclass(frozen=True)
class View:
    """One Feast feature view: its keys and its features. Profiles have one row per entity and no window."""

    name: str
    keys: tuple[str, ...]
    features: tuple[Feature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @cached_property
    def windows_us(self) -> tuple[int, ...]:
        """The distinct windows its features count over, shortest first; none for a profile."""
        return tuple(sorted({feature.window_us for feature in self.features if feature.window_us}))

    @cached_property
    def ttl_us(self) -> int | None:
        """How long a row may be used, inclusive: the longest window. None: never expires."""
        return max(self.windows_us, default=None)

    @property
    def per_maker(self) -> bool:
        """Whether its keys come from the upload, so that no fact counts before the upload was known."""
        return "creator_id" in self.keys or "topic" in self.keys


def _view(name: str, keys: tuple[str, ...], *features: Feature) -> View:
    entity = name.rsplit("_", 1)[0]
    mine = tuple(replace(feature, view=name, entity=entity) for feature in features)
    return View(name, keys, mine)


def _field(
    name: str,
    why: str,
    owner: str,
    low: float = 0.0,
    high: float = ANY,
    most_unknown: float = 1.0,
    integer: bool = False,
) -> Feature:
    made = Feature(name, "field", why, owner, integer=integer)
    return replace(made, low=low, high=high, most_unknown=most_unknown)


def _codes(feature: Feature) -> Feature:
    return replace(feature, codes=True)


def _count(name: str, event: str, window_us: int, why: str, owner: str) -> Feature:
    return Feature(name, "count", why, owner, event, window_us, default=0.0, most_unknown=0.0)


def _sum(name: str, event: str, window_us: int, why: str, owner: str) -> Feature:
    return Feature(name, "sum", why, owner, event, window_us, default=0.0, most_unknown=0.0)


def _rate(name: str, event: str, window_us: int, why: str, owner: str) -> Feature:
    prior = PRIORS[event]
    return Feature(name, "rate", why, owner, event, window_us, default=prior, high=1.0, most_unknown=0.0)


_GROWTH, _RANKING, _CREATORS, _INTEGRITY = "growth", "ranking", "creators", "integrity"
_1H, _1D, _3D, _7D, _14D = HOUR_US, DAY_US, 3 * DAY_US, 7 * DAY_US, 14 * DAY_US
_EVER = 3650 * DAY_US

USER_PROFILE = _view(
    *("user_profile", ("user_id",)),
    _codes(_field("user_country", "language and taste differ by country", _GROWTH)),
    _codes(_field("user_device", "screen and network shape watching", _GROWTH)),
    _codes(_field("user_age_band", "taste differs by age", _GROWTH)),
    _codes(
        _field("user_activity_band", "the heaviest users are the pickiest (KuaiRand: .374 to .258)", _GROWTH)
    ),
    _codes(_field("user_fans_band", "people who make videos watch differently", _GROWTH, most_unknown=0.9)),
    _codes(_field("user_follows_band", "people who follow many like more", _GROWTH)),
    _field(
        "user_joined_us",
        "tenure is derived from it at request time",
        _GROWTH,
        most_unknown=0.05,
        integer=True,
    ),
)

USER_STATS = _view(
    *("user_stats", ("user_id",)),
    _count("user_impressions_1h", "impressions", _1H, "how deep into this sitting", _RANKING),
    _count("user_impressions_24h", "impressions", _1D, "how deep into the day", _RANKING),
    _count("user_impressions_7d", "impressions", _7D, "habit, and how sure the rates are", _RANKING),
    _sum("user_watched_s_24h", "watched_ms", _1D, "time given to us today", _GROWTH),
    _rate("user_long_watch_rate_1h", "long_watch", _1H, "the mood of this sitting", _RANKING),
    _rate("user_long_watch_rate_7d", "long_watch", _7D, "how picky this person is", _RANKING),
    _rate("user_watched_share_7d", "watched_share", _7D, "patience", _RANKING),
    _rate("user_like_rate_7d", "like", _7D, "how readily this person likes", _RANKING),
    _rate(
        "user_share_rate_7d", "share_or_follow", _7D, "how readily this person shares or follows", _RANKING
    ),
    _rate("user_negative_rate_7d", "negative", _7D, "how readily this person complains", _INTEGRITY),
)

VIDEO_PROFILE = _view(
    *("video_profile", ("video_id",)),
    _codes(_field("video_topic", "taste is by topic first", _CREATORS, high=63.0, most_unknown=0.2)),
    _field("video_duration_s", "watch time depends on it", _CREATORS, high=86_400.0, most_unknown=0.2),
    _field("video_headline_score", "does it promise more than it holds?", _INTEGRITY, low=-ANY),
    _field("video_production_score", "is it well made?", _CREATORS, low=-ANY),
    _field(
        "video_uploaded_us",
        "age is derived from it at request time",
        _CREATORS,
        most_unknown=0.05,
        integer=True,
    ),
)

VIDEO_STATS = _view(
    *("video_stats", ("video_id",)),
    _count("video_impressions_1h", "impressions", _1H, "is it taking off?", _RANKING),
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
    *("creator_stats", ("creator_id",)),
    _count("creator_impressions_1h", "impressions", _1H, "is a video of theirs taking off?", _CREATORS),
    _count("creator_impressions_24h", "impressions", _1D, "reach now", _CREATORS),
    _count("creator_impressions_7d", "impressions", _7D, "how known", _CREATORS),
    _rate("creator_long_watch_rate_24h", "long_watch", _1D, "today's videos", _CREATORS),
    _rate("creator_long_watch_rate_7d", "long_watch", _7D, "speaks for a new video", _CREATORS),
    _rate("creator_like_rate_7d", "like", _7D, "speaks for a new video", _CREATORS),
    _rate("creator_share_rate_7d", "share_or_follow", _7D, "speaks for a new video", _CREATORS),
    _count("creator_followers", "followed", _EVER, "follows in the log so far", _CREATORS),
    _count("creator_uploads_7d", "uploaded", _7D, "spam uploads far more than people do", _INTEGRITY),
)

USER_TOPIC_STATS = _view(
    *("user_topic_stats", ("user_id", "topic")),
    _count("user_topic_impressions_1h", "impressions", _1H, "enough of it for now?", _RANKING),
    _count("user_topic_impressions_24h", "impressions", _1D, "enough of it for today?", _RANKING),
    _count("user_topic_impressions_14d", "impressions", _14D, "how sure the rates are", _RANKING),
    _rate("user_topic_long_watch_rate_24h", "long_watch", _1D, "today's taste", _RANKING),
    _rate("user_topic_long_watch_rate_7d", "long_watch", _7D, "this week's taste", _RANKING),
    _rate("user_topic_long_watch_rate_14d", "long_watch", _14D, "taste", _RANKING),
    _rate("user_topic_like_rate_14d", "like", _14D, "taste, said aloud", _RANKING),
)

VIEWS = (USER_PROFILE, USER_STATS, VIDEO_PROFILE, VIDEO_STATS, CREATOR_STATS, USER_TOPIC_STATS)
"""The Feast views, in the order of FeatureService SERVICE."""

STATS = tuple(view for view in VIEWS if view.windows_us)
PROFILES = tuple(view for view in VIEWS if not view.windows_us)


def _derived(
    entity: str,
    name: str,
    why: str,
    default: float = UNKNOWN,
    low: float = 0.0,
    high: float = ANY,
    most_unknown: float = 0.0,
) -> Feature:
    made = Feature(name, "derived", why, _RANKING, default=default, entity=entity)
    return replace(made, low=low, high=high, most_unknown=most_unknown)


CONTEXT = (
    _codes(_derived("request", "surface", "label rates differ by surface (KuaiRand: 38.6 % to 4.2 %)")),
    _derived(
        "request", "hour_of_day", "people watch differently at night; UTC, with its fraction", high=24.0
    ),
    _derived("request", "is_weekend", "1 on Saturday and Sunday, UTC", high=1.0),
    _derived("pair", "video_age_hours", "freshness fades; NaN if the upload is unknown", most_unknown=0.05),
    _derived("request", "user_tenure_days", "new people are not known yet", most_unknown=0.05),
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
