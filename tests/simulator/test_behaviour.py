"""The equations read as they should, and their vectorised forms agree with slow twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import behaviour as b
from simulator.luck import Floats, Purpose, keys, uniforms

ONE, NONE = np.ones(1), np.zeros(1)


def a_watch_luck(n: int) -> b.WatchLuck:
    of = keys(7, np.arange(n))
    purposes = (
        Purpose.ZERO,
        Purpose.SKIP,
        Purpose.GLANCE,
        Purpose.INTENT,
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
    if luck["zero"] < logistic(b.ZERO[0] + b.ZERO[1] * x):
        return 0.0
    if luck["skip"] < logistic(b.SKIP[0] + b.SKIP[1] * x):
        return min(0.15 - b.GLANCE_S * math.log(luck["glance"]), duration)
    if intent < duration:
        return intent
    extra = -b.REPLAY_SHARE * math.log(luck["replay_length"]) if luck["replay"] < b.REPLAY_CHANCE else 0.0
    return duration * min(1.0 + extra, b.LONGEST_SHARE)


def test_watched_seconds_agree_with_the_hurdle_told_slowly() -> None:
    from scipy.stats import norm

    rng, luck = np.random.default_rng(7), a_watch_luck(500)
    pulls, durations = rng.normal(1, 1.5, 500), rng.uniform(5, 200, 500)

    found = b.watched_seconds(pulls, durations, luck)

    a, slope, by_length, noise = b.INTENT
    for n in range(500):
        each = {name: float(getattr(luck, name)[n]) for name in luck.__dataclass_fields__}
        log_intent = a + slope * pulls[n] + by_length * math.log(durations[n])
        intent = math.exp(log_intent + noise * norm.ppf(each["intent"]))
        assert found[n] == pytest.approx(watched_by_hand(pulls[n], durations[n], each, intent))


@pytest.mark.parametrize("threshold", [b.CLICK_S, b.LONG_VIEW_S])
@pytest.mark.parametrize(("pull", "duration"), [(-1.0, 60.0), (1.5, 10.0), (2.0, 200.0)])
def test_the_bayes_probability_is_what_watches_come_to(
    threshold: float, pull: float, duration: float
) -> None:
    n = 100_000
    watched = b.watched_seconds(np.full(n, pull), np.full(n, duration), a_watch_luck(n))

    share = b.reached(watched, np.full(n, duration), threshold).mean()
    expected = float(b.reach_probability(np.asarray(pull), np.asarray(duration), threshold))

    assert share == pytest.approx(expected, abs=3.3 * math.sqrt(expected * (1 - expected) / n))


def test_clickbait_raises_pull_and_lowers_satisfaction() -> None:
    assert b.pull(NONE, NONE, NONE, ONE, NONE) > b.pull(NONE, NONE, NONE, NONE, NONE)
    assert b.satisfaction(NONE, NONE, ONE) < b.satisfaction(NONE, NONE, NONE)


def test_taste_and_quality_raise_both() -> None:
    for relevance, quality in ((ONE, NONE), (NONE, ONE)):
        assert b.pull(relevance, quality, NONE, NONE, NONE) > 0
        assert b.satisfaction(relevance, quality, NONE) > 0


def chance(reaction: str, satisfied: float, long_view: float = 0.0, violation: float = 0.0) -> float:
    found: Floats = b.reaction_probability(
        reaction, np.asarray(satisfied), np.asarray(long_view), np.asarray(0.0), np.asarray(violation)
    )
    return float(found)


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
        return float(b.leave_probability(np.asarray(pull), np.asarray(bored), np.asarray(patience)))

    here = hazard(pull, bored, patience)

    assert here == pytest.approx(logistic(b.LEAVE[0] - patience + b.LEAVE[1] * (pull - b.BOREDOM * bored)))
    assert hazard(pull, bored + 1, patience) > here
    assert hazard(pull + 1, bored, patience) < here
    assert hazard(pull, bored, patience + 1) < here


def test_satisfying_sessions_bring_people_back() -> None:
    pleased, bored = (b.next_habit(np.asarray(b.HABIT_NEUTRAL), np.asarray(mean)) for mean in (2.0, -1.0))

    assert b.return_probability(NONE, pleased) > b.return_probability(NONE, bored)
    assert float(b.return_probability(np.asarray(0.4), np.asarray(b.HABIT_NEUTRAL))) == pytest.approx(
        logistic(0.4)
    )


def test_the_hours_of_a_day_average_to_one() -> None:
    assert b.hour_intensity(np.arange(0, 24, 0.25)).mean() == pytest.approx(1.0)
    assert b.hour_intensity(np.asarray(21.0)) > b.hour_intensity(np.asarray(5.0))


def test_news_fades_and_evergreens_stay() -> None:
    ages, topical = np.asarray([0.0, 1.0, 10.0]), np.zeros(3, dtype=bool)

    assert b.freshness(ages, topical).tolist() == pytest.approx([1.0, 2**-0.8, 11**-0.8])
    assert b.freshness(ages, ~topical).tolist() == [0.5, 0.5, 0.5]
