"""The policy that made the log: a first-generation feed that counts, and chooses at random with known odds.

It sees only what an outside observer could count: impressions and long views per video and per person and
topic, as of last night, and who follows whom. Each request retrieves candidates from five sources (drawn),
scores them, and fills each slot by a softmax over the candidates that are left; a share EXPLORED_SHARE of
slots is filled uniformly from everything that exists and is unseen instead. The propensity of an item at a
slot is exact given the candidates retrieved and the items above it: (1 - e) * softmax + e / eligible.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from simulator.births import TOPICS
from simulator.luck import Floats, Keys, Purpose, gumbels, uniforms
from simulator.pairs import Pairs
from simulator.targets import EXPLORED_SHARE

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

SLATE = 10
TEMPERATURE = 0.4
FORGET = 0.9  # share of the counts that survives a night
PRIOR_RATE, VIDEO_STRENGTH, TOPIC_STRENGTH = 0.15, 8.0, 4.0
FOLLOW_BONUS = 0.4
TRENDING_SHARE = 0.2  # of the corpus, best first; a longer head is never used up by one person
RECENT_SHARE = 0.05

COLUMNS = {"trending": 12, "recent": 8, "topic": 28, "followed": 4, "random": 8}
"""Candidates per source and request."""
SOURCES = tuple(COLUMNS)
SOURCE_OF_COLUMN = np.repeat(np.arange(len(SOURCES)), list(COLUMNS.values()))
EXPLORATION = len(SOURCES)
SOURCE_NAMES = (*SOURCES, "exploration")


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

    def after(self, people: Ints, videos: Ints, topics: Ints, long_views: Floats) -> Counts:
        """The counts one night later."""
        cells = people * TOPICS + topics
        n, m = len(self.video_shown), len(self.topic_shown)
        return Counts(
            FORGET * self.video_shown + np.bincount(videos, minlength=n),
            FORGET * self.video_liked + np.bincount(videos, long_views, minlength=n),
            FORGET * self.topic_shown + np.bincount(cells, minlength=m),
            FORGET * self.topic_liked + np.bincount(cells, long_views, minlength=m),
        )


@dataclass(frozen=True)
class Groups:
    """Rows listed by group: rows[starts[g]:starts[g + 1]], best first."""

    starts: Ints
    rows: Ints

    @classmethod
    def of(cls, groups: Ints, rows: Ints, count: int) -> Groups:
        """Keeps the order of rows within each group."""
        order = np.argsort(groups, kind="stable")
        return cls(np.searchsorted(groups[order], np.arange(count + 1)), rows[order])

    def pick(self, group: Ints, at: Floats, most: int | None = None) -> Ints:
        """The row at this fraction of the group (of its first `most`); -1 where the group is empty or -1."""
        starts = self.starts[group]
        sizes = np.where(group < 0, 0, self.starts[group + 1] - starts)
        reach = sizes if most is None else np.minimum(sizes, most)
        found = np.minimum(starts + (at * reach).astype(np.int64), max(len(self.rows) - 1, 0))
        return np.where(sizes > 0, self.rows[found] if len(self.rows) else -1, -1)


@dataclass(frozen=True)
class Nightly:
    """What the policy knows all day: last night's scores, affinities and lists."""

    video_scores: Floats
    affinity: Floats  # [people, topics], log lift of the person's long-view rate
    topic_odds: Floats  # cumulative over topics, how often each is retrieved for the person
    topics: Ints
    trending: Ints
    by_topic: Groups
    follows: Groups
    by_creator: Groups


@dataclass(frozen=True)
class Corpus:
    """The public side of the videos: nothing latent."""

    topics: Ints
    creators: Ints
    creator_count: int


def nightly(counts: Counts, corpus: Corpus, existing: int, followers: Ints, followed: Ints) -> Nightly:
    """Digest the counts; `existing` videos are known tonight, the rest only appear as recent uploads."""
    shown, liked = counts.video_shown, counts.video_liked
    rate = (liked + PRIOR_RATE * VIDEO_STRENGTH) / (shown + VIDEO_STRENGTH)
    scores = np.log(rate) - np.log1p(-rate)
    best_first = np.argsort(-scores[:existing], kind="stable")
    affinity = _affinity(counts)
    odds = np.exp(1.5 * affinity)
    newest_first = np.arange(existing)[::-1]
    return Nightly(
        video_scores=scores,
        affinity=affinity,
        topic_odds=np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1),
        topics=corpus.topics,
        trending=best_first[: max(1, int(TRENDING_SHARE * existing))],
        by_topic=Groups.of(corpus.topics[best_first], best_first, TOPICS),
        follows=Groups.of(followers, followed, len(affinity)),
        by_creator=Groups.of(corpus.creators[newest_first], newest_first, corpus.creator_count),
    )


def _affinity(counts: Counts) -> Floats:
    """log of a person's smoothed long-view rate in a topic over the person's own rate."""
    shown = counts.topic_shown.reshape(-1, TOPICS)
    liked = counts.topic_liked.reshape(-1, TOPICS)
    own = (liked.sum(axis=1) + 2.0 * PRIOR_RATE) / (shown.sum(axis=1) + 2.0)
    rate = (liked + TOPIC_STRENGTH * own[:, None]) / (shown + TOPIC_STRENGTH)
    return np.asarray(np.log(rate) - np.log(own[:, None]))


@dataclass(frozen=True)
class Requests:
    """One row per request: who asks, the key of its luck, how many videos exist at its moment."""

    people: Ints
    keys: Keys
    existing: Ints


def candidates(known: Nightly, of: Requests) -> Ints:
    """Rows of videos [n, 60], -1 for none; each exists at its request's moment. Repeats are possible."""
    columns = np.arange(len(SOURCE_OF_COLUMN))
    first = uniforms(of.keys[:, None], Purpose.CANDIDATE, columns)
    second = uniforms(of.keys[:, None], Purpose.CANDIDATE + 1, columns)
    parts = []
    for number, source in enumerate(SOURCES):
        here = number == SOURCE_OF_COLUMN
        parts.append(_retrieved(source, known, of, first[:, here], second[:, here]))
    return np.hstack(parts)


def _retrieved(source: str, known: Nightly, of: Requests, first: Floats, second: Floats) -> Ints:
    """One source's candidates; squared luck leans towards the head of a list."""
    existing = of.existing[:, None]
    if source == "trending":
        return known.trending[(first**2 * len(known.trending)).astype(np.int64)]
    if source == "recent":
        back = (first * np.ceil(RECENT_SHARE * existing)).astype(np.int64)
        return np.asarray(existing - 1 - back)
    if source == "topic":
        return known.by_topic.pick(_drawn(known.topic_odds[of.people], first), second**2)
    if source == "followed":
        people = np.broadcast_to(of.people[:, None], first.shape)
        return known.by_creator.pick(known.follows.pick(people, first), second, most=5)
    return np.asarray(first * existing).astype(np.int64)


def _drawn(cumulative: Floats, luck: Floats) -> Ints:
    """Inverse-CDF draws, [n, k] from n distributions."""
    return np.asarray(np.minimum((cumulative[:, None, :] < luck[:, :, None]).sum(axis=2), TOPICS - 1))


def scores(known: Nightly, people: Ints, videos: Ints) -> Floats:
    """How good each candidate looks; followed creators' candidates get a bonus."""
    bonus = FOLLOW_BONUS * (SOURCES.index("followed") == SOURCE_OF_COLUMN)
    return known.video_scores[videos] + known.affinity[people[:, None], known.topics[videos]] + bonus


def allowed(found: Ints, of: Requests, seen: Pairs) -> Mask:
    """Which candidates may be shown: real, unseen, and the first of their repeats."""
    order = np.argsort(found, axis=1, kind="stable")
    lined_up = np.take_along_axis(found, order, axis=1)
    repeats = np.zeros(found.shape, dtype=bool)
    np.put_along_axis(repeats, order[:, 1:], lined_up[:, 1:] == lined_up[:, :-1], axis=1)
    return (found >= 0) & ~repeats & ~seen.has(of.people[:, None], found)


@dataclass(frozen=True)
class Slates:
    """One slate per row: video rows (-1 pads the end), their exact propensities, where they came from."""

    videos: Ints
    propensities: Floats
    explored: Mask
    sources: Ints


def slates(found: Ints, logits: Floats, free: Mask, of: Requests, seen: Pairs) -> Slates:
    """Plackett-Luce over the free candidates, mixed slot by slot with the uniform draw.

    Candidates sorted by log-weight + Gumbel noise are a Plackett-Luce order, and stay one when an exploration
    slot takes an item out; so rows without such a slot (96 %) need no loop.
    """
    weights = np.where(free, np.exp((logits - logits.max(axis=1, keepdims=True)) / TEMPERATURE), 0.0)
    noise = gumbels(uniforms(of.keys[:, None], Purpose.GUMBEL, np.arange(found.shape[1])))
    with np.errstate(divide="ignore"):
        order = np.argsort(-(np.log(weights) + noise), axis=1, kind="stable")
    line = np.take_along_axis(found, order, axis=1)
    mass = np.take_along_axis(weights, order, axis=1)
    chosen = _without_exploration(line, mass, order, of, seen)
    wanted = uniforms(of.keys[:, None], Purpose.EXPLORE, np.arange(SLATE)) < EXPLORED_SHARE
    for row in np.flatnonzero((wanted & (chosen.videos >= 0)).any(axis=1)).tolist():
        _explore(chosen, row, wanted[row], line[row], mass[row], SOURCE_OF_COLUMN[order[row]], of, seen)
    return chosen


def mixed(share: Floats, eligible: Ints) -> Floats:
    """P(item | items above): its share of the softmax with 1 - e, one eligible video in `eligible` with e."""
    return (1.0 - EXPLORED_SHARE) * share + EXPLORED_SHARE / eligible


def _without_exploration(line: Ints, mass: Floats, order: Ints, of: Requests, seen: Pairs) -> Slates:
    present = mass[:, :SLATE] > 0
    left = np.cumsum(mass[:, ::-1], axis=1)[:, ::-1][:, :SLATE]
    share = np.divide(mass[:, :SLATE], left, out=np.zeros(present.shape), where=present)
    eligible = (of.existing - seen.counts[of.people])[:, None] - np.arange(SLATE)
    return Slates(
        videos=np.where(present, line[:, :SLATE], -1),
        propensities=np.where(present, mixed(share, np.maximum(eligible, 1)), 0.0),
        explored=np.zeros(present.shape, dtype=bool),
        sources=SOURCE_OF_COLUMN[order[:, :SLATE]],
    )


def _explore(
    chosen: Slates, row: int, wanted: Mask, line: Ints, mass: Floats, sources: Ints, of: Requests, seen: Pairs
) -> None:
    """Refill one slate from its first exploration slot on, slot by slot, as the definition reads."""
    person, existing = int(of.people[row]), int(of.existing[row])
    eligible = existing - int(seen.counts[person])
    first = int(np.argmax(wanted))
    taken: list[int] = line[:first].tolist()
    mass = mass.copy()
    mass[:first] = 0.0
    for slot in range(first, SLATE):
        if not (mass > 0).any():
            chosen.videos[row, slot:] = -1
            return
        at = int(np.argmax(mass > 0))
        video = int(line[at])
        if wanted[slot]:
            video = _any_eligible(person, existing, seen, taken, of.keys[row : row + 1], slot)
        here = (line == video) & (mass > 0)
        chosen.videos[row, slot] = video
        chosen.propensities[row, slot] = mixed(mass[here].sum() / mass.sum(), np.asarray(eligible - slot))
        chosen.explored[row, slot] = wanted[slot]
        chosen.sources[row, slot] = EXPLORATION if wanted[slot] else sources[at]
        mass[here] = 0.0
        taken.append(video)


def _any_eligible(person: int, existing: int, seen: Pairs, taken: list[int], key: Keys, slot: int) -> int:
    """Uniform over existing videos this person has not seen and this slate has not taken, by rejection."""
    for attempt in count():
        luck = uniforms(key, Purpose.EXPLORED_VIDEO, (slot << 24) + attempt)
        video = int(luck[0] * existing)
        if video not in taken and not seen.has(person, video):
            return video
    raise AssertionError("unreachable: count() never ends")
