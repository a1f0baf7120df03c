"""The equations read as they should, and their vectorised forms agree with slow twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import behaviour as b
from simulator.coefficients import PUBLISHED as C
from simulator.coefficients import REACTIONS
from simulator.compiled import compiled
from simulator.luck import Purpose, keys, uniforms


def a_watch_luck(n: int) -> b.WatchLuck:
    of = keys(7, np.arange(n))
    purposes = (
        Purpose.ZERO,
        Purpose.SKIP,
        Purpose.GLANCE,
        Purpose.INTENT,
        Purpose.INTENT_ANGLE,
        Purpose.REPLAY,
        Purpose.REPLAY_LENGTH,
    )
    return b.WatchLuck(*(uniforms(of, purpose) for purpose in purposes))


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def normal_cdf(z: float) -> float:
    return 0.5 * (1.0 + math.erf(z / math.sqrt(2.0)))


def watched_by_hand(x: float, duration: float, luck: dict[str, float], intent: float) -> float:
    """The hurdle, one person and one video at a time."""
    if luck["zero"] < logistic(C.zero_intercept + C.zero_slope * x):
        return 0.0
    if luck["skip"] < logistic(C.skip_intercept + C.skip_slope * x):
        return min(0.15 - C.glance_s * math.log(luck["glance"]), duration)
    if intent < duration:
        return intent
    extra = -C.replay_share * math.log(luck["replay_length"]) if luck["replay"] < C.replay_chance else 0.0
    return duration * min(1.0 + extra, C.longest_share)


def test_watched_seconds_agree_with_the_hurdle_told_slowly() -> None:
    rng, luck = np.random.default_rng(7), a_watch_luck(500)
    pulls, durations = rng.normal(1, 1.5, 500), rng.uniform(5, 200, 500)

    found = b.watched_seconds(C, pulls, durations, luck)

    for n in range(500):
        each = {name: float(getattr(luck, name)[n]) for name in luck._fields}
        noise = math.sqrt(-2 * math.log(each["intent"])) * math.cos(2 * math.pi * each["intent_angle"])
        wish = C.intent_intercept + C.intent_pull * pulls[n] + C.intent_duration * math.log(durations[n])
        intent = math.exp(wish + C.intent_noise * noise)
        assert found[n] == pytest.approx(watched_by_hand(pulls[n], durations[n], each, intent))


@pytest.mark.parametrize("threshold", [b.CLICK_S, b.LONG_VIEW_S])
@pytest.mark.parametrize(("pull", "duration"), [(-1.0, 60.0), (1.5, 10.0), (2.0, 200.0)])
def test_the_bayes_probability_is_what_watches_come_to(
    threshold: float, pull: float, duration: float
) -> None:
    n = 100_000
    watched = b.watched_seconds(C, np.full(n, pull), np.full(n, duration), a_watch_luck(n))

    share = b.reached(watched, np.full(n, duration), threshold).mean()
    expected = float(b.reach_probability(C, np.asarray(pull), np.asarray(duration), threshold))

    assert share == pytest.approx(expected, abs=3.3 * math.sqrt(expected * (1 - expected) / n))


def test_clickbait_raises_pull_and_lowers_satisfaction() -> None:
    assert b.pull(C, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0) > b.pull(C, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert b.satisfaction(C, 0.0, 0.0, 1.0) < b.satisfaction(C, 0.0, 0.0, 0.0)


def test_taste_and_quality_raise_both() -> None:
    for relevance, quality in ((1.0, 0.0), (0.0, 1.0)):
        assert b.pull(C, relevance, quality, 0.0, 0.0, 0.0, 0.0) > 0
        assert b.satisfaction(C, relevance, quality, 0.0) > 0


def chance(reaction: str, satisfied: float, long_view: float = 0.0, violation: float = 0.0) -> float:
    number = REACTIONS.index(reaction)
    return float(b.reaction_probability(C, number, satisfied, long_view, 0.0, violation))


@pytest.mark.parametrize("reaction", ["like", "comment", "share", "profile", "follow"])
def test_praise_rises_with_satisfaction_and_long_views(reaction: str) -> None:
    assert chance(reaction, 1.0) > chance(reaction, 0.0)
    assert chance(reaction, 0.0, long_view=1.0) > chance(reaction, 0.0)


@pytest.mark.parametrize("reaction", ["hide", "report"])
def test_complaint_falls_with_satisfaction(reaction: str) -> None:
    assert chance(reaction, 1.0) < chance(reaction, 0.0)


def test_violations_are_reported_far_more_often() -> None:
    assert chance("report", 0.0, violation=1.0) > 50 * chance("report", 0.0)
    assert chance("hide", 0.0, violation=1.0) == chance("hide", 0.0)


@given(pull=st.floats(-4, 4), bored=st.integers(0, 5), patience=st.floats(-2, 2))
def test_people_leave_sooner_when_bored_and_later_when_pulled_or_patient(
    pull: float, bored: int, patience: float
) -> None:
    def hazard(pull: float, bored: float, patience: float) -> float:
        return float(b.leave_probability(C, pull, bored, patience))

    here = hazard(pull, bored, patience)

    assert here == pytest.approx(
        logistic(C.leave_intercept - patience + C.leave_slope * (pull - C.boredom * bored))
    )
    assert hazard(pull, bored + 1, patience) > here
    assert hazard(pull + 1, bored, patience) < here
    assert hazard(pull, bored, patience + 1) < here


def test_satisfying_sessions_bring_people_back() -> None:
    pleased, bored = (b.next_habit(C, C.habit_neutral, mean) for mean in (2.0, -1.0))

    assert b.return_probability(C, 0.0, pleased) > b.return_probability(C, 0.0, bored)
    assert b.return_probability(C, 0.4, C.habit_neutral) == pytest.approx(logistic(0.4))


def test_the_hours_of_a_day_average_to_one() -> None:
    assert b.hour_intensity(np.arange(0, 24, 0.25)).mean() == pytest.approx(1.0)
    assert b.hour_intensity(np.asarray(21.0)) > b.hour_intensity(np.asarray(5.0))


def test_news_fades_and_evergreens_stay() -> None:
    ages, topical = np.asarray([0.0, 1.0, 10.0]), np.zeros(3, dtype=bool)

    assert b.freshness(ages, topical).tolist() == pytest.approx([1.0, 2**-0.8, 11**-0.8])
    assert b.freshness(ages, ~topical).tolist() == [0.5, 0.5, 0.5]


def test_what_one_has_had_much_of_pulls_less_and_what_is_new_pulls_more() -> None:
    recent = np.asarray([0.0, 1.0, 10.0, 100.0])

    found = b.weariness(C, recent)

    assert found[0] == -C.novelty
    assert (np.diff(found) > 0).all()
    assert found[3] == pytest.approx(C.fatigue * math.log(11.0), abs=1e-6)


def test_eyes_fall_on_covers_by_the_power_of_their_rank() -> None:
    assert b.examination(C, np.arange(4)).tolist() == pytest.approx([1.0, 1 / 2, 1 / 3, 1 / 4])


def test_a_clickbait_cover_is_tapped_more_at_the_same_pull() -> None:
    assert b.tap_probability(C, 0.5, 1.0) > b.tap_probability(C, 0.5, 0.0)


def test_the_lenient_answer_surveys_more_often() -> None:
    assert b.survey_response(C, 0.0) == pytest.approx(0.15, abs=0.001)
    assert b.survey_response(C, 2.0) > b.survey_response(C, -2.0)


@given(satisfied=st.floats(-10, 10), noise=st.floats(-5, 5))
def test_survey_answers_are_one_to_five(satisfied: float, noise: float) -> None:
    assert b.survey_answer(C, satisfied, noise) in {1.0, 2.0, 3.0, 4.0, 5.0}


def test_the_compiled_equations_are_the_same_text() -> None:
    compiled_pull, compiled_tap = compiled(b.pull), compiled(b.tap_probability)
    relevance = np.linspace(-3, 3, 50)

    one_by_one = [compiled_pull(C, float(r), 0.3, -0.2, 0.8, 0.5, 0.1) for r in relevance]

    assert one_by_one == b.pull(C, relevance, 0.3, -0.2, 0.8, 0.5, 0.1).tolist()
    assert compiled_tap(C, 0.4, 0.2) == pytest.approx(float(b.tap_probability(C, 0.4, 0.2)), rel=1e-15)
