"""The sealed truth of feeds that are asked for slates: walks of the same people with the same luck.

Only labs, notebooks and tests may look. What one pair is worth is the World's own (worlds.py: pull,
satisfaction, label_probabilities); what a slate is worth exactly, enumeration.py's; what days under a policy
come to, rollouts.py's; how good a model can look, ceilings.py's.

Units: satisfaction S and pull x are logits. A policy's value is mean S per impression seen; session length
counts impressions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from simulator.births import FIRST_VIDEO
from simulator.luck import Floats, Purpose, keys, uniforms
from simulator.swipes import REMEMBERED, Encounters, Swipes, swiped
from simulator.uploads import MOST_ENERGY
from simulator.worlds import END_US, World

Ints = NDArray[np.int64]

WALK_SESSION = 1 << 20
"""Session numbers from here on are counterfactual walks; those of the log are far below."""

SlatePolicy = Callable[[int, Ints, int, int], Sequence[int] | Ints]
"""(user_id, ids of videos the person has seen, now_us, limit) -> at most limit video ids, best first."""

Told = Callable[[int, Ints, Ints], None]
"""(user_id, ids of the videos just seen, in order, watched_ms of each): what a server would have heard."""


@dataclass(frozen=True)
class Sessions:
    """One counterfactual session per person, arrays of one length, in the order of the people asked for."""

    user_ids: Ints
    mean_satisfaction: Floats  # per impression seen; NaN where nothing was shown
    session_length: Ints  # impressions seen

    @property
    def satisfaction(self) -> Floats:
        """Summed over the impressions seen; 0 where nothing was shown."""
        return np.asarray(np.nan_to_num(self.mean_satisfaction) * self.session_length)


def humans(world: World) -> Ints:
    """Ids of everybody who is a person; what a bot does has no value to anybody."""
    return world.people.user_ids[~world.people.bot]


def seen_by(watched: pl.DataFrame) -> dict[int, Ints]:
    """Ids of the videos each person has watched, from the log's watched events."""
    grouped = watched.group_by("user_id").agg(pl.col("video_id").unique().sort())
    return {int(user): np.asarray(videos) for user, videos in grouped.iter_rows()}


def public_in(uploaded: pl.DataFrame, removed: pl.DataFrame) -> Ints:
    """Ids of the videos that stand, ascending, from the log's uploaded and removed events."""
    return np.setdiff1d(uploaded["video_id"].to_numpy(), removed["video_id"].to_numpy())


def public_at(world: World, now_us: int = END_US) -> Ints:
    """Ids that would be public at this moment had every creator always had the usual energy, ascending."""
    of = world.videos
    appeared = (of.urge < 1.0 / MOST_ENERGY) & ~of.caught & (of.uploaded_us < now_us)
    return of.video_ids[appeared & (of.removed_us > now_us)]


def walk(
    world: World,
    policy: SlatePolicy,
    people: ArrayLike,
    now_us: int = END_US,
    seen: Mapping[int, Ints] | None = None,
    *,
    corpus: Ints | None = None,
    limit: int = 10,
    most: int = 200,
    repeat: int = 0,
    told: Told | None = None,
) -> Sessions:
    """One session per person under a policy that is asked for a new slate whenever the last one is used up.

    Luck is keyed by (seed, person, repeat, impression), so two policies walked with the same arguments meet
    the same luck and their difference can be taken per person. A session ends by leaving, by a slate shorter
    than asked for, or at `most` impressions. Another `repeat` is other luck. The policy must show what is in
    the corpus (ids that are public; without one, those of `public_at`) and unseen: anything else is an error
    naming the video. `told` hears what was watched before the next slate is asked for. Tastes are those of
    the day; nobody is weary of a topic.
    """
    user_ids = np.asarray(people, dtype=np.int64)
    public = np.sort(public_at(world, now_us) if corpus is None else corpus)
    walkers = _Walkers(world, user_ids, now_us, seen or {}, public, WALK_SESSION + repeat, told)
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
        public: Ints,
        session: int,
        told: Told | None = None,
    ):
        none = np.empty(0, dtype=np.int64)
        self.told = told
        self.world, self.user_ids, self.now_us, self.public = world, user_ids, now_us, public
        self.rows = world.rows_of_people(user_ids)
        _refuse_bots(user_ids[world.people.bot[self.rows]])
        self.seen = [np.asarray(seen.get(int(user), none)) for user in user_ids]
        self.keys = keys(world.luck, user_ids, session)
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
        c = self.world.coefficients
        found = swiped(c, meeting, videos >= 0, self.topics[at], self.keys[at], steps)
        self._remember(at, videos, meeting, found)

    def _slates(self, policy: SlatePolicy, at: Ints, limit: int) -> Ints:
        """Rows of the slates' videos, padded with -1."""
        videos = np.full((len(at), limit), -1)
        for line, person in enumerate(at):
            user_id, seen = int(self.user_ids[person]), self.seen[person]
            ids = np.asarray(policy(user_id, seen, self.now_us, limit), dtype=np.int64)[:limit]
            _refuse_ineligible(ids, seen, self.public, user_id)
            videos[line, : len(ids)] = ids - FIRST_VIDEO
        return videos

    def _remember(self, at: Ints, videos: Ints, meeting: Encounters, found: Swipes) -> None:
        self.total[at] += (meeting.satisfaction * found.reached).sum(axis=1)
        self.length[at] += found.reached.sum(axis=1)
        self.topics[at] = np.hstack([self.topics[at], meeting.topics])[:, -REMEMBERED:]
        whole = (videos >= 0).all(axis=1)
        self.going[at] = whole & ~found.left
        for line, person in enumerate(at):
            ids = videos[line, found.reached[line]] + FIRST_VIDEO
            self.seen[person] = np.concatenate([self.seen[person], ids])
            if self.told:
                self.told(int(self.user_ids[person]), ids, found.watched_ms[line, found.reached[line]])


def random_policy(world: World, corpus: Ints | None = None) -> SlatePolicy:
    """Uniform over what is public and unseen; keyed, so it is the same policy every time."""

    def slate(user_id: int, seen: Ints, now_us: int, limit: int) -> Ints:
        found = _eligible(world, corpus, seen, now_us)
        luck = uniforms(keys(world.luck, user_id, len(seen)), Purpose.RANDOM_SLATE, np.arange(len(found)))
        return found[np.argsort(luck)[:limit]]

    return slate


def oracle_policy(world: World, corpus: Ints | None = None) -> SlatePolicy:
    """Greedy on true satisfaction under the same eligibility: the ceiling of a policy's headroom."""

    def slate(user_id: int, seen: Ints, now_us: int, limit: int) -> Ints:
        found = _eligible(world, corpus, seen, now_us)
        return found[np.argsort(-world.satisfaction(user_id, found, now_us), kind="stable")[:limit]]

    return slate


def _eligible(world: World, corpus: Ints | None, seen: Ints, now_us: int) -> Ints:
    """Ids that are public and not seen."""
    return np.setdiff1d(public_at(world, now_us) if corpus is None else corpus, seen)


def _refuse_bots(user_ids: Ints) -> None:
    if len(user_ids):
        raise ValueError(
            f"users {user_ids.tolist()} are bots, whom nothing satisfies; walk truth.humans only."
        )


def _refuse_ineligible(ids: Ints, seen: Ints, public: Ints, user_id: int) -> None:
    for video in ids[~np.isin(ids, public)]:
        raise ValueError(
            f"user {user_id} was shown video {video}, which is not public; filter on upload and removal."
        )
    for video in ids[np.isin(ids, seen)]:
        raise ValueError(f"user {user_id} was shown video {video}, seen before; filter what was seen.")
    if len(np.unique(ids)) < len(ids):
        raise ValueError(f"user {user_id} was shown a video twice in one slate {ids.tolist()}; dedupe it.")
