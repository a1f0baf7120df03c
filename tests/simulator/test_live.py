"""The world's people and a feed: who comes when, what they say, and how a run ends."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from feature_repo.clock import DAY_US, MINUTE_US, SECOND_US
from feature_repo.schemas import refuse_bad_event
from simulator import live
from simulator.apps import Plan, Surfaces, arrivals, chosen_people
from simulator.clients import Asked, Event, Health, Item, Refused, Slate
from simulator.coefficients import PUBLISHED
from simulator.live import GIVE_UP, Outcome, WallPace, lived
from simulator.swipes import REMEMBERED
from simulator.worlds import END_US, World

LIKE, COMMENT, SHARE, PROFILE, HIDE, REPORT, _ = PUBLISHED.reactions
FOLLOW = (-4.0, 0.9, 1.4, 0.5)
EAGER = PUBLISHED._replace(survey_share=0.2, reactions=(LIKE, COMMENT, SHARE, PROFILE, HIDE, REPORT, FOLLOW))
"""People who follow, and are asked, far more often than usual: a short run has some of everything."""
WORLD = World("tiny", 7, EAGER)
HOURS = 6 * 60 * MINUTE_US


class ToldPace:
    """A clock that is where the run says it is."""

    def __init__(self, length_us: int = HOURS) -> None:
        self.start_us, self.end_us = END_US, END_US + length_us
        self.now_us = END_US

    def until(self, moment_us: int) -> int | None:
        self.now_us = max(self.now_us, moment_us)
        return moment_us if moment_us < self.end_us else None


@dataclass
class RandomFeed:
    """Serves uploaded videos the person has not been served yet, by a generator of its own."""

    pace: ToldPace
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))
    served: dict[int, set[int]] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0

    def ask(self, asked: Asked) -> Slate:
        before = self.served.setdefault(asked.user_id, set())
        public = WORLD.videos.video_ids[WORLD.videos.uploaded_us < self.pace.now_us]
        fresh = self.rng.permutation([video for video in public.tolist() if video not in before])
        chosen = [int(video) for video in fresh[: asked.limit]]
        before.update(chosen)
        self.requests += 1
        items = (Item(self.requests * 64 + place, video, place) for place, video in enumerate(chosen))
        return Slate(tuple(items), self.pace.now_us)

    def tell(self, events: Sequence[Event]) -> None:
        for event in events:
            refuse_bad_event({**event, "known_time_us": self.pace.now_us})
            assert event["event_time_us"] <= self.pace.now_us
            self.told.append(dict(event))

    def kinds(self) -> set[str]:
        return {event["kind"] for event in self.told}


class RefusingFeed(RandomFeed):
    """Refuses every slate."""

    def ask(self, asked: Asked) -> Slate:
        raise Refused(f"nothing for {asked.surface}")


class InterruptedFeed(RandomFeed):
    """Somebody presses Ctrl-C during the third request."""

    def ask(self, asked: Asked) -> Slate:
        if self.requests == 3:
            raise KeyboardInterrupt
        return super().ask(asked)


def a_plan(users: int = 40, surfaces: Surfaces = "swipe", seed: int = 3) -> Plan:
    return Plan(chosen_people(WORLD, users, seed), surfaces, seed)


def a_run(plan: Plan, length_us: int = HOURS) -> tuple[Outcome, RandomFeed]:
    pace = ToldPace(length_us)
    feed = RandomFeed(pace)
    return lived(WORLD, feed, plan, pace), feed


@pytest.fixture(scope="module")
def swiped() -> tuple[Outcome, RandomFeed]:
    return a_run(a_plan(users=200), 2 * DAY_US)


def test_every_watch_is_told_once_when_it_was_over(swiped: tuple[Outcome, RandomFeed]) -> None:
    found, feed = swiped
    ended_us = {w.impression_id: w.started_us + 1000 * w.watched_ms for w in found.watches}

    told_us = {e["impression_id"]: e["event_time_us"] for e in feed.told if e["kind"] == "watched"}

    assert len(told_us) == sum(event["kind"] == "watched" for event in feed.told)
    assert {impression: ended_us[impression] for impression in told_us} == told_us
    assert len(told_us) > 0.95 * len(ended_us)


def test_people_react_follow_and_answer_surveys(swiped: tuple[Outcome, RandomFeed]) -> None:
    found, feed = swiped

    assert feed.kinds() == {"watched", "reacted", "followed", "surveyed"}
    assert found.share == 1
    assert found.told == len(feed.told)
    assert found.refused == {}


def test_events_are_told_in_order_of_time_and_never_before_the_slate(
    swiped: tuple[Outcome, RandomFeed],
) -> None:
    found, feed = swiped
    served_us = {item.impression_id: slate.served_us for _, slate in found.slates for item in slate.items}
    times_us = [event["event_time_us"] for event in feed.told]

    assert times_us == sorted(times_us)
    assert all(event["event_time_us"] >= served_us[event["impression_id"]] for event in feed.told)


def test_a_person_watches_one_video_at_a_time(swiped: tuple[Outcome, RandomFeed]) -> None:
    free_us: dict[int, int] = {}
    for watch in sorted(swiped[0].watches, key=lambda each: each.started_us):
        assert watch.started_us >= free_us.get(watch.user_id, 0)
        free_us[watch.user_id] = watch.started_us + 1000 * watch.watched_ms


def test_nobody_follows_a_creator_twice(swiped: tuple[Outcome, RandomFeed]) -> None:
    follows = [(e["user_id"], e["creator_id"]) for e in swiped[1].told if e["kind"] == "followed"]

    assert len(follows) == len(set(follows))


def test_the_same_seed_and_the_same_slates_are_the_same_run() -> None:
    (first, told), (second, again) = (a_run(a_plan()) for _ in range(2))

    assert first.slates == second.slates
    assert first.watches == second.watches
    assert told.told == again.told


def test_another_seed_is_other_people_with_other_luck() -> None:
    assert a_run(a_plan(seed=3))[0].watches != a_run(a_plan(seed=4))[0].watches


def test_a_persons_luck_does_not_depend_on_who_else_is_there() -> None:
    everybody = a_plan(users=20)
    alone = Plan(everybody.user_ids[:1], "swipe", everybody.seed)

    with_others = [
        each for each in arrivals(WORLD, everybody, END_US, END_US + HOURS) if each[1].person == _row(alone)
    ]

    assert with_others == arrivals(WORLD, alone, END_US, END_US + HOURS)


def _row(plan: Plan) -> int:
    return int(WORLD.rows_of_people(plan.user_ids[0]))


def test_on_the_grid_only_tapped_covers_are_watched() -> None:
    found, feed = a_run(a_plan(surfaces="grid"))
    watched = {event["impression_id"] for event in feed.told if event["kind"] == "watched"}
    served = sum(len(slate.items) for _, slate in found.slates)

    assert {asked.surface for asked, _ in found.slates} == {1}
    assert 0 < len(watched) < served / 2
    assert all(event["impression_id"] in watched for event in feed.told)


def test_of_both_surfaces_the_grid_is_opened_as_often_as_in_the_world() -> None:
    visits = [visit for _, visit in arrivals(WORLD, a_plan(380, "both"), END_US, END_US + 30 * DAY_US)]
    share = float(np.mean([visit.surface for visit in visits]))

    assert share == pytest.approx(WORLD.coefficients.grid_share, abs=0.01)


def test_everybody_comes_once_at_least_within_the_run() -> None:
    plan = a_plan(users=50)
    found = arrivals(WORLD, plan, END_US, END_US + 5 * MINUTE_US)

    assert {visit.person for _, visit in found} == set(WORLD.rows_of_people(list(plan.user_ids)).tolist())
    assert all(END_US <= moment < END_US + 5 * MINUTE_US for moment, _ in found)
    assert all(len(visit.topics) == REMEMBERED for _, visit in found)


def test_more_people_come_in_the_evening_than_in_the_morning() -> None:
    moments = np.array([at for at, _ in arrivals(WORLD, a_plan(users=380), END_US, END_US + 7 * DAY_US)])
    hours = (moments % DAY_US) // (60 * MINUTE_US)

    assert (hours == 21).sum() > 3 * (hours == 9).sum()


def test_bots_take_no_part_and_users_outside_the_world_are_refused() -> None:
    people = int((~WORLD.people.bot).sum())

    assert not WORLD.people.bot[WORLD.rows_of_people(chosen_people(WORLD, people, 0))].any()
    for users in (0, people + 1):
        with pytest.raises(ValueError, match=f"--users is {users}, must be 1 to {people}"):
            chosen_people(WORLD, users, 0)


def test_a_feed_that_refuses_is_counted_and_given_up() -> None:
    pace = ToldPace()

    found = lived(WORLD, RefusingFeed(pace), a_plan(), pace)

    assert found.refused == {"nothing for 0": GIVE_UP}
    assert found.gave_up


def test_ctrl_c_ends_with_what_was_done() -> None:
    pace = ToldPace()

    found = lived(WORLD, InterruptedFeed(pace), a_plan(), pace)

    assert found.interrupted
    assert len(found.slates) == 3
    assert 0 < found.share < 1
    assert np.isfinite(found.mean_satisfaction)


def test_a_server_of_another_world_is_told_apart() -> None:
    class Foreign(RandomFeed):
        def ask(self, asked: Asked) -> Slate:  # noqa: ARG002 whatever is asked
            return Slate((Item(1, 5, 0),), END_US)

    with pytest.raises(live.AnotherWorld, match="Give both the same SCALE, SEED and VAR"):
        lived(WORLD, Foreign(ToldPace()), a_plan(), ToldPace())


def test_the_summary_tells_what_was_done(swiped: tuple[Outcome, RandomFeed]) -> None:
    found = swiped[0]
    console = Console(width=100, record=True, file=io.StringIO())

    console.print(live.summary(found))

    told = console.export_text()
    assert f"impressions                 │ {len(found.watches):,}" in told
    assert f"{found.mean_satisfaction:+.3f}" in told
    assert "100%" in told


class FakeWall:
    """A wall clock that moves only by sleeping."""

    def __init__(self) -> None:
        self.now_s, self.slept = 100.0, [0.0]

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def test_the_wall_pace_waits_at_its_speed_and_stamps_by_the_servers_clock() -> None:
    wall = FakeWall()
    pace = WallPace(Health(END_US, 1.0, "r"), minutes=1, speed=60, monotonic=wall, sleep=wall.sleep)

    assert pace.until(END_US + MINUTE_US) == END_US + SECOND_US
    assert wall.slept[-1] == pytest.approx(1.0)
    assert pace.until(END_US) == END_US + SECOND_US
    assert len(wall.slept) == 2


def test_the_wall_pace_ends_after_its_minutes() -> None:
    wall = FakeWall()
    pace = WallPace(Health(END_US, 60.0, "r"), minutes=1, speed=60, monotonic=wall, sleep=wall.sleep)

    assert pace.until(END_US + 59 * MINUTE_US) == END_US + 59 * MINUTE_US
    assert pace.until(END_US + 61 * MINUTE_US) is None
    assert wall.now_s == pytest.approx(160.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--speed", "60y"], "'60y' is no speed, must be 1x to 3600x"),
        (["--speed", "0x"], "'0x' is no speed"),
        (["--speed", "4000x"], "'4000x' is no speed"),
        (["--minutes", "0"], "'0' minutes, must be more than 0"),
        (["--minutes", "soon"], "'soon' minutes"),
        (["--seed", "-1"], "'-1' is no seed"),
        (["--surface", "wall"], "invalid choice: 'wall'"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_in_words(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        live.main(arguments)

    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_without_a_server_the_command_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert live.main(["--url", "http://127.0.0.1:9"]) == 1

    assert "no server answers at http://127.0.0.1:9" in (said := capsys.readouterr().err)
    assert "make serve SPEED=60" in said


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "https://127.0.0.1", "http://", "http://127.0.0.1:b"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be http://HOST:PORT"):
        live.main(["--url", url])
