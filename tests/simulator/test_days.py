"""What happens in the world obeys its own laws: no video twice, nothing before it exists."""

from __future__ import annotations

import numpy as np
import pytest

from feature_repo.clock import DAY_US, HOUR_US
from simulator.behaviour import HABIT_NEUTRAL
from simulator.births import FIRST_CREATOR, FIRST_USER, FIRST_VIDEO, TOPICS
from simulator.days import Lived, days
from simulator.logging_policy import SLATE
from simulator.sessions import Exposures
from simulator.swipes import same_topic_in_last_6
from simulator.targets import EXPLORED_SHARE
from simulator.truth import World
from simulator.visits import SESSIONS_PER_DAY, visits


@pytest.fixture(scope="module")
def served(lived: list[Lived]) -> Exposures:
    return Exposures.joined([day.served for day in lived])


@pytest.fixture(scope="module")
def watched(served: Exposures) -> Exposures:
    return served.where(served.reached)


def test_a_seen_video_never_returns(served: Exposures, watched: Exposures) -> None:
    met = set()
    pairs = list(zip(watched.people.tolist(), watched.videos.tolist(), strict=True))

    assert len(set(pairs)) == len(pairs)
    order = np.lexsort((served.positions, served.requests, served.sessions, served.people))
    for at in order.tolist():
        pair = (int(served.people[at]), int(served.videos[at]))
        assert pair not in met
        if served.reached[at]:
            met.add(pair)


def test_nothing_is_served_before_it_is_uploaded(world: World, served: Exposures) -> None:
    assert (world.videos.uploaded_us[served.videos] < served.served_us).all()


def test_nobody_is_served_before_they_join(world: World, served: Exposures) -> None:
    assert (world.people.joined_us[served.people] < served.served_us).all()


def test_what_was_reached_is_the_top_of_each_slate(served: Exposures) -> None:
    request = (served.people * 10_000 + served.sessions) * 1000 + served.requests
    order = np.lexsort((served.positions, request))
    reached, first = served.reached[order], served.positions[order] == 0

    assert reached[first].all()
    assert (reached[1:] <= (reached[:-1] | first[1:])).all()


def test_a_person_does_one_thing_at_a_time(watched: Exposures) -> None:
    order = np.lexsort((watched.started_us, watched.people))
    person, start = watched.people[order], watched.started_us[order]
    end = start + watched.watched_ms[order] * 1000

    same = person[1:] == person[:-1]
    assert (start[1:] >= end[:-1])[same].all()


def test_a_session_number_names_its_day(lived: list[Lived]) -> None:
    for day in lived:
        assert (day.served.sessions // SESSIONS_PER_DAY == day.day).all()


def test_the_same_seed_lives_the_same_days(lived: list[Lived]) -> None:
    again = next(iter(days(World("tiny", 7))))

    assert (again.served.videos == lived[0].served.videos).all()
    assert (again.watched.watched_ms == lived[0].watched.watched_ms).all()


def test_another_seed_lives_others(lived: list[Lived]) -> None:
    other = next(iter(days(World("tiny", 8))))

    assert len(other.served.videos) != len(lived[0].served.videos)


def test_the_explored_share_of_slots_is_as_published(served: Exposures) -> None:
    n = len(served.explored)

    assert abs(served.explored.sum() - n * EXPLORED_SHARE) < 3.3 * np.sqrt(n * EXPLORED_SHARE)


def test_the_policy_beats_its_own_exploration(world: World, served: Exposures) -> None:
    user_ids, video_ids = served.people + FIRST_USER, served.videos + FIRST_VIDEO
    felt = world.satisfaction(user_ids, video_ids)

    assert felt[~served.explored].mean() > felt[served.explored].mean()


def test_slates_are_full_while_there_is_something_to_see(served: Exposures) -> None:
    request = (served.people * 10_000 + served.sessions) * 1000 + served.requests

    sizes = np.unique(request, return_counts=True)[1]

    assert (sizes <= SLATE).all()
    assert (sizes == SLATE).mean() > 0.99


def test_newcomers_come_on_the_day_they_join(world: World) -> None:
    start = world.start_us + 3 * DAY_US
    joined = world.people.joined_us
    new = np.flatnonzero((joined >= start) & (joined < start + DAY_US))

    found = visits(world, 3, np.full(world.size.users, HABIT_NEUTRAL))

    assert len(new) > 0
    assert set(new.tolist()) <= set(found.people.tolist())
    assert (found.starts_us[:, 0] > joined[found.people]).all()


def test_the_evening_is_busier_than_the_night(served: Exposures) -> None:
    hours = served.served_us % DAY_US // HOUR_US

    assert (np.isin(hours, [19, 20, 21])).sum() > 1.5 * (np.isin(hours, [3, 4, 5])).sum()


def test_repeated_topics_are_counted_over_six_impressions_across_slates() -> None:
    last = np.asarray([[-1, -1, 4, 5, 4, 4]])

    found = same_topic_in_last_6(np.asarray([[4, 5, 5, 9]]), last)

    assert found.tolist() == [[3.0, 1.0, 2.0, 0.0]]


def test_ids_of_different_kinds_never_meet(world: World) -> None:
    kinds = (world.people.user_ids, world.creators.creator_ids, world.videos.video_ids)

    assert [int(ids[0]) for ids in kinds] == [FIRST_USER, FIRST_CREATOR, FIRST_VIDEO]
    assert len(np.unique(np.concatenate(kinds))) == sum(map(len, kinds))
    assert set(world.videos.topics.tolist()) <= set(range(TOPICS))


@pytest.mark.parametrize(
    ("seen", "latent", "correlation"), [("headline", "clickbait", 0.5), ("production", "quality", 0.5)]
)
def test_classifiers_see_half_of_the_truth(world: World, seen: str, latent: str, correlation: float) -> None:
    found = np.corrcoef(getattr(world.videos, seen), getattr(world.videos, latent))[0, 1]

    assert found == pytest.approx(correlation, abs=0.1)


def test_the_content_encoder_sees_something_but_not_the_truth(world: World) -> None:
    content, embedding = world.videos.content, world.videos.embedding

    cosines = (content * embedding).sum(axis=1) / np.linalg.norm(content, axis=1)

    assert 0.7 < cosines.mean() < 0.8
