"""When a trial ends: surely worse, not perhaps; and never because somebody looked often."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serving.guardrails import Rails, Shown, breach, sequence, share
from serving.tallies import MOST_PEOPLE, NEWEST, Tally

RAILS = Rails()
latencies = arrays(np.float64, st.integers(0, 300), elements=st.floats(0.1, 500))


def shown(
    ms: float = 4.0, failed: int = 0, yes_rate: float = 0.4, people: int = 2_000, n: int = 1_000
) -> Shown:
    """A release whose requests all took the same, of which the first few failed."""
    return Shown(
        np.full(n, ms), np.arange(n) < failed, people, yes_rate, math.sqrt(yes_rate * (1 - yes_rate))
    )


def told_by(rng: np.random.Generator, people: int, yes_rate: float) -> Tally:
    """People of very different appetites, with the same taste."""
    tally = Tally()
    for person in range(people):
        for yes in rng.random(1 + rng.geometric(0.3)) < yes_rate:
            tally.watched(person, bool(yes))
    return tally


@given(ms=latencies, failures=st.floats(0, 1), seed=st.integers(0, 99))
def test_nobody_is_stopped_for_being_as_their_control(ms: np.ndarray, failures: float, seed: int) -> None:
    failed = np.random.default_rng(seed).random(len(ms)) < failures
    same = Shown(ms, failed, 2_000, 0.3, 0.5)

    assert breach(same, same, RAILS) is None


@given(n=st.integers(0, RAILS.least - 1))
def test_little_is_no_reason(n: int) -> None:
    assert breach(shown(ms=900, failed=n, n=n), shown(), RAILS) is None


@given(few=st.integers(0, 1_000), many=st.integers(0, 1_000))
def test_failing_more_never_helps(few: int, many: int) -> None:
    few, many = sorted((few, many))

    assert not (
        breach(shown(failed=few), shown(), RAILS) and breach(shown(failed=many), shown(), RAILS) is None
    )


@pytest.mark.parametrize(
    ("tried", "reason"),
    [
        (shown(failed=80), "8.0% of its requests failed or were degraded, 0.0% of the control's"),
        (shown(ms=60), "p99 is 60.0 ms, at most 25.0; the control's is 4.0"),
        (shown(yes_rate=0.25), "25.0% of what it showed was watched long, 40.0% of the control's"),
    ],
)
def test_each_rail_says_what_was_found_and_what_the_control_did(tried: Shown, reason: str) -> None:
    assert breach(tried, shown(), RAILS) == reason


def test_a_machine_that_is_slow_for_all_stops_nobody() -> None:
    assert breach(shown(ms=300), shown(ms=290), RAILS) is None


def test_a_release_that_always_fails_needs_no_thousand_requests_to_be_stopped() -> None:
    assert breach(shown(failed=60, n=60), shown(), RAILS) is not None


def test_looking_at_every_moment_alarms_no_more_often_than_promised() -> None:
    """A thousand trials of a release that is exactly its control, looked at after each of 2,000 people."""
    rng, alpha = np.random.default_rng(5), 0.05
    wins = np.cumsum(rng.random((1_000, 2_000)) < 0.3, axis=1)
    n = np.arange(1, 2_001)
    rates = wins / n
    widths = np.array([sequence(0.0, 1.0, int(k), alpha).high for k in n])
    smoothed = (wins + 1) / (n + 2)
    missed = np.abs(rates - 0.3) > widths * np.sqrt(smoothed * (1 - smoothed))

    assert missed[:, RAILS.least :].any(axis=1).mean() <= alpha


def test_bounds_narrow_with_what_is_known() -> None:
    widths = [share(np.zeros(n, np.bool_), 0.001).high for n in (50, 200, 1_000)]

    assert widths == sorted(widths, reverse=True)


def test_the_spread_is_what_resampling_people_finds() -> None:
    """The slow twin: the standard deviation of the rate over samples of people, drawn anew."""
    rates, told = [], []
    for seed in range(300):
        found = told_by(np.random.default_rng(seed), 200, 0.4).shown()
        rates.append(found.yes_rate)
        told.append(found.spread / math.sqrt(found.people))

    assert np.mean(told) == pytest.approx(np.std(rates), rel=0.15)


def test_one_person_who_watches_all_day_is_one_person() -> None:
    often, once = Tally(), Tally()
    for impression in range(500):
        often.watched(7, yes=False)
        once.watched(impression, yes=False)

    assert breach(_with_value_of(often), shown(), RAILS) is None
    assert breach(_with_value_of(once), shown(), RAILS) is not None


def test_that_a_few_people_agree_is_no_certainty() -> None:
    tally = Tally()
    for person in range(60):
        tally.watched(person, yes=False)

    assert breach(_with_value_of(tally), shown(yes_rate=0.05, people=20_000), RAILS) is None


def test_a_tally_is_bounded() -> None:
    tally = Tally()
    for number in range(MOST_PEOPLE + 5):
        tally.requested(1.0, failed=False)
        tally.watched(number, yes=True)

    found = tally.shown()
    assert (len(found.ms), found.people) == (NEWEST, MOST_PEOPLE)


def _with_value_of(tally: Tally) -> Shown:
    found = tally.shown()
    return replace(shown(), people=found.people, yes_rate=found.yes_rate, spread=found.spread)
