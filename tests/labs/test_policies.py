"""Do the compared policies do what they say? On the release of the tiny trained run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from feature_repo.log import EventLog
from feature_repo.places import Run
from labs.policies import Deployed, Memory, Policy, Ranked, Reads, baselines, eligible
from labs.true_value import logistic_of, release_of
from serving.compose import World, compose, world_at
from serving.feed import Feed
from serving.state import PeopleState

PERSON, LIMIT = 7, 10


@dataclass(frozen=True)
class Setting:
    run: Run
    now_us: int
    world: World
    feed: Feed

    def state(self) -> PeopleState:
        return PeopleState.from_log(EventLog(self.run.places.log), self.world.catalog, self.now_us)

    def memory(self) -> Memory:
        return Memory(self.state(), self.world.catalog, self.now_us)


@pytest.fixture(scope="module")
def setting(trained: Run) -> Setting:
    now_us = EventLog(trained.places.log).end_us()
    world = world_at(trained.places, now_us)
    return Setting(trained, now_us, world, compose(release_of(trained.places, version=1), world))


def asked(policy: Policy, setting: Setting) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return policy.slate(PERSON, np.empty(0, np.int64), setting.now_us, LIMIT)


def test_what_a_memory_hears_equals_what_the_server_absorbs(setting: Setting) -> None:
    memory, server = setting.memory(), setting.state()
    videos, watched_ms = setting.world.catalog.video_ids[[5, 3, 400]], np.array([9_000, 0, 70_000])
    durations = [round(1000 * float(setting.world.catalog.duration_s[row])) for row in (5, 3, 400)]

    memory.hear(PERSON, videos, watched_ms)
    for step, (video, watched, duration) in enumerate(zip(videos, watched_ms, durations, strict=True)):
        moment = setting.now_us + step
        server.absorb([watched_event(int(video), int(watched), duration, moment)])

    ours, theirs = memory.query(PERSON, LIMIT), server.query(PERSON, 3, setting.now_us, LIMIT)
    np.testing.assert_array_equal(ours.history, theirs.history)
    np.testing.assert_array_equal(ours.history_weights, theirs.history_weights)
    assert set(ours.seen) == set(theirs.seen)


def watched_event(video: int, watched_ms: int, duration_ms: int, moment: int) -> dict[str, object]:
    return {
        "kind": "watched",
        "user_id": PERSON,
        "video_id": video,
        "impression_id": moment,
        "watched_ms": watched_ms,
        "duration_ms": duration_ms,
        "event_time_us": moment,
        "known_time_us": moment,
    }


def test_the_champion_is_asked_as_deployed_and_answers_the_same_twice(setting: Setting) -> None:
    first, second = (Deployed(setting.feed, setting.memory(), seed=3) for _ in range(2))

    assert asked(first, setting).tolist() == asked(second, setting).tolist()


def test_nobody_is_shown_what_they_just_watched(setting: Setting) -> None:
    policy = Deployed(setting.feed, setting.memory(), seed=3)
    slate = asked(policy, setting)

    policy.hear(PERSON, slate, np.full(len(slate), 1_000))

    assert not set(slate) & set(asked(policy, setting))


def test_every_baseline_shows_a_whole_slate_of_eligible_videos(setting: Setting) -> None:
    allowed = set(eligible(setting.feed, setting.memory().query(PERSON, LIMIT)).ids)
    scores = baselines(Reads(setting.feed), logistic_of(setting.run.places))

    slates = {
        name: asked(Ranked(setting.feed, setting.memory(), score, 3), setting)
        for name, score in scores.items()
    }

    assert {"random", "popularity", "popularity_3d", "shortest_first", "user_topic_rate", "logistic"} == set(
        slates
    )
    assert all(len(set(slate) & allowed) == LIMIT for slate in slates.values())


def test_shortest_first_shows_the_shortest_videos(setting: Setting) -> None:
    score = baselines(Reads(setting.feed), None)["shortest_first"]
    table = eligible(setting.feed, setting.memory().query(PERSON, LIMIT))
    catalog = setting.world.catalog

    slate = asked(Ranked(setting.feed, setting.memory(), score, 3), setting)

    shown = catalog.duration_s[catalog.rows_of(slate)]
    assert shown.tolist() == np.sort(catalog.duration_s[catalog.rows_of(table.ids)])[:LIMIT].tolist()
