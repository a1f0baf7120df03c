"""The built-in policy's day side: a request comes in, a slate goes out, with the exact odds of every choice.

Five sources retrieve 80 candidates, those that exist and were not seen are scored, and slots are filled one
by one: with probability `explored_share` uniformly from everything eligible, else by a softmax over the
candidates left (drawn by Gumbel noise per candidate: Gumbel, 1954; sorted, a Plackett-Luce order). The
propensity of an item is exact given the candidates and the items above it: (1 - e) softmax + e / eligible.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.births import TOPICS
from simulator.compiled import compiled
from simulator.luck import Purpose, gumbel, uniform

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bits = NDArray[np.uint8]

EXPLORED_SHARE = 0.0037
"""Share of slots drawn uniformly from the eligible corpus, as in KuaiRand (its README)."""

SLATE = 10
COLUMNS = {"trending": 18, "recent": 10, "topic": 34, "followed": 6, "random": 12}
"""Candidates per source and request."""
SOURCES = tuple(COLUMNS)
SOURCE_OF_COLUMN = np.repeat(np.arange(len(SOURCES)), list(COLUMNS.values()))
CANDIDATES = len(SOURCE_OF_COLUMN)
TRENDING, RECENT, TOPIC, FOLLOWED, RANDOM = range(len(SOURCES))
EXPLORATION = len(SOURCES)
SOURCE_NAMES = (*SOURCES, "exploration")
NEWEST_OF_CREATOR = 5
NONE = -1


class Policy(NamedTuple):
    """How the built-in feed chooses. `by_pull` and `by_satisfaction` read the truth: for oracles in labs."""

    by_counts: float = 1.45
    by_affinity: float = 1.0
    by_age: float = 0.3  # less log score per log(1 + days of age): news first
    follow_bonus: float = 0.4
    by_pull: float = 0.0
    by_satisfaction: float = 0.0
    temperature: float = 0.4
    explored_share: float = EXPLORED_SHARE
    lean: float = 2.5  # how much retrieval leans to the head of its lists: rank ~ uniform^lean
    trending_share: float = 0.1  # of the corpus, best first; a longer head is never used up by one person
    recent_share: float = 0.05
    forget: float = 0.9  # share of the counts that survives a night


DEFAULT = Policy()
UNIFORM = Policy(explored_share=1.0)
"""Every slot uniform over what exists and is unseen."""


class Known(NamedTuple):
    """What the policy knows all day: last night's scores, affinities and lists, and today's corpus."""

    video_scores: Floats  # [videos], of their counts and their age
    affinity: Floats  # [people, topics], log lift of the person's long-view rate
    topic_odds: Floats  # [people, topics], cumulative: how often each is retrieved for the person
    topics: Ints  # [videos]
    corpus: Ints  # rows of videos that are public by the end of the day, in upload order
    corpus_us: Ints  # when each appeared
    trending: Ints
    topic_starts: Ints  # by_topic rows[starts[g]:starts[g + 1]], best first; the other groups alike
    topic_rows: Ints
    follow_starts: Ints
    follow_rows: Ints  # creators a person follows
    creator_starts: Ints
    creator_rows: Ints  # newest first


class Desk(NamedTuple):
    """Scratch space of one worker; nothing on it outlives a request."""

    found: Ints  # [80] rows of videos, -1 for none
    scores: Floats  # [80] log weight
    weights: Floats  # [80], 0 where it may not be shown
    lots: Floats  # [80] log weight + Gumbel noise, -inf where it may not be shown
    stamps: Ints  # [videos] the last request that found each: repeats are found in one look
    videos: Ints  # [10] the slate
    sources: Ints
    explored: Ints
    propensities: Floats


def desk(videos: int) -> Desk:
    return Desk(
        found=np.full(CANDIDATES, NONE, dtype=np.int64),
        scores=np.zeros(CANDIDATES),
        weights=np.zeros(CANDIDATES),
        lots=np.zeros(CANDIDATES),
        stamps=np.zeros(videos, dtype=np.int64),
        videos=np.full(SLATE, NONE, dtype=np.int64),
        sources=np.zeros(SLATE, dtype=np.int64),
        explored=np.zeros(SLATE, dtype=np.int64),
        propensities=np.zeros(SLATE),
    )


@compiled
def has(bits: Bits, column: int) -> bool:
    """Whether this bit of a row of bits is set."""
    return (bits[column >> 3] >> np.uint8(column & 7)) & 1 == 1


@compiled
def put(bits: Bits, column: int) -> None:
    bits[column >> 3] |= np.uint8(1 << (column & 7))


@compiled
def pick(starts: Ints, rows: Ints, group: int, at: float, most: int) -> int:
    """The row at this fraction of a group (of its first `most`); -1 where there is none."""
    if group < 0:
        return NONE
    size = min(starts[group + 1] - starts[group], most)
    return rows[starts[group] + int(at * size)] if size > 0 else NONE


@compiled
def drawn_topic(odds: Floats, at: float) -> int:
    """Inverse-CDF draw from cumulative odds."""
    topic = 0
    while topic < TOPICS - 1 and odds[topic] < at:
        topic += 1
    return topic


@compiled
def leaned(luck: float, lean: float) -> float:
    """A fraction of a list that leans to its head; the usual square is spared a logarithm."""
    return luck * luck if lean == 2.0 else luck**lean


@compiled
def candidate(policy: Policy, known: Known, person: int, existing: int, column: int, of: np.uint64) -> int:
    """What the column's source finds: a row of videos that exists by now, or -1."""
    first = uniform(of, Purpose.CANDIDATE, column)
    second = uniform(of, Purpose.CANDIDATE + 1, column)
    source = SOURCE_OF_COLUMN[column]
    if source == TRENDING:
        return known.trending[int(leaned(first, policy.lean) * len(known.trending))]
    if source == RECENT:
        return known.corpus[existing - 1 - int(first * np.ceil(policy.recent_share * existing))]
    if source == TOPIC:
        topic = drawn_topic(known.topic_odds[person], first)
        size = known.topic_starts[topic + 1] - known.topic_starts[topic]
        return pick(known.topic_starts, known.topic_rows, topic, leaned(second, policy.lean), size)
    if source == FOLLOWED:
        follows = known.follow_starts[person + 1] - known.follow_starts[person]
        creator = pick(known.follow_starts, known.follow_rows, person, first, follows)
        return pick(known.creator_starts, known.creator_rows, creator, second, NEWEST_OF_CREATOR)
    return known.corpus[int(first * existing)]


@compiled
def find(
    policy: Policy, known: Known, person: int, existing: int, of: np.uint64, seen: Bits, at: Desk
) -> None:
    """Retrieve and score: what is found twice or was seen gets no weight."""
    stamp = np.int64(of >> np.uint64(1))
    for column in range(CANDIDATES):
        video = candidate(policy, known, person, existing, column, of)
        free = video >= 0 and at.stamps[video] != stamp and not has(seen, video)
        at.found[column] = video if free else NONE
        if free:
            at.stamps[video] = stamp
            bonus = policy.follow_bonus if SOURCE_OF_COLUMN[column] == FOLLOWED else 0.0
            fitting = policy.by_affinity * known.affinity[person, known.topics[video]]
            at.scores[column] = known.video_scores[video] + fitting + bonus


@compiled
def weigh(policy: Policy, of: np.uint64, at: Desk) -> None:
    """Turn scores into softmax weights and lots."""
    best = -np.inf
    for column in range(CANDIDATES):
        if at.found[column] >= 0:
            best = max(best, at.scores[column])
    for column in range(CANDIDATES):
        at.weights[column], at.lots[column] = 0.0, -np.inf
        if at.found[column] >= 0:
            logit = (at.scores[column] - best) / policy.temperature
            at.weights[column] = np.exp(logit)
            at.lots[column] = logit + gumbel(uniform(of, Purpose.GUMBEL, at.found[column]))


@compiled
def choose(
    policy: Policy, known: Known, existing: int, eligible: int, of: np.uint64, seen: Bits, at: Desk
) -> int:
    """Fill the slate slot by slot; how many slots were filled. `eligible` videos exist and are unseen."""
    weigh(policy, of, at)
    for slot in range(SLATE):
        mass = at.weights.sum()
        explored = uniform(of, Purpose.EXPLORE, slot) < policy.explored_share
        if eligible - slot <= 0 or (mass <= 0.0 and not explored):
            return slot
        column = int(np.argmax(at.lots))
        video, source = at.found[column], SOURCE_OF_COLUMN[column]
        if explored:
            video, source = any_eligible(known, existing, of, seen, slot, at.videos), EXPLORATION
            column = column_of(at.found, video)
        share = at.weights[column] / mass if column >= 0 and mass > 0.0 else 0.0
        at.videos[slot], at.sources[slot], at.explored[slot] = video, source, explored
        at.propensities[slot] = mixed(policy.explored_share, share, eligible - slot)
        if column >= 0:
            at.weights[column], at.lots[column], at.found[column] = 0.0, -np.inf, NONE
    return SLATE


@compiled
def mixed(explored_share: float, share: float, eligible: int) -> float:
    """P(item | items above): its share of the softmax with 1 - e, one eligible video in `eligible` with e."""
    return (1.0 - explored_share) * share + explored_share / eligible


@compiled
def any_eligible(known: Known, existing: int, of: np.uint64, seen: Bits, slot: int, taken: Ints) -> int:
    """Uniform over what exists, was not seen and is not on this slate above `slot`, by rejection."""
    attempt = 0
    while True:
        at = uniform(of, Purpose.EXPLORED_VIDEO, (slot << 24) + attempt)
        video = known.corpus[int(at * existing)]
        attempt += 1
        if not has(seen, video) and column_of(taken[:slot], video) < 0:
            return video


@compiled
def column_of(found: Ints, video: int) -> int:
    """Where this video stands; -1 if nowhere."""
    for column in range(len(found)):
        if found[column] == video:
            return column
    return NONE
