"""A world is a pure function of its arguments, and feels the same by pair, by day and by moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from feature_repo.clock import DAY_US
from simulator import behaviour
from simulator.births import FIRST_VIDEO
from simulator.coefficients import PUBLISHED
from simulator.scenarios import CALM, Dial
from simulator.worlds import END_US, World


def with_dial(dial: Dial) -> World:
    start_us = World("tiny", 7).start_us
    return World("tiny", 7, scenario=replace(CALM, name="one", dials=(dial,), start_us=start_us))


def test_a_world_is_pure_in_its_arguments() -> None:
    one, twin = World("tiny", 7), World("tiny", 7)

    assert one == twin
    assert hash(one) == hash(twin)
    assert (one.videos.quality == twin.videos.quality).all()
    assert one.satisfaction(1, FIRST_VIDEO) == twin.satisfaction(1, FIRST_VIDEO)
    assert World("tiny", 8).videos.quality[0] != one.videos.quality[0]


def test_random_pairs_average_to_nothing_with_the_documented_spread() -> None:
    world, rng = World("laptop", 7), np.random.default_rng(7)
    people, videos = rng.integers(1, 5_001, 50_000), FIRST_VIDEO + rng.integers(0, 16_000, 50_000)

    felt = world.satisfaction(people, videos, world.start_us)

    assert abs(felt.mean()) < 0.25
    assert felt.std() == pytest.approx(1.2, abs=0.15)


def test_relevance_has_mean_0_and_deviation_1_on_the_first_day() -> None:
    world, rng = World("laptop", 7), np.random.default_rng(7)

    found = world.relevance(rng.integers(0, 5_000, 50_000), rng.integers(0, 16_000, 50_000), 0)

    assert found.mean() == pytest.approx(0.0, abs=0.03)
    assert found.std() == pytest.approx(1.0, abs=0.02)


def test_relevance_over_many_days_at_once_is_relevance_day_by_day() -> None:
    world, days = World("tiny", 7), np.arange(14)

    together = world.relevance(np.arange(5)[:, None], 3, days)

    alone = [[float(world.relevance(person, 3, day)) for day in days.tolist()] for person in range(5)]
    assert together.tolist() == alone


def test_pull_is_the_equation_of_behaviour_with_the_day_s_taste() -> None:
    world, now_us, person, video = World("tiny", 7), END_US - 3 * DAY_US + 1, 4, 9
    mean, deviation = world.relevance_moments
    dot = world.taste(11)[person].astype(float) @ world.videos.embedding[video].astype(float)
    age_days = (now_us - world.videos.uploaded_us[video]) / DAY_US

    expected = behaviour.pull(
        PUBLISHED,
        (dot - mean) / deviation,
        world.videos.quality[video],
        world.people.leniency[person],
        world.videos.clickbait[video],
        behaviour.freshness(age_days, world.videos.evergreen[video]),
        0.25,
    )

    assert world.pull(person + 1, FIRST_VIDEO + video, now_us, 0.25) == pytest.approx(expected)


def test_weariness_is_taken_off_pull_and_off_nothing_else() -> None:
    fresh, weary = (World("tiny", 7).encounters(np.arange(9), 4, END_US, much) for much in (0.0, 0.5))

    assert fresh.pull - weary.pull == pytest.approx(0.5)
    assert (fresh.satisfaction == weary.satisfaction).all()


def test_a_moment_belongs_to_its_day_and_outside_to_the_nearest() -> None:
    world = World("tiny", 7, future_days=2)
    moments = world.start_us + np.asarray([-1, 0, DAY_US - 1, DAY_US, 15 * DAY_US, 99 * DAY_US])

    assert world.day_of(moments).tolist() == [0, 0, 0, 1, 15, 15]
    assert world.end_us == END_US + 2 * DAY_US


def test_a_long_view_makes_a_like_likelier_and_a_violation_a_report() -> None:
    world = World("laptop", 7)
    violating = FIRST_VIDEO + np.flatnonzero(world.videos.violation == 1.0)[:50]

    chances = world.label_probabilities(np.arange(1, 51), violating, END_US)

    assert set(chances) == {"click", "long_view", *behaviour.REACTIONS}
    assert (chances["click"] >= chances["long_view"]).all()
    assert chances["report"].mean() > 0.003


def test_a_viral_topic_pulls_more_in_its_hours_at_the_same_satisfaction() -> None:
    calm, start_us = World("tiny", 7), World("tiny", 7).start_us
    topic = int(calm.videos.topics[5])
    values = (("topic", float(topic)), ("logits", 2.0))
    viral = with_dial(Dial("viral", start_us + 3 * DAY_US, start_us + 4 * DAY_US, values))
    moments = start_us + np.asarray([2, 3, 4]) * DAY_US

    gained = viral.pull(1, FIRST_VIDEO + 5, moments) - calm.pull(1, FIRST_VIDEO + 5, moments)

    assert gained == pytest.approx([0.0, 2.0, 0.0])
    assert (
        viral.satisfaction(1, FIRST_VIDEO + 5, moments) == calm.satisfaction(1, FIRST_VIDEO + 5, moments)
    ).all()


def test_like_times_multiplies_the_odds_of_a_like_only() -> None:
    calm, start_us = World("tiny", 7), World("tiny", 7).start_us
    doubled = with_dial(Dial("like_times", start_us, values=(("times", 2.0),)))
    users, videos = np.arange(1, 101), FIRST_VIDEO + np.arange(100)

    before, after = (w.label_probabilities(users, videos, END_US) for w in (calm, doubled))
    rare = before["like"] < 0.001

    assert after["like"][rare] / before["like"][rare] == pytest.approx(2.0, rel=0.01)
    assert all((after[name] == before[name]).all() for name in before if name != "like")


def test_an_id_of_another_world_is_an_error_naming_the_range() -> None:
    with pytest.raises(KeyError, match="user ids run from 1 to 400"):
        World("tiny", 7).satisfaction(401, FIRST_VIDEO)


def test_a_future_before_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="future_days is -1, must be 0 or more"):
        World("tiny", 7, future_days=-1)
