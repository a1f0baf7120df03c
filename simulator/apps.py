"""When people open the app, what they do with a slate, and what their app says of it.

The equations are swipes.py's; luck is looked up by (seed, person, session, item), so what happens depends
only on what was served and when. Weariness and habit are matters of days and stay neutral here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from feature_repo.clock import DAY_US, HOUR_US
from simulator import behaviour
from simulator.births import FIRST_CREATOR
from simulator.clients import Item
from simulator.coefficients import Coefficients
from simulator.exposures import GRID, NOT_ANSWERED, NOT_ASKED, SWIPE
from simulator.luck import Floats, Keys, Purpose, keys, normal, uniforms
from simulator.observations import survey_delay_us
from simulator.person_days import BROWSE_US, LONGEST_SESSION, REQUEST_US, SWIPE_US
from simulator.slates import SLATE
from simulator.swipes import REMEMBERED, Encounters, browsed, delay_us, reacted, swiped
from simulator.visits import EXTRA_SESSIONS
from simulator.worlds import World

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

LIVE_SESSION = 1 << 21
"""Session numbers of live runs start here: far above those of the log, and of the truth's own walks."""


Surfaces = Literal["swipe", "grid", "both"]

MOST_EXTRA = 64
"""Sessions of one person beyond the first; a month at the usual rhythm."""
EVERY_US = HOUR_US // 4
"""The hours' rhythm is followed in quarters of an hour."""


@dataclass(frozen=True)
class Plan:
    """Who takes part and how: ids of people, which surfaces, and the seed of their luck."""

    user_ids: Sequence[int]
    surfaces: Surfaces
    seed: int


@dataclass(frozen=True)
class Visit:
    """One session of one person, as far as it has come."""

    person: int  # row of People
    session: int  # ordinal within the live run
    surface: int
    step: int = 0  # items served so far
    topics: tuple[int, ...] = (-1,) * REMEMBERED  # of the last impressions, newest last

    @property
    def has_begun(self) -> bool:
        return self.step > 0


class Watch(NamedTuple):
    """One video that was watched, as it truly was."""

    user_id: int
    impression_id: int
    video_id: int
    surface: int
    started_us: int
    watched_ms: int
    long_view: bool
    satisfaction: float


class Happening(NamedTuple):
    """Something an app will say, at the moment it happens; the event lacks its time."""

    moment_us: int
    event: dict[str, Any]


@dataclass(frozen=True)
class Met:
    """What came of one slate."""

    watches: tuple[Watch, ...]
    happenings: tuple[Happening, ...]
    over_us: int
    """When the next slate is asked for, or the app was closed."""
    goes_on: Visit | None
    """None: the app was closed."""


class _Outcome(NamedTuple):
    """Each item of the slate, [1, k]: was it watched, how long, and did the session end with it."""

    watched: Mask
    watched_ms: Ints
    left: bool
    pause_us: int


def met(world: World, seed: int, visit: Visit, items: Sequence[Item], now_us: int) -> Met:
    """One slate meets one person at this moment; KeyError if a video is not of this world."""
    if not items:
        return Met((), (), now_us + REQUEST_US, None)
    rows = world.rows_of_videos([item.video_id for item in items])
    steps = visit.step + np.arange(len(items))[None, :]
    luck = keys(seed, world.people.user_ids[visit.person], LIVE_SESSION + visit.session)
    of = world.encounters(np.array([[visit.person]]), rows[None, :], now_us)
    came = _outcome(world.coefficients, visit, of, luck, steps)
    spent_us = np.where(came.watched, 1000 * came.watched_ms + SWIPE_US, 0)[0]
    starts_us = now_us + np.cumsum(spent_us) - spent_us
    happenings = _happenings(world, visit, _Slate(items, rows, of, luck, steps), came, starts_us)
    return Met(
        tuple(_watches(world, visit, items, of, came, starts_us)),
        tuple(happenings),
        now_us + int(spent_us.sum()) + came.pause_us + REQUEST_US,
        _next(visit, of, len(items), came.left),
    )


class _Slate(NamedTuple):
    items: Sequence[Item]
    rows: Ints  # of Videos
    of: Encounters
    luck: Keys
    steps: Ints


def _outcome(c: Coefficients, visit: Visit, of: Encounters, luck: Keys, steps: Ints) -> _Outcome:
    present = np.ones(steps.shape, dtype=np.bool_)
    if visit.surface == GRID:
        page = browsed(c, of, present, luck, steps)
        return _Outcome(page.tapped, page.watched_ms, bool(page.left[0]), BROWSE_US)
    found = swiped(c, of, present, np.array([visit.topics]), luck, steps)
    return _Outcome(found.reached, found.watched_ms, bool(found.left[0]), 0)


def _next(visit: Visit, of: Encounters, served: int, left: bool) -> Visit | None:
    """The session after this slate; it ends by leaving, by a slate too short, or at bedtime."""
    step = visit.step + served
    if left or served < SLATE or step >= LONGEST_SESSION:
        return None
    topics = (*visit.topics, *of.topics[0].tolist())[-REMEMBERED:]
    return replace(visit, step=step, topics=topics)


def _watches(
    world: World, visit: Visit, items: Sequence[Item], of: Encounters, came: _Outcome, starts_us: Ints
) -> Iterator[Watch]:
    long_views = behaviour.reached(came.watched_ms / 1000.0, of.duration_ms / 1000.0, behaviour.LONG_VIEW_S)
    for place in np.flatnonzero(came.watched[0]).tolist():
        yield Watch(
            user_id=int(world.people.user_ids[visit.person]),
            impression_id=items[place].impression_id,
            video_id=items[place].video_id,
            surface=visit.surface,
            started_us=int(starts_us[place]),
            watched_ms=int(came.watched_ms[0, place]),
            long_view=bool(long_views[0, place]),
            satisfaction=float(of.satisfaction[0, place]),
        )


def _happenings(
    world: World, visit: Visit, slate: _Slate, came: _Outcome, starts_us: Ints
) -> Iterator[Happening]:
    """Everything the app will say of this slate, item by item; not in order of time."""
    luck, steps = slate.luck[:, None], slate.steps
    draws = reacted(world.coefficients, slate.of, came.watched_ms, luck, steps)
    delays = {name: delay_us(name, came.watched_ms, luck, steps)[0] for name in draws}
    answers = surveyed(world, visit.person, slate.of, luck, steps)[0]
    mulled_us = survey_delay_us(luck, steps)[0]
    for place in np.flatnonzero(came.watched[0]).tolist():
        item = slate.items[place]
        seen = _Seen(int(world.people.user_ids[visit.person]), item.impression_id, item.video_id)
        start_us, watched_ms = int(starts_us[place]), int(came.watched_ms[0, place])
        end_us = start_us + 1000 * watched_ms
        yield seen.says(end_us, "watched", watched_ms=watched_ms)
        for reaction in (name for name, drawn in draws.items() if drawn[0, place]):
            moment_us = start_us + int(delays[reaction][place])
            yield _reaction(seen, moment_us, reaction, world, int(slate.rows[place]))
        if answers[place] != NOT_ASKED:
            answered: dict[str, Any] = (
                {} if answers[place] == NOT_ANSWERED else {"answer": int(answers[place])}
            )
            yield seen.says(end_us + int(mulled_us[place]), "surveyed", "", **answered)


class _Seen(NamedTuple):
    """The impression that events are about."""

    user_id: int
    impression_id: int
    video_id: int

    def says(self, moment_us: int, kind: str, name: str = "", **more: Any) -> Happening:
        event_id = f"live-{self.impression_id}-{name or kind}"
        return Happening(moment_us, {"kind": kind, "event_id": event_id, **self._asdict(), **more})


def _reaction(seen: _Seen, moment_us: int, reaction: str, world: World, row: int) -> Happening:
    if reaction != "follow":
        return seen.says(moment_us, "reacted", reaction, reaction=reaction)
    creator_id = int(world.videos.creators[row]) + FIRST_CREATOR
    told = seen.says(moment_us, "followed", creator_id=creator_id)
    return Happening(moment_us, {key: value for key, value in told.event.items() if key != "video_id"})


def surveyed(world: World, person: int, of: Encounters, luck: Keys, steps: Ints) -> Ints:
    """NOT_ASKED, NOT_ANSWERED or 1..5 for each item: a few are asked, and fewer answer."""
    c, first = world.coefficients, int(Purpose.SURVEY)
    asked = uniforms(luck, first, steps) < c.survey_share
    leniency = float(world.people.leniency[person])
    answers = uniforms(luck, first + 1, steps) < behaviour.survey_response(c, leniency)
    noise = normal(uniforms(luck, first + 2, steps), uniforms(luck, first + 3, steps))
    said = behaviour.survey_answer(c, of.satisfaction, noise)
    return np.where(asked, np.where(answers, said, NOT_ANSWERED), NOT_ASKED).astype(np.int64)


def arrivals(world: World, plan: Plan, start_us: int, end_us: int) -> list[tuple[int, Visit]]:
    """When each person opens the app: once at least, more often the longer the run, by the hours' rhythm."""
    people = world.rows_of_people(list(plan.user_ids))
    of = keys(plan.seed, world.people.user_ids[people], LIVE_SESSION)
    moments, rhythm = _rhythm(start_us, end_us)
    extra = poisson.cdf(np.arange(MOST_EXTRA), EXTRA_SESSIONS * (end_us - start_us) / DAY_US)
    counts = 1 + np.searchsorted(extra, uniforms(of, Purpose.SESSIONS))
    found = []
    for person, luck, count in zip(people.tolist(), of, counts.tolist(), strict=True):
        drawn = uniforms(luck, Purpose.START, np.arange(count))
        starts_us = np.sort(np.interp(drawn, rhythm, moments)).astype(np.int64)
        for session, at_us in enumerate(starts_us.tolist()):
            found.append((at_us, Visit(person, session, _surface(world, plan, person, session))))
    return found


def _rhythm(start_us: int, end_us: int) -> tuple[Floats, Floats]:
    """Moments of the run, and the share of its traffic before each."""
    moments = np.linspace(start_us, end_us, 2 + (end_us - start_us) // EVERY_US)
    middles = (moments[:-1] + moments[1:]) / 2
    mass = np.concatenate([[0.0], np.cumsum(behaviour.hour_intensity(middles % DAY_US / HOUR_US))])
    return moments, mass / mass[-1]


def _surface(world: World, plan: Plan, person: int, session: int) -> int:
    """The one asked for; of both, the grid as often as in the world."""
    if plan.surfaces != "both":
        return GRID if plan.surfaces == "grid" else SWIPE
    of: Keys = keys(plan.seed, world.people.user_ids[person], LIVE_SESSION + session)
    return GRID if float(uniforms(of, Purpose.SURFACE)[0]) < world.coefficients.grid_share else SWIPE


def chosen_people(world: World, users: int, seed: int) -> list[int]:
    """Ids of that many people who are no bots, the same for the same seed; ValueError if there are fewer."""
    people = np.flatnonzero(~world.people.bot)
    if not 1 <= users <= len(people):
        raise ValueError(
            f"--users is {users}, must be 1 to {len(people)}: so many people live in this world. "
            "A larger SCALE has more."
        )
    order = np.argsort(uniforms(keys(seed, people), Purpose.START), kind="stable")
    return [int(user) for user in world.people.user_ids[np.sort(people[order[:users]])]]
