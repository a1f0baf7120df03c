"""Do facts laid out by key sum to what counting them one by one gives, since and until the same moments?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.catalogue import STATS, View
from feature_repo.clock import DAY_US, HOUR_US, MINUTE_US
from feature_repo.facts import EVENTS, Facts, Ints
from feature_repo.prefix_sums import EVERY, PrefixSums
from feature_repo.windows import Sums, counts_in, nothing_counted, sums_now
from tests.feature_repo.builders import facts_told

Told = tuple[int, int, int, int, int]  # key, event, delay, what it counts for, how much

KEYS = 3
moments = st.builds(
    lambda days, tens, off: days * DAY_US + tens * 10 * MINUTE_US + off,
    *(st.integers(0, 16), st.integers(0, 30), st.integers(-1, 1)),
)
delays = st.sampled_from([0, 0, 0, 1, HOUR_US, 2 * DAY_US, 8 * DAY_US])
told = st.lists(
    st.tuples(st.integers(0, KEYS - 1), moments, delays, st.integers(0, len(EVENTS) - 1), st.integers(0, 3)),
    max_size=4 * EVERY,
)
views = pytest.mark.parametrize("view", STATS, ids=lambda view: view.name)


def facts_of_all(told: Sequence[Told]) -> Facts:
    """Each counts for a person, a video, a creator and a topic of one number."""
    facts = facts_told([(key, event, delay, 0) for key, event, delay, _, _ in told])
    for row, (_, _, _, event, amount) in enumerate(told):
        facts.amounts[row, event] = amount
    key = facts.user_id
    return replace(facts, video_id=key, creator_id=key, topic=key)


def laid_out(facts: Facts, view: View) -> PrefixSums:
    rows = np.argsort(facts.event_us, kind="stable")
    rows = rows[counts_in(facts, view)[rows]]
    return PrefixSums.of(facts, view, rows, facts.keys_for(view)[rows])


def asked(view: View) -> Ints:
    """Every key, and one that nobody has."""
    return facts_of_all([(key, 0, 0, 0, 0) for key in range(KEYS + 1)]).keys_for(view)


def one_by_one(facts: Facts, view: View, keys: Ints, now_us: int) -> Sums:
    of_key = facts.keys_for(view)
    rows = [np.flatnonzero((of_key == key) & counts_in(facts, view)) for key in keys.tolist()]
    return sums_now(facts, view, np.concatenate(rows), np.cumsum([0, *map(len, rows)]), now_us)


def as_lists(found: Sums) -> list[list[int]]:
    return [part.tolist() for part in found]


@views
@given(told=told, now_us=moments)
@settings(max_examples=200)
def test_what_is_laid_out_sums_to_what_is_counted_one_by_one(
    view: View, told: list[Told], now_us: int
) -> None:
    facts, keys = facts_of_all(told), asked(view)
    known_us = int(facts.known_us.max(initial=0))

    for moment in (now_us, known_us, known_us + 1, max(now_us, known_us) + 1):
        found = nothing_counted(view, len(keys))
        laid_out(facts, view).count(found, facts, keys, moment)

        assert as_lists(found) == as_lists(one_by_one(facts, view, keys, moment))


@views
@given(told=told, cut=st.integers(0, 4 * EVERY), now_us=moments)
def test_in_parts_it_is_the_same(view: View, told: list[Told], cut: int, now_us: int) -> None:
    facts, keys = facts_of_all(told), asked(view)
    found = nothing_counted(view, len(keys))

    for part in (facts.take(slice(None, cut)), facts.take(slice(cut, None))):
        laid_out(part, view).count(found, part, keys, now_us)

    assert as_lists(found) == as_lists(one_by_one(facts, view, keys, now_us))


@views
def test_no_facts_sum_to_nothing(view: View) -> None:
    facts, found = facts_told([]), nothing_counted(view, KEYS + 1)

    laid_out(facts, view).count(found, facts, asked(view), DAY_US)

    assert as_lists(found) == as_lists(nothing_counted(view, KEYS + 1))
