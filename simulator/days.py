"""The world lives through its days and sleeps in between: people by day (person_days.py), the rest at night.

People within a day do not touch each other, so a day is shared out among workers in any chunks.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import DAY_US
from feature_repo.scales import Scale
from simulator import behaviour, person_days, supply
from simulator.births import TOPICS
from simulator.exposures import EXPOSURE, Exposures
from simulator.logging_policy import Corpus, Counts, nightly
from simulator.luck import Floats, Purpose, keys, uniforms
from simulator.nights import Memory, dawned, slept
from simulator.person_days import Coming, Day, People, Remembered, Scene, Videos
from simulator.slates import DEFAULT, Known, Policy, desk
from simulator.swipes import REMEMBERED, swiped
from simulator.visits import SESSIONS_PER_DAY, visits
from simulator.worlds import World

Ints = NDArray[np.int64]

BURN_IN_SESSION = (1 << 12) - 1
BURN_IN = 35
"""Videos each person swiped through before the log began: what the policy's counts start from."""
CHUNK = 1024
"""People a worker takes at a time."""
BIRTH_CHUNK = 8192
"""People at a time, where a step needs much memory per person."""

ONBOARDING_FOLLOWS, MOST_ONBOARDING = 3.0, 8


@dataclass(frozen=True)
class Lived:
    """One day of the world, by day's end."""

    day: int
    rows: Exposures  # everything served, by (person, session, request, position)
    published: Ints  # rows of the videos that appeared today

    @property
    def watched(self) -> Exposures:
        """The items that were seen, or tapped on the grid."""
        return np.take(self.rows, np.flatnonzero(self.rows["reached"]))


def days(
    world: World, policy: Policy = DEFAULT, workers: int = 1, memory: Memory | None = None, first: int = 0
) -> Iterator[Lived]:
    """Each day in turn, from day `first` with that morning's memory; the memory is brought along."""
    memory = memory or before_the_log(world)
    for day in range(first, world.days):
        yield lived(world, policy, day, memory, workers)


def warm_up() -> None:
    """Compile a person's day before it is needed: some seconds after an edit, then kept on disk."""
    next(days(World(Scale("warm-up", users=20, days=1), 0)))


def lived(
    world: World, policy: Policy, day: int, memory: Memory, workers: int = 1, chunk: int = CHUNK
) -> Lived:
    """One day, and the night after it."""
    published = dawned(world, day, memory)
    coming = visits(world, day, memory.habit, memory.invited)
    scene = scene_of(world, policy, day, memory, coming)
    rows = shared_out(scene, day * SESSIONS_PER_DAY, len(world.videos.video_ids), workers, chunk)
    slept(world, policy, day, rows, memory)
    return Lived(day, rows, published)


def scene_of(world: World, policy: Policy, day: int, memory: Memory, coming: Coming) -> Scene:
    """What everybody meets on this day."""
    people, videos = world.people, world.videos
    mean, deviation = world.relevance_moments
    return Scene(
        Day(world.coefficients, world.end_us, mean, deviation, world.scenario.at(day)),
        policy,
        digested(world, policy, day, memory),
        People(
            keys(world.luck, people.user_ids),
            world.taste(day),
            people.leniency,
            people.warmth,
            people.patience,
            people.bot,
            memory.recent,
        ),
        Videos(
            videos.embedding,
            videos.quality,
            videos.clickbait,
            videos.violation,
            videos.evergreen,
            videos.topics,
            videos.creators,
            videos.duration_ms,
            videos.uploaded_us,
        ),
        memory.people,
        coming,
    )


def shared_out(scene: Scene, first_session: int, videos: int, workers: int, chunk: int) -> Exposures:
    """The day's rows, whoever lived them: chunks of people come back in order."""
    starts = range(0, len(scene.coming.people), chunk)
    ends = [min(start + chunk, len(scene.coming.people)) for start in starts]
    one = partial(_one_chunk, scene, first_session, videos)
    if workers == 1:
        parts = [one(start, end) for start, end in zip(starts, ends, strict=True)]
    else:
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(one, starts, ends))
    return np.concatenate([np.empty(0, EXPOSURE), *parts])


def _one_chunk(scene: Scene, first_session: int, videos: int, first: int, last: int) -> Exposures:
    return person_days.lived(scene, first_session, first, last, desk(videos))


def digested(world: World, policy: Policy, day: int, memory: Memory) -> Known:
    """What the policy knows this morning: last night's counts, and the follows that had happened."""
    start_us = world.start_us + day * DAY_US
    people, creators, moments = (np.concatenate(column) for column in zip(*memory.edges, strict=True))
    happened = moments < start_us
    rows = memory.public[world.videos.removed_us[memory.public] >= start_us]
    appeared_us = world.videos.uploaded_us[rows]
    known = int(np.searchsorted(appeared_us, start_us))
    corpus = Corpus(
        world.videos.topics,
        world.videos.creators,
        len(world.creators.fans),
        rows,
        appeared_us,
        known,
        world.videos.uploaded_us,
        start_us,
    )
    return nightly(policy, memory.counts, corpus, people[happened], creators[happened])


@lru_cache(maxsize=1)
def onboarding(world: World) -> tuple[Ints, Ints]:
    """(people, creators): whom each person followed on joining, about three of the famous and the fitting.

    Who a scenario adds is drawn apart, so the others follow whom they would have followed.
    """
    base, everybody = world.size.users, len(world.people.user_ids)
    people, creators = _onboarded(world, np.arange(base), np.random.default_rng([world.seed, 5]))
    new = _onboarded(world, np.arange(base, everybody), np.random.default_rng([world.seed, 5, 1]))
    return np.concatenate([people, new[0]]), np.concatenate([creators, new[1]])


def _onboarded(world: World, people: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    wanted = np.minimum(rng.poisson(ONBOARDING_FOLLOWS, len(people)), MOST_ONBOARDING)
    taste, centres = world.taste(0), world.home_centres
    ranks = [np.empty((0, MOST_ONBOARDING), dtype=np.int64)]
    for start in range(0, len(people), BIRTH_CHUNK):
        some = people[start : start + BIRTH_CHUNK]
        appeal = 0.5 * np.log(world.creators.fans) + 3.0 * taste[some] @ centres.T
        appeal += rng.gumbel(size=appeal.shape)
        best = np.argpartition(-appeal, MOST_ONBOARDING, axis=1)[:, :MOST_ONBOARDING]
        order = np.argsort(-np.take_along_axis(appeal, best, axis=1), axis=1)
        ranks.append(np.take_along_axis(best, order, axis=1))
    keep = np.arange(MOST_ONBOARDING) < wanted[:, None]
    return np.repeat(people, wanted), np.vstack(ranks)[keep]


def before_the_log(world: World, policy: Policy = DEFAULT) -> Memory:
    """Everybody who had joined has swiped through random videos; that is all the policy knows at first."""
    n, videos, creators = len(world.people.user_ids), len(world.videos.video_ids), len(world.creators.fans)
    people, followed = onboarding(world)
    memory = Memory(
        counts=Counts.none(n, videos),
        habit=np.full(n, world.coefficients.habit_neutral),
        recent=np.zeros((n, TOPICS)),
        energy=np.ones(creators),
        invited=np.zeros(n, dtype=np.int64),
        public=supply.published_before(world),
        edges=[(people, followed, world.people.joined_us[people])],
        people=Remembered(
            seen=np.zeros((n, videos // 8 + 1), dtype=np.uint8),
            seen_count=np.zeros(n, dtype=np.int64),
            follows=np.zeros((n, creators // 8 + 1), dtype=np.uint8),
            free_us=world.people.joined_us.copy(),
        ),
    )
    bits = np.uint8(1) << (followed & 7).astype(np.uint8)
    np.bitwise_or.at(memory.people.follows, (people, followed >> 3), bits)
    memory.counts = memory.counts.after(*_burnt_in(world, memory.public), policy.forget)
    return memory


def _burnt_in(world: World, public: Ints) -> tuple[Ints, Ints, Ints, Floats]:
    """(people, videos, topics, long views) of the random exposures before the log."""
    old = np.flatnonzero((world.people.joined_us < world.start_us) & ~world.people.bot)
    parts = [
        _random_exposures(world, old[at : at + BIRTH_CHUNK], public) for at in range(0, len(old), BIRTH_CHUNK)
    ]
    people, videos, liked = (np.concatenate(column) for column in zip(*parts, strict=True))
    return people, videos, world.videos.topics[videos], liked


def _random_exposures(world: World, people: Ints, public: Ints) -> tuple[Ints, Ints, Floats]:
    luck = keys(world.seed, world.people.user_ids[people], BURN_IN_SESSION)
    steps = np.broadcast_to(np.arange(BURN_IN), (len(people), BURN_IN))
    videos = public[(uniforms(luck[:, None], Purpose.CANDIDATE, steps) * len(public)).astype(np.int64)]
    meeting = world.encounters(people[:, None], videos, world.start_us)
    fresh = np.full((len(people), REMEMBERED), -1)
    watched = swiped(world.coefficients, meeting, videos >= 0, fresh, luck, steps)
    lengths_s = meeting.duration_ms / 1000.0
    liked = behaviour.reached(watched.watched_ms / 1000.0, lengths_s, behaviour.LONG_VIEW_S)
    return np.repeat(people, BURN_IN), videos.ravel(), liked.ravel()
