"""Do window sums count exactly the facts that the law names, at every moment and at every step?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.catalogue import STATS, STRENGTH, USER_STATS, USER_TOPIC_STATS, View
from feature_repo.clock import HOUR_US, MINUTE_US, NEVER_US
from feature_repo.events import KINDS
from feature_repo.facts import COUNTED, EVENTS, NOBODY, Facts
from feature_repo.formulas import formula
from feature_repo.windows import Keyed, counted_keys, step_moments, sums_at, sums_before, sums_now
from tests.feature_repo.builders import facts_told

Row = tuple[int, int, int, int]  # code, event_us, delay until known, amount

WINDOWS = (4, 9, 10)
EVERYTHING = np.array([(window, 0) for window in range(len(WINDOWS))])
FOREVER = 1_000

rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 15), st.integers(1, 9)), max_size=40
)
asked = st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 60)), max_size=30).map(sorted)


def keyed(told: list[Row]) -> Keyed:
    """Facts of codes 0 to 3 that count for one event."""
    table = np.asarray(sorted(told, key=lambda row: (row[0], row[1] + row[2])), np.int64).reshape(-1, 4)
    event_us, rows = table[:, 1], np.arange(len(table))
    amounts = table[:, 3:].astype(np.int32)
    return Keyed(np.arange(4), table[:, 0], rows, event_us, event_us + table[:, 2], amounts)


def sums_by_hand(told: list[Row], code: int, now: int) -> list[int]:
    return [
        sum(
            amount
            for mine, event, delay, amount in told
            if mine == code and event + delay < now <= event + window
        )
        for window in WINDOWS
    ]


@given(rows, asked)
@settings(max_examples=300)
def test_sums_at_any_moment_agree_with_counting_by_hand(told: list[Row], at: list[tuple[int, int]]) -> None:
    codes, moments = np.asarray(at, np.int64).reshape(-1, 2).T

    found = sums_at(keyed(told), codes, moments, WINDOWS, EVERYTHING)

    assert found.tolist() == [sums_by_hand(told, code, now) for code, now in at]


@given(rows)
@settings(max_examples=200)
def test_sums_change_at_steps_and_at_no_other_moment(told: list[Row]) -> None:
    codes, moments = step_moments(keyed(told), WINDOWS, FOREVER)

    steps = set(zip(codes.tolist(), moments.tolist(), strict=True))
    every = [(code, now) for code in range(4) for now in range(-2, 60)]
    changed = {
        each for each in every if sums_by_hand(told, *each) != sums_by_hand(told, each[0], each[1] - 1)
    }
    assert len(steps) == len(codes)
    assert changed <= steps


@given(rows)
def test_steps_are_told_in_order_and_not_beyond_the_horizon(told: list[Row]) -> None:
    codes, moments = step_moments(keyed(told), WINDOWS, 20)

    found = list(zip(codes.tolist(), moments.tolist(), strict=True))
    assert found == sorted(found)
    assert all(moment <= 20 for _, moment in found)


moments = st.builds(lambda tens, off: tens * 10 * MINUTE_US + off, st.integers(1, 400), st.integers(-1, 1))
heard = st.tuples(moments, st.sampled_from([0, 0, 1, HOUR_US]), st.integers(1, 9))  # event, delay, amount


def impressions_by_hand(told: list[tuple[int, int, int]], now: int) -> list[int]:
    """Of one person, over each window."""
    return [
        sum(amount for event, delay, amount in told if event + delay < now <= event + window)
        for window in USER_STATS.windows_us
    ]


@given(st.lists(heard, max_size=20), moments)
@settings(max_examples=200)
def test_sums_now_agree_with_the_law_and_say_how_long_they_hold(
    told: list[tuple[int, int, int]], now_us: int
) -> None:
    facts = facts_told([(1, event, delay, amount) for event, delay, amount in told])
    known = [(event, delay, amount) for event, delay, amount in told if event + delay < now_us]

    sums, (since,), (until,) = sums_now(
        facts, USER_STATS, np.arange(len(told)), np.array([0, len(told)]), now_us
    )

    wanted = formula("user_stats").wanted
    assert sums[0, wanted[:, 1] == 0].tolist() == impressions_by_hand(told, now_us)
    for moment in (since, (since + now_us) // 2, until - 1):
        if since:
            assert impressions_by_hand(known, moment) == impressions_by_hand(known, now_us)
    assert since == 0 or impressions_by_hand(known, since - 1) != impressions_by_hand(known, since)
    assert until == NEVER_US or impressions_by_hand(known, until - 1) != impressions_by_hand(known, until)


def before_by_hand(facts: Facts, view: View, wanted: list[tuple[int, int]]) -> list[list[int]]:
    """The law, fact by fact, at the event of each."""
    keys, known_us, event_us = (
        c.tolist() for c in (facts.keys_for(view), facts.known_for(view), facts.event_us)
    )
    counted = [
        [row for row in range(len(facts)) if keys[row] == key != NOBODY and known_us[row] < now]
        for key, now in zip(keys, event_us, strict=True)
    ]
    return [
        [
            sum(int(facts.amounts[r, event]) for r in mine if now <= event_us[r] + WINDOWS[w])
            for w, event in wanted
        ]
        for mine, now in zip(counted, event_us, strict=True)
    ]


some_facts = st.lists(
    st.tuples(st.integers(NOBODY, 2), *[st.integers(0, 30)] * 2, st.integers(0, 2)), max_size=40
)  # person, event_us, delay, impressions


@pytest.mark.parametrize("view", [USER_STATS, USER_TOPIC_STATS], ids=lambda view: view.name)
@given(told=some_facts, made=st.integers(0, 40))
@settings(max_examples=200)
def test_what_was_before_each_event_agrees_with_counting_by_hand(
    view: View, told: list[Row], made: int
) -> None:
    """Simultaneous, late, of nobody, of a video heard of later, with nothing to count: all of them ask."""
    facts, wanted = facts_told(told), [(2, 3), (0, 0), (1, 3)]
    more = (facts.amounts + np.arange(len(EVENTS))).astype(np.int32)
    heard_us = np.maximum(facts.known_us, made)
    facts = replace(facts, topic=facts.event_us % 2 - 1, amounts=more, made_known_us=heard_us)

    found = sums_before(facts, view, WINDOWS, np.array(wanted))

    assert found.tolist() == before_by_hand(facts, view, wanted)


@pytest.mark.parametrize("view", STATS, ids=lambda view: view.name)
@given(told=some_facts, event=st.integers(0, len(EVENTS) - 1))
def test_a_fact_has_the_key_of_a_view_that_counts_for_it(view: View, told: list[Row], event: int) -> None:
    facts = facts_told(told)
    keys, amounts = facts.user_id, np.roll(facts.amounts, event, axis=1)
    facts = replace(facts, video_id=keys, creator_id=keys, topic=keys[::-1], amounts=amounts)

    counted = amounts[:, formula(view.name).events].any(axis=1)
    assert counted_keys(facts, view).tolist() == np.where(counted, facts.keys_for(view), NOBODY).tolist()


def test_a_fact_counts_from_after_it_is_known_until_the_window_has_left_it() -> None:
    key, first, amounts = np.array([5]), np.array([0]), np.array([[1]], np.int32)
    one = Keyed(key, first, first, np.array([100]), np.array([107]), amounts)
    moments = np.array([107, 108, 150, 151])

    found = sums_at(one, np.zeros(4, np.int64), moments, (50,), np.array([[0, 0]]))

    assert found.ravel().tolist() == [0, 1, 1, 0]
    assert step_moments(one, (50,), FOREVER)[1].tolist() == [108, 151]


def test_a_fact_known_too_late_never_counts() -> None:
    late = facts_told([(1, 0, max(USER_STATS.windows_us), 1)])

    assert len(Keyed.of(late, USER_STATS).codes) == 0


def test_a_clock_ahead_of_ours_counts_from_when_we_heard() -> None:
    assert facts_told([(1, 500, -200, 1)]).event_us.tolist() == [300]


@pytest.mark.parametrize("view", STATS, ids=lambda view: view.name)
def test_no_counts_are_the_defaults_bit_for_bit(view: View) -> None:
    nothing = np.zeros((1, len(formula(view.name).wanted)), np.int64)

    found = formula(view.name).values(nothing)[0]

    assert found.tolist() == [np.float32(feature.default) for feature in view.features]


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_rates_are_smoothed_and_stay_between_nothing_and_everything(count: int, shown: int) -> None:
    rates = formula("user_stats")
    sums = np.zeros((1, len(rates.wanted)), np.int64)
    number = USER_STATS.names.index("user_like_rate_7d")
    sums[0, rates.amount[number]], sums[0, rates.shown[number]] = count, shown

    found = rates.values(sums)[0, number]

    assert found == np.float32(min((count + STRENGTH * 0.018) / (shown + STRENGTH), 1.0))


def test_what_makes_facts_is_a_kind_of_event() -> None:
    assert set(COUNTED) <= set(KINDS)


def test_every_event_that_is_counted_has_a_place_in_a_fact() -> None:
    assert {f.event for view in STATS for f in view.features} <= set(EVENTS)
