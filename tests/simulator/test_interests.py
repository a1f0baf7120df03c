"""Interests drift a little a night, go crazy three days a week, and shift when a scenario says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from feature_repo.clock import DAY_US
from simulator import interests, worlds
from simulator.births import TOPICS
from simulator.coefficients import PUBLISHED
from simulator.luck import Purpose, keys, normal, uniforms
from simulator.scenarios import CALM, Dial
from simulator.worlds import World

STILL = PUBLISHED._replace(drift_sd=0.0, craze_logit=0.0)


def a_shift(logits: float, first_day: int) -> World:
    start_us = World("tiny", 7).start_us
    values = (("from_topic", 0.0), ("to_topic", 12.0), ("logits_per_day", logits))
    dial = Dial("interest_shift", start_us + first_day * DAY_US, values=values)
    return World("tiny", 7, STILL, replace(CALM, name="shift", dials=(dial,), start_us=start_us))


def log_odds(world: World, day: int) -> np.ndarray:
    """Of topic 12 over topic 0, per person."""
    mix = world.mix(day)
    return np.asarray(np.log(mix[:, 12] / mix[:, 0]))


def test_the_drift_of_a_person_is_the_same_in_any_company() -> None:
    together = interests.drift(7, np.arange(1, 20_001), day=3)

    alone = interests.drift(7, np.asarray([12_345]), day=3)

    assert (together[12_344] == alone[0]).all()


def test_the_mix_of_a_day_is_the_sum_of_the_nights_before_it() -> None:
    """The slow twin: one person, topic by topic, from the definition."""
    world, person = World("tiny", 7, PUBLISHED._replace(craze_logit=0.0)), 41
    logits = world.people.mix[person].astype(float)
    for day in range(5):
        for topic in range(TOPICS):
            draws = [uniforms(keys(7, 42, day), Purpose.DRIFT + part, topic)[0] for part in (0, 1)]
            logits[topic] += 0.05 * normal(*draws)

    expected = np.exp(logits) / np.exp(logits).sum()

    assert world.mix(5)[person] == pytest.approx(expected, rel=1e-4)


def test_the_walk_spreads_with_the_square_root_of_time() -> None:
    world = World("laptop", 7, PUBLISHED._replace(craze_logit=0.0))

    moved = np.log(world.mix(9)[:, 0] / world.mix(9)[:, 1]) - np.log(world.mix(0)[:, 0] / world.mix(0)[:, 1])

    assert moved.std() == pytest.approx(0.05 * np.sqrt(2 * 9), rel=0.05)


def test_the_order_in_which_days_are_asked_for_does_not_matter() -> None:
    forwards, backwards = World("tiny", 7, future_days=3), World("tiny", 7, future_days=3)
    days = [0, 3, 9, 16]

    there = [forwards.taste(day).copy() for day in days]
    forget_all_days()
    back = [backwards.taste(day) for day in reversed(days)][::-1]

    assert all((one == other).all() for one, other in zip(there, back, strict=True))


def forget_all_days() -> None:
    """Forget every day kept at hand."""
    worlds._walk.cache_clear()
    worlds._taste.cache_clear()


@pytest.mark.parametrize("seed", range(5))
def test_every_week_one_topic_is_a_craze_for_three_days_in_a_row(seed: int) -> None:
    for week in range(6):
        days = [interests.craze(seed, 7 * week + weekday) for weekday in range(7)]
        crazy = [weekday for weekday, (_, now) in enumerate(days) if now]

        assert len({topic for topic, _ in days}) == 1
        assert crazy == list(range(crazy[0], crazy[0] + 3))


def test_a_craze_raises_its_topic_by_its_logit() -> None:
    crazy, calm = World("tiny", 7, STILL._replace(craze_logit=1.0)), World("tiny", 7, STILL)
    day = next(day for day in range(7) if interests.craze(7, day)[1])
    topic = interests.craze(7, day)[0]

    gained = np.log(crazy.mix(day) / calm.mix(day))

    assert np.delete(gained[:, [topic]] - gained, topic, axis=1) == pytest.approx(1.0, abs=1e-3)


def test_an_interest_shift_moves_log_interest_day_by_day() -> None:
    calm, shifted = World("tiny", 7, STILL), a_shift(0.15, first_day=5)

    moved = [(log_odds(shifted, day) - log_odds(calm, day)).mean() for day in (4, 5, 6, 13)]

    assert moved == pytest.approx([0.0, 0.0, 0.3, 2.4], abs=1e-3)


def test_tastes_are_contiguous_unit_vectors() -> None:
    taste = World("tiny", 7).taste(13)

    assert taste.dtype == np.float32
    assert taste.flags.c_contiguous
    assert np.linalg.norm(taste, axis=1) == pytest.approx(1.0, abs=1e-5)
