"""The sealed truth: what people truly feel, and what a policy is truly worth.

Only labs, notebooks and tests may look.

Units: satisfaction S and pull x are logits (dimensionless): 0 is a random video to an average person, one
standard deviation over random pairs is about 1.2. A policy's value is mean S per impression seen; session
length counts impressions. The equations are those of behaviour.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from feature_repo.clock import DAY_US, start_of
from feature_repo.scales import Scale, scale_named
from simulator import behaviour, births
from simulator.luck import Floats, Purpose, keys, uniforms
from simulator.swipes import REMEMBERED, Encounters, Swipes, swiped

Ints = NDArray[np.int64]

END_US = start_of(dt.date(2026, 6, 15))
"""The log ends here, whatever the scale: 2026-06-15T00:00Z."""

WALK_SESSION = 1 << 20
"""Session numbers from here on are counterfactual walks; those of the log are far below."""

SlatePolicy = Callable[[int, Ints, int, int], Sequence[int] | Ints]
"""(user_id, ids of videos the person has seen, now_us, limit) -> at most limit video ids, best first."""

Told = Callable[[int, Ints, Ints], None]
"""(user_id, ids of the videos just seen, in order, watched_ms of each): what a server would have heard."""


@dataclass(frozen=True)
class World:
    """Everything that exists and how it truly is; pure in (scale, seed). Scale may be given by name."""

    scale: Scale | str
    seed: int

    @cached_property
    def size(self) -> Scale:
        return scale_named(self.scale) if isinstance(self.scale, str) else self.scale

    @property
    def start_us(self) -> int:
        return END_US - self.size.days * DAY_US

    @property
    def end_us(self) -> int:
        return END_US

    @cached_property
    def people(self) -> births.People:
        return births.draw_people(self.size, self.start_us, self._centres, self._rng(1))

    @cached_property
    def creators(self) -> births.Creators:
        return births.draw_creators(self.size, self._rng(2))

    @cached_property
    def videos(self) -> births.Videos:
        return births.draw_videos(self.size, self.start_us, self._centres, self.creators, self._rng(3))

    def satisfaction(self, user_ids: ArrayLike, video_ids: ArrayLike) -> Floats:
        """S of each (user, video) after broadcasting."""
        rows, videos = self.rows_of_people(user_ids), self.rows_of_videos(video_ids)
        return self._satisfaction(self._relevance(rows, videos), videos)

    def pull(self, user_ids: ArrayLike, video_ids: ArrayLike, now_us: ArrayLike) -> Floats:
        """x of each (user, video) after broadcasting, at that moment."""
        rows, videos = self.rows_of_people(user_ids), self.rows_of_videos(video_ids)
        return self._pull(self._relevance(rows, videos), rows, videos, now_us)

    def label_probabilities(
        self, user_ids: ArrayLike, video_ids: ArrayLike, now_us: ArrayLike
    ) -> dict[str, Floats]:
        """Bayes probability, given the pair is watched, of click, long_view and every reaction."""
        meeting = self.encounters(self.rows_of_people(user_ids), self.rows_of_videos(video_ids), now_us)
        seconds = meeting.duration_ms / 1000.0
        long_view = behaviour.reach_probability(meeting.pull, seconds, behaviour.LONG_VIEW_S)
        chances = {
            "click": behaviour.reach_probability(meeting.pull, seconds, behaviour.CLICK_S),
            "long_view": long_view,
        }
        for reaction in behaviour.REACTIONS:
            given = [
                behaviour.reaction_probability(
                    reaction, meeting.satisfaction, np.asarray(happened), meeting.warmth, meeting.violation
                )
                for happened in (0.0, 1.0)
            ]
            chances[reaction] = (1 - long_view) * given[0] + long_view * given[1]
        return chances

    def encounters(self, people: ArrayLike, videos: ArrayLike, now_us: ArrayLike) -> Encounters:
        """The latent meeting of people and videos (rows, not ids) after broadcasting."""
        rows, of = np.broadcast_arrays(np.asarray(people), np.asarray(videos))
        relevance = self._relevance(rows, of)
        return Encounters(
            pull=self._pull(relevance, rows, of, now_us),
            satisfaction=self._satisfaction(relevance, of),
            duration_ms=self.videos.duration_ms[of],
            topics=self.videos.topics[of],
            warmth=self.people.warmth[rows],
            violation=self.videos.violation[of],
            patience=self.people.patience[rows],
        )

    @property
    def home_centres(self) -> Floats:
        """The centre of each creator's home topic, [creators, 16]."""
        return self._centres[self.creators.home_topic]

    def rows_of_people(self, user_ids: ArrayLike) -> Ints:
        return _rows(user_ids, births.FIRST_USER, self.size.users, "user")

    def rows_of_videos(self, video_ids: ArrayLike) -> Ints:
        return _rows(video_ids, births.FIRST_VIDEO, self.size.videos, "video")

    @cached_property
    def _centres(self) -> Floats:
        return births.topic_centres(self._rng(0))

    @cached_property
    def _relevance_moments(self) -> tuple[float, float]:
        """Mean and standard deviation of <taste, embedding> over random pairs."""
        rng = self._rng(4)
        people = rng.integers(0, self.size.users, 200_000)
        videos = rng.integers(0, self.size.videos, 200_000)
        found = _dots(self.people.taste[people], self.videos.embedding[videos])
        return float(found.mean()), float(found.std())

    def _relevance(self, people: Ints, videos: Ints) -> Floats:
        mean, deviation = self._relevance_moments
        return (_dots(self.people.taste[people], self.videos.embedding[videos]) - mean) / deviation

    def _satisfaction(self, relevance: Floats, videos: Ints) -> Floats:
        of = self.videos
        return behaviour.satisfaction(relevance, of.quality[videos], of.clickbait[videos])

    def _pull(self, relevance: Floats, people: Ints, videos: Ints, now_us: ArrayLike) -> Floats:
        of = self.videos
        age_days = (np.asarray(now_us) - of.uploaded_us[videos]) / DAY_US
        fresh = behaviour.freshness(age_days, of.evergreen[videos])
        leniency = self.people.leniency[people]
        return behaviour.pull(relevance, of.quality[videos], leniency, of.clickbait[videos], fresh)

    def _rng(self, stage: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stage])


@dataclass(frozen=True)
class Sessions:
    """One counterfactual session per person, arrays of one length, in the order of the people asked for."""

    user_ids: Ints
    mean_satisfaction: Floats  # per impression seen; NaN where nothing was shown
    session_length: Ints  # impressions seen


def seen_by(watched: pl.DataFrame) -> dict[int, Ints]:
    """Ids of the videos each person has watched, from the log's watched events."""
    grouped = watched.group_by("user_id").agg(pl.col("video_id").unique().sort())
    return {int(user): np.asarray(videos) for user, videos in grouped.iter_rows()}


def walk(
    world: World,
    policy: SlatePolicy,
    people: Ints,
    now_us: int = END_US,
    seen: Mapping[int, Ints] | None = None,
    *,
    limit: int = 10,
    most: int = 200,
    repeat: int = 0,
    told: Told | None = None,
) -> Sessions:
    """One session per person under a policy that is asked for a new slate whenever the last one is used up.

    Luck is keyed by (seed, person, repeat, impression), so two policies walked with the same arguments meet
    the same luck and their difference can be taken per person. A session ends by leaving, by a slate shorter
    than asked for, or at `most` impressions. Another `repeat` is other luck. The policy must show what was
    uploaded and is unseen: anything else is an error naming the video. `told` hears what was watched before
    the next slate is asked for.
    """
    user_ids = np.asarray(people, dtype=np.int64)
    walkers = _Walkers(world, user_ids, now_us, seen or {}, WALK_SESSION + repeat, told)
    while walkers.going.any() and walkers.length.max() < most:
        walkers.swipe(policy, min(limit, most - int(walkers.length.max())))
    with np.errstate(invalid="ignore"):
        return Sessions(user_ids, walkers.total / walkers.length, walkers.length)


class _Walkers:
    """People in the middle of their counterfactual sessions, all at the same request."""

    def __init__(
        self,
        world: World,
        user_ids: Ints,
        now_us: int,
        seen: Mapping[int, Ints],
        session: int,
        told: Told | None = None,
    ):
        none = np.empty(0, dtype=np.int64)
        self.told = told
        self.world, self.user_ids, self.now_us = world, user_ids, now_us
        self.rows = world.rows_of_people(user_ids)
        self.seen = [np.asarray(seen.get(int(user), none)) for user in user_ids]
        self.keys = keys(world.seed, user_ids, session)
        self.topics = np.full((len(user_ids), REMEMBERED), -1)
        self.going = np.ones(len(user_ids), dtype=bool)
        self.length = np.zeros(len(user_ids), dtype=np.int64)
        self.total = np.zeros(len(user_ids))

    def swipe(self, policy: SlatePolicy, limit: int) -> None:
        """Ask for one slate for everybody still here, and let them swipe through it."""
        at = np.flatnonzero(self.going)
        videos = self._slates(policy, at, limit)
        meeting = self.world.encounters(self.rows[at, None], np.maximum(videos, 0), self.now_us)
        steps = self.length[at, None] + np.arange(limit)
        found = swiped(meeting, videos >= 0, self.topics[at], self.keys[at], steps)
        self._remember(at, videos, meeting, found)

    def _slates(self, policy: SlatePolicy, at: Ints, limit: int) -> Ints:
        """Rows of the slates' videos, padded with -1."""
        videos = np.full((len(at), limit), -1)
        existing = int(self.world.videos.existing_at(self.now_us))
        for line, person in enumerate(at):
            user_id, seen = int(self.user_ids[person]), self.seen[person]
            ids = np.asarray(policy(user_id, seen, self.now_us, limit), dtype=np.int64)[:limit]
            _refuse_ineligible(ids, seen, existing, user_id)
            videos[line, : len(ids)] = ids - births.FIRST_VIDEO
        return videos

    def _remember(self, at: Ints, videos: Ints, meeting: Encounters, found: Swipes) -> None:
        self.total[at] += (meeting.satisfaction * found.reached).sum(axis=1)
        self.length[at] += found.reached.sum(axis=1)
        self.topics[at] = np.hstack([self.topics[at], meeting.topics])[:, -REMEMBERED:]
        whole = (videos >= 0).all(axis=1)
        self.going[at] = whole & ~found.left
        for line, person in enumerate(at):
            ids = videos[line, found.reached[line]] + births.FIRST_VIDEO
            self.seen[person] = np.concatenate([self.seen[person], ids])
            if self.told:
                self.told(int(self.user_ids[person]), ids, found.watched_ms[line, found.reached[line]])


def random_policy(world: World) -> SlatePolicy:
    """Uniform over what exists and is unseen; keyed, so it is the same policy every time."""

    def slate(user_id: int, seen: Ints, now_us: int, limit: int) -> Ints:
        found = _eligible(world, seen, now_us)
        luck = uniforms(keys(world.seed, user_id, len(seen)), Purpose.RANDOM_SLATE, np.arange(len(found)))
        return found[np.argsort(luck)[:limit]]

    return slate


def oracle_policy(world: World) -> SlatePolicy:
    """Greedy on true satisfaction under the same eligibility: the ceiling of a policy's headroom."""

    def slate(user_id: int, seen: Ints, now_us: int, limit: int) -> Ints:
        found = _eligible(world, seen, now_us)
        return found[np.argsort(-world.satisfaction(user_id, found), kind="stable")[:limit]]

    return slate


def _eligible(world: World, seen: Ints, now_us: int) -> Ints:
    """Ids of videos uploaded before now and not seen."""
    free = np.ones(int(world.videos.existing_at(now_us)), dtype=bool)
    free[np.asarray(seen, dtype=np.int64) - births.FIRST_VIDEO] = False
    return np.flatnonzero(free) + births.FIRST_VIDEO


def _refuse_ineligible(ids: Ints, seen: Ints, existing: int, user_id: int) -> None:
    for video in ids[(ids < births.FIRST_VIDEO) | (ids >= births.FIRST_VIDEO + existing)]:
        raise ValueError(
            f"user {user_id} was shown video {video}, which does not exist yet; filter on upload."
        )
    for video in ids[np.isin(ids, seen)]:
        raise ValueError(f"user {user_id} was shown video {video}, seen before; filter what was seen.")
    if len(np.unique(ids)) < len(ids):
        raise ValueError(f"user {user_id} was shown a video twice in one slate {ids.tolist()}; dedupe it.")


def _rows(ids: ArrayLike, first: int, count: int, kind: str) -> Ints:
    rows = np.asarray(ids, dtype=np.int64) - first
    if rows.size and (rows.min() < 0 or rows.max() >= count):
        raise KeyError(f"{kind} ids run from {first} to {first + count - 1} in this world; found another.")
    return rows


def _dots(left: NDArray[np.float32], right: NDArray[np.float32]) -> Floats:
    return np.asarray(np.einsum("...k,...k->...", left, right), dtype=np.float64)
