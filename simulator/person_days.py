"""One person's day, told as it happens: open the app, be shown a slate, watch or swipe away, react, leave.

This is the world's engine, compiled and run person by person; the equations are behaviour.py's. People within
a day do not touch each other, and luck is looked up by (person, session, item), the policy's own chance by
(person, session, request); so any order, any chunks and any number of workers give the same day.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feature_repo.clock import DAY_US, SECOND_US
from simulator import behaviour
from simulator.behaviour import LONG_VIEW_S, WatchLuck
from simulator.coefficients import REACTIONS, Coefficients
from simulator.compiled import compiled, inner
from simulator.dials import Dials
from simulator.exposures import EXPOSURE, GRID, NOT_ANSWERED, SWIPE, Exposures, Row
from simulator.luck import Purpose, key, normal, uniform
from simulator.slates import SLATE, Desk, Floats, Ints, Known, Policy, choose, find, has, put
from simulator.swipes import REMEMBERED

LONGEST_SESSION = 600
"""Impressions; then even the most patient goes to bed."""
SWIPE_US, REQUEST_US, PAUSE_US, BROWSE_US = 600_000, 200_000, 60 * SECOND_US, 8 * SECOND_US
"""Between two videos; for a new slate to arrive; at the least between two sessions; over a page of covers."""

BOT_LEAST, BOT_TIMES, BOT_FULL = 100.0, 8.0, 0.02
"""Videos a bot asks for per day: 100 to 800, log-uniform; the share it plays exactly to the end."""

FOLLOW = REACTIONS.index("follow")
LIKE = REACTIONS.index("like")


class People(NamedTuple):
    """Everybody as they are today, [n]."""

    keys: NDArray[np.uint64]  # of their luck
    taste: NDArray[np.float32]  # [n, 16]
    leniency: Floats
    warmth: Floats
    patience: Floats
    bot: NDArray[np.bool_]
    recent: Floats  # [n, topics], impressions of late, fading by the night


class Videos(NamedTuple):
    """Everything that may ever be shown, [videos]."""

    embedding: NDArray[np.float32]  # [videos, 16]
    quality: Floats
    clickbait: Floats
    violation: Floats
    evergreen: NDArray[np.bool_]
    topics: Ints
    creators: Ints
    duration_ms: Ints
    uploaded_us: Ints


class Day(NamedTuple):
    """What today is like, for everybody."""

    c: Coefficients
    end_us: int  # of the world; nobody opens the app after it
    relevance_mean: float
    relevance_sd: float
    dials: Dials  # of the scenario


class Remembered(NamedTuple):
    """What lasts beyond the day, a row per person: each worker touches its own people's rows only."""

    seen: NDArray[np.uint8]  # [n, videos / 8] bits
    seen_count: Ints  # of videos still in the corpus
    follows: NDArray[np.uint8]  # [n, creators / 8] bits
    free_us: Ints  # when their last session was over


class Coming(NamedTuple):
    """Who comes today, a row per person who does."""

    people: Ints
    counts: Ints  # of sessions
    starts_us: Ints  # [n, most], ascending


class Scene(NamedTuple):
    """All that a person meets today, and all that is remembered of them."""

    day: Day
    policy: Policy
    known: Known
    people: People
    videos: Videos
    memory: Remembered
    coming: Coming


@compiled
def lived(scene: Scene, first_session: int, first: int, last: int, desk: Desk) -> Exposures:
    """The days of the people in rows [first, last) of those who come, one after another."""
    rows, n = np.empty(1024, EXPOSURE), 0
    for at in range(first, last):
        person = scene.coming.people[at]
        free_us = scene.memory.free_us[person]
        for ordinal in range(scene.coming.counts[at]):
            start_us = max(scene.coming.starts_us[at, ordinal], free_us + PAUSE_US)
            if start_us < scene.day.end_us:
                most = longest(scene, at, first_session)
                session = first_session + ordinal
                rows, n, free_us = one_session(scene, person, session, start_us, most, desk, rows, n)
        scene.memory.free_us[person] = free_us
    return rows[:n]


@inner
def longest(scene: Scene, at: int, first_session: int) -> int:
    """Most items of a session: a bot divides its day's work by its visits."""
    person = scene.coming.people[at]
    if not scene.people.bot[person]:
        return LONGEST_SESSION
    luck = uniform(scene.people.keys[person], Purpose.BOT, first_session)
    return int(BOT_LEAST * BOT_TIMES**luck / scene.coming.counts[at])


@inner
def one_session(
    scene: Scene, person: int, session: int, now_us: int, most: int, desk: Desk, rows: Exposures, n: int
) -> tuple[Exposures, int, int]:
    """From opening the app to leaving it: (rows, how many of them are filled, the moment it ended)."""
    of = key(scene.people.keys[person], session)
    surface = surface_of(scene, person, of)
    topics = np.full(REMEMBERED, -1)
    step, request, stays = 0, 0, True
    while stays and step < most and now_us < scene.day.end_us:
        rows = with_room(rows, n)
        shown = slate_of(scene, person, key(of, request), now_us, desk)
        slate = rows[n : n + shown]
        fill(slate, desk, person, session, request, step, surface, now_us)
        if scene.people.bot[person]:
            now_us, stays = clicked_through(scene, person, of, slate)
        elif surface == GRID:
            now_us, stays = browsed(scene, person, of, slate)
        else:
            now_us, stays = swiped(scene, person, of, slate, topics)
        stays = stays and shown == SLATE
        now_us += REQUEST_US
        n, step, request = n + shown, step + shown, request + 1
    return rows, n, now_us


@inner
def surface_of(scene: Scene, person: int, of: np.uint64) -> int:
    """Which surface a session opens on."""
    on_grid = uniform(of, Purpose.SURFACE, 0) < scene.day.c.grid_share
    return GRID if on_grid and not scene.people.bot[person] else SWIPE


@inner
def slate_of(scene: Scene, person: int, of: np.uint64, now_us: int, desk: Desk) -> int:
    """Ask the feed; the slate lies on the desk, and this many slots of it are filled."""
    policy, known, memory = scene.policy, scene.known, scene.memory
    existing = int(np.searchsorted(known.corpus_us, now_us))
    find(policy, known, person, existing, of, memory.seen[person], desk)
    if policy.by_pull != 0.0 or policy.by_satisfaction != 0.0:
        add_truth(scene, person, now_us, desk)
    eligible = existing - memory.seen_count[person]
    return choose(policy, known, existing, eligible, of, memory.seen[person], desk)


@inner
def add_truth(scene: Scene, person: int, now_us: int, desk: Desk) -> None:
    """What an oracle knows of its candidates."""
    for column in range(len(desk.found)):
        if desk.found[column] >= 0:
            pull, satisfaction = felt(scene, person, desk.found[column], now_us)
            desk.scores[column] += scene.policy.by_pull * pull + scene.policy.by_satisfaction * satisfaction


@inner
def fill(
    slate: Exposures,
    desk: Desk,
    person: int,
    session: int,
    request: int,
    step: int,
    surface: int,
    now_us: int,
) -> None:
    """Write down what was served; nothing of it has been seen yet."""
    for slot in range(len(slate)):
        row = slate[slot]
        row.person, row.session, row.request, row.surface = person, session, request, surface
        row.video, row.position, row.step = desk.videos[slot], slot, step + slot
        row.source, row.explored = desk.sources[slot], desk.explored[slot] == 1
        row.propensity, row.served_us, row.started_us = desk.propensities[slot], now_us, now_us
        row.reached, row.examined, row.survey, row.reactions = False, False, 0, 0
        row.watched_ms, row.pull, row.satisfaction = 0, 0.0, 0.0


@inner
def swiped(scene: Scene, person: int, of: np.uint64, slate: Exposures, topics: Ints) -> tuple[int, bool]:
    """Video after video fills the screen until the person leaves: (the moment, whether they stay)."""
    c = scene.day.c
    now_us = slate[0].served_us if len(slate) else 0
    for slot in range(len(slate)):
        row = slate[slot]
        row.reached, row.examined, row.started_us = True, True, now_us
        feel(scene, person, row)
        seconds = behaviour.watched_seconds(c, row.pull, seconds_of(scene, row), watch_luck(of, row.step))
        watch(scene, person, of, row, seconds)
        now_us += row.watched_ms * 1000 + SWIPE_US
        bored = repeats(topics, scene.videos.topics[row.video])
        hazard = behaviour.leave_probability(c, row.pull, bored, scene.people.patience[person])
        if uniform(of, Purpose.LEAVE, row.step) < hazard:
            return now_us, False
    return now_us, len(slate) > 0


@inner
def browsed(scene: Scene, person: int, of: np.uint64, slate: Exposures) -> tuple[int, bool]:
    """A page of covers: eyes fall by position, what promises is tapped and played, then on or away."""
    c = scene.day.c
    now_us = slate[0].served_us if len(slate) else 0
    for slot in range(len(slate)):
        row = slate[slot]
        feel(scene, person, row)
        row.examined = uniform(of, Purpose.EXAMINED, row.step) < behaviour.examination(c, slot)
        wanted = behaviour.tap_probability(c, row.pull, scene.videos.clickbait[row.video])
        if row.examined and uniform(of, Purpose.TAPPED, row.step) < wanted:
            row.reached, row.started_us = True, now_us
            length = seconds_of(scene, row)
            seconds = behaviour.seconds_once_playing(c, row.pull, length, watch_luck(of, row.step))
            watch(scene, person, of, row, seconds)
            now_us += row.watched_ms * 1000 + SWIPE_US
    last = slate[len(slate) - 1].step if len(slate) else 0
    return now_us + BROWSE_US, uniform(of, Purpose.LEAVE, last) >= c.grid_leave


@inner
def clicked_through(scene: Scene, person: int, of: np.uint64, slate: Exposures) -> tuple[int, bool]:
    """A bot's visit: every video, gone within a second or played exactly to its end; nothing is felt."""
    now_us = slate[0].served_us if len(slate) else 0
    for slot in range(len(slate)):
        row = slate[slot]
        row.reached, row.examined, row.started_us = True, True, now_us
        seconds = uniform(of, Purpose.GLANCE, row.step)
        if uniform(of, Purpose.BOT, row.step) < BOT_FULL:
            seconds = seconds_of(scene, row)
        row.watched_ms = np.rint(1000 * seconds)
        saw(scene, person, row.video)
        now_us += row.watched_ms * 1000 + SWIPE_US
    return now_us, len(slate) > 0


@inner
def feel(scene: Scene, person: int, row: Row) -> None:
    """What the item is to the person, whatever they do about it."""
    pull, satisfaction = felt(scene, person, row.video, row.served_us)
    row.pull, row.satisfaction = pull, satisfaction


@inner
def felt(scene: Scene, person: int, video: int, now_us: int) -> tuple[float, float]:
    """(pull, satisfaction) of one video for one person at this moment."""
    day, people, videos = scene.day, scene.people, scene.videos
    relevance = (dot(people.taste[person], videos.embedding[video]) - day.relevance_mean) / day.relevance_sd
    topic, quality, clickbait = videos.topics[video], videos.quality[video], videos.clickbait[video]
    age_days = (now_us - videos.uploaded_us[video]) / DAY_US
    fresh = behaviour.freshness(age_days, videos.evergreen[video])
    weary = behaviour.weariness(day.c, people.recent[person, topic])
    pull = behaviour.pull(day.c, relevance, quality, people.leniency[person], clickbait, fresh, weary)
    if topic == day.dials.viral_topic and day.dials.viral_from_us <= now_us < day.dials.viral_until_us:
        pull += day.dials.viral_logits
    return pull, behaviour.satisfaction(day.c, relevance, quality, clickbait)


@inner
def watch(scene: Scene, person: int, of: np.uint64, row: Row, seconds: float) -> None:
    """The watch is over: how long it was, and what the person does about it."""
    row.watched_ms = np.rint(1000 * seconds)
    saw(scene, person, row.video)
    react(scene, person, of, row)
    answer(scene, person, of, row)


@inner
def react(scene: Scene, person: int, of: np.uint64, row: Row) -> None:
    """Draw every reaction; nobody follows whom they follow already."""
    c, dials = scene.day.c, scene.day.dials
    long_view = behaviour.reached(row.watched_ms / 1000.0, seconds_of(scene, row), LONG_VIEW_S)
    violation, warmth = scene.videos.violation[row.video], scene.people.warmth[person]
    for number in range(len(REACTIONS)):
        p = behaviour.reaction_probability(c, number, row.satisfaction, long_view, warmth, violation)
        if number == LIKE and dials.like_from_us <= row.served_us < dials.like_until_us:
            p = behaviour.at_odds(p, dials.like_odds)
        if uniform(of, Purpose.REACTION + number, row.step) < p:
            row.reactions |= 1 << number
    if row.reactions >> FOLLOW & 1:
        creator = scene.videos.creators[row.video]
        if has(scene.memory.follows[person], creator):
            row.reactions &= ~(1 << FOLLOW)
        put(scene.memory.follows[person], creator)


@inner
def answer(scene: Scene, person: int, of: np.uint64, row: Row) -> None:
    """A few are asked how they liked it, and fewer answer."""
    c, asked = scene.day.c, Purpose.SURVEY + 0
    if uniform(of, asked, row.step) < c.survey_share:
        row.survey = NOT_ANSWERED
        if uniform(of, asked + 1, row.step) < behaviour.survey_response(c, scene.people.leniency[person]):
            noise = normal(uniform(of, asked + 2, row.step), uniform(of, asked + 3, row.step))
            row.survey = int(behaviour.survey_answer(c, row.satisfaction, noise))


@inner
def saw(scene: Scene, person: int, video: int) -> None:
    put(scene.memory.seen[person], video)
    scene.memory.seen_count[person] += 1


@inner
def seconds_of(scene: Scene, row: Row) -> float:
    return scene.videos.duration_ms[row.video] / 1000.0


@inner
def repeats(topics: Ints, topic: int) -> int:
    """How many of the last six had this topic; it becomes the newest of them."""
    found = 0
    for back in range(REMEMBERED):
        found += topics[back] == topic
    for back in range(REMEMBERED - 1):
        topics[back] = topics[back + 1]
    topics[REMEMBERED - 1] = topic
    return found


@inner
def watch_luck(of: np.uint64, step: int) -> WatchLuck:
    """The draws of a thumb."""
    return WatchLuck(
        uniform(of, Purpose.ZERO, step),
        uniform(of, Purpose.SKIP, step),
        uniform(of, Purpose.GLANCE, step),
        uniform(of, Purpose.INTENT, step),
        uniform(of, Purpose.INTENT_ANGLE, step),
        uniform(of, Purpose.REPLAY, step),
        uniform(of, Purpose.REPLAY_LENGTH, step),
    )


@inner
def dot(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    total = 0.0
    for k in range(len(left)):
        total += np.float64(left[k]) * np.float64(right[k])
    return total


@inner
def with_room(rows: Exposures, n: int) -> Exposures:
    """The same rows, with room for one more slate."""
    if n + SLATE <= len(rows):
        return rows
    more = np.empty(2 * len(rows), EXPOSURE)
    more[:n] = rows[:n]
    return more
