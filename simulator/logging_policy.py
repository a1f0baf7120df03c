"""The policy that made the log: a first-generation feed that counts at night and draws by day.

It sees only what an outside observer could count: impressions and long views per video and per person and
topic, as of last night, and who follows whom. slates.py is its day side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import DAY_US
from simulator.births import TOPICS
from simulator.luck import Floats
from simulator.slates import Known, Policy

Ints = NDArray[np.int64]

PRIOR_RATE, VIDEO_STRENGTH, TOPIC_STRENGTH = 0.15, 8.0, 4.0


@dataclass(frozen=True)
class Counts:
    """What the policy has counted, fading by the night."""

    video_shown: Floats  # [videos]
    video_liked: Floats  # long views
    topic_shown: Floats  # [people * topics]
    topic_liked: Floats

    @classmethod
    def none(cls, people: int, videos: int) -> Counts:
        return cls(np.zeros(videos), np.zeros(videos), np.zeros(people * TOPICS), np.zeros(people * TOPICS))

    def after(self, people: Ints, videos: Ints, topics: Ints, long_views: Floats, forget: float) -> Counts:
        """The counts one night later; `forget` is the share of the old ones that stays."""
        cells = people * TOPICS + topics
        n, m = len(self.video_shown), len(self.topic_shown)
        return Counts(
            forget * self.video_shown + np.bincount(videos, minlength=n),
            forget * self.video_liked + np.bincount(videos, long_views, minlength=n),
            forget * self.topic_shown + np.bincount(cells, minlength=m),
            forget * self.topic_liked + np.bincount(cells, long_views, minlength=m),
        )


@dataclass(frozen=True)
class Corpus:
    """The public side of the videos on one day: nothing latent."""

    topics: Ints  # [videos]
    creators: Ints  # [videos]
    creator_count: int
    rows: Ints  # what is public by the end of the day, in upload order
    appeared_us: Ints  # when, of each row
    known: int  # how many of them were public at dawn
    uploaded_us: Ints  # [videos]
    dawn_us: int


def nightly(policy: Policy, counts: Counts, corpus: Corpus, followers: Ints, followed: Ints) -> Known:
    """Digest the counts; today's uploads only appear among the recent and the random."""
    old = corpus.rows[: corpus.known]
    age_days = np.maximum(corpus.dawn_us - corpus.uploaded_us, 0) / DAY_US
    scores = policy.by_counts * video_scores(counts) - policy.by_age * np.log1p(age_days)
    best_first = old[np.argsort(-scores[old], kind="stable")]
    affinity = topic_affinity(counts)
    odds = np.exp(1.5 * affinity)
    by_topic = grouped(corpus.topics[best_first], best_first, TOPICS)
    follows = grouped(followers, followed, len(affinity))
    by_creator = grouped(corpus.creators[old[::-1]], old[::-1], corpus.creator_count)
    return Known(
        video_scores=scores,
        affinity=affinity,
        topic_odds=np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1),
        topics=corpus.topics,
        corpus=corpus.rows,
        corpus_us=corpus.appeared_us,
        trending=best_first[: max(1, int(policy.trending_share * len(old)))],
        topic_starts=by_topic[0],
        topic_rows=by_topic[1],
        follow_starts=follows[0],
        follow_rows=follows[1],
        creator_starts=by_creator[0],
        creator_rows=by_creator[1],
    )


def video_scores(counts: Counts) -> Floats:
    """Logit of each video's smoothed long-view rate."""
    shown, liked = counts.video_shown, counts.video_liked
    rate = (liked + PRIOR_RATE * VIDEO_STRENGTH) / (shown + VIDEO_STRENGTH)
    return np.asarray(np.log(rate) - np.log1p(-rate))


def topic_affinity(counts: Counts) -> Floats:
    """log of a person's smoothed long-view rate in a topic over the person's own rate, [people, topics]."""
    shown = counts.topic_shown.reshape(-1, TOPICS)
    liked = counts.topic_liked.reshape(-1, TOPICS)
    own = (liked.sum(axis=1) + 2.0 * PRIOR_RATE) / (shown.sum(axis=1) + 2.0)
    rate = (liked + TOPIC_STRENGTH * own[:, None]) / (shown + TOPIC_STRENGTH)
    return np.asarray(np.log(rate) - np.log(own[:, None]))


def grouped(groups: Ints, rows: Ints, count: int) -> tuple[Ints, Ints]:
    """(starts, rows by group): group g is rows[starts[g]:starts[g + 1]], in the order they came."""
    order = np.argsort(groups, kind="stable")
    return np.searchsorted(groups[order], np.arange(count + 1)), np.ascontiguousarray(rows[order])
