"""Do a table of events and the same events one by one make the same facts, and those of the definition?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.catalogue import SHARE_UNITS
from feature_repo.facts import (
    ACTS,
    EVENTS,
    MOST,
    NO_FACTS,
    NOBODY,
    TOLD,
    Facts,
    Known,
    Makers,
    columns_of,
    columns_of_events,
    facts_of,
)
from feature_repo.labels import LONG_WATCH_MS
from tests.feature_repo.builders import Story, a_busy_story, at, watched_event


def nothing_known() -> Known:
    nothing = NO_FACTS.video_id
    return Known(Makers(nothing, nothing, nothing, nothing))


def facts_told(kind: str, story: Story) -> Facts:
    return facts_of({kind: columns_of_events(kind, story.events[kind])}, nothing_known())


@pytest.mark.parametrize("kind", TOLD)
@given(st.integers(0, 2**32))
@settings(max_examples=5, deadline=None)
def test_a_table_and_its_events_have_the_same_columns(kind: str, seed: int) -> None:
    story = a_busy_story(np.random.default_rng(seed), at(days=3), swipes=60)

    of_table, of_events = (columns_of(kind, story.frame(kind)), columns_of_events(kind, story.events[kind]))

    assert {name: (c.dtype, c.tolist()) for name, c in of_table.items()} == {
        name: (c.dtype, c.tolist()) for name, c in of_events.items()
    }


@given(st.integers(0, 200_000), st.none() | st.integers(1, 200_000))
def test_a_watch_counts_for_what_the_definition_says(watched_ms: int, duration_ms: int | None) -> None:
    event = watched_event(watched_ms=watched_ms, duration_ms=duration_ms)

    facts = facts_of({"watched": columns_of_events("watched", [event])}, nothing_known())

    length_ms = duration_ms or LONG_WATCH_MS
    assert dict(zip(EVENTS, facts.amounts[0].tolist(), strict=True)) == {
        **dict.fromkeys(EVENTS, 0),
        "impressions": 1,
        "long_watch": int(watched_ms >= min(LONG_WATCH_MS, length_ms)),
        "watched_share": round(min(1.0, watched_ms / length_ms) * SHARE_UNITS),
        "watched_ms": watched_ms,
    }


def test_each_reaction_counts_as_its_act_and_others_make_no_fact() -> None:
    story, told = Story(), ("like", "comment", "share", "profile", "hide", "report")
    for number, reaction in enumerate(told):
        story.reacts(64 + number, 1, 10, reaction, at(hours=1))

    facts = facts_told("reacted", story)

    counted = [[EVENTS[place] for place in np.flatnonzero(row)] for row in facts.amounts]
    assert counted == [[ACTS[reaction]] for reaction in told if reaction in ACTS]


def test_of_two_uploads_of_a_video_the_first_told_counts() -> None:
    story = Story()
    story.uploads(7, creator=1, at_us=at(hours=2))
    story.uploads(7, creator=2, at_us=at(hours=1))
    story.uploads(3, creator=5, at_us=at(hours=3))

    facts = facts_told("uploaded", story)
    makers = Makers.of(columns_of("uploaded", story.frame("uploaded")))

    assert (facts.video_id.tolist(), facts.event_us.tolist()) == ([7, 3], [at(hours=2), at(hours=3)])
    assert (makers.video_ids.tolist(), makers.creator_ids.tolist()) == ([3, 7], [5, 1])
    assert set(facts.user_id.tolist()) == {NOBODY}


def test_events_that_count_for_nothing_make_no_facts() -> None:
    assert len(facts_of({}, nothing_known())) == len(NO_FACTS) == 0


def test_an_amount_that_no_fact_can_hold_is_refused() -> None:
    event = watched_event(watched_ms=MOST + 1)

    with pytest.raises(ValueError, match="2147483648 of watched_ms, must be at most 2147483647"):
        facts_of({"watched": columns_of_events("watched", [event])}, nothing_known())
