"""Is every door shut to what breaks a rule of the log?"""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.events import KINDS
from feature_repo.schemas import (
    BadLog,
    _is_plainly_good,
    _value_rules,
    refuse_bad_event,
    validated,
    without_repeats,
)
from tests.feature_repo.builders import a_story, at, watched_event


@pytest.mark.parametrize("kind", KINDS)
def test_a_true_story_is_valid(kind: str) -> None:
    frame = a_story().frame(kind)

    assert validated(kind, frame.select(reversed(frame.columns))).equals(frame)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (pl.col("user_id").cast(pl.Int32), "user_id"),
        (pl.lit(None, pl.Int64).alias("video_id"), "video_id"),
        (pl.lit(None, pl.String).alias("event_id"), "event_id"),
        (pl.lit(-5, pl.Int64).alias("watched_ms"), "watched_ms"),
        (pl.lit("e00006").alias("event_id"), "event_id"),
        (pl.lit(1).alias("mood"), "mood"),
        (pl.col("event_time").dt.replace_time_zone(None), "event_time"),
    ],
)
def test_a_broken_rule_is_refused_by_column(change: pl.Expr, column: str) -> None:
    with pytest.raises(BadLog) as refused:
        validated("watched", a_story().frame("watched").with_columns(change))

    assert (refused.value.kind, refused.value.column) == ("watched", column)


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(BadLog, match=r"watched\.known_time: column is missing"):
        validated("watched", a_story().frame("watched").drop("known_time"))


def test_an_unknown_reaction_is_refused() -> None:
    with pytest.raises(BadLog, match=r"reacted\.reaction: a value must be one of like"):
        validated("reacted", a_story().frame("reacted").with_columns(pl.lit("wow").alias("reaction")))


@pytest.mark.parametrize("answer", [0, 6])
def test_an_answer_is_one_to_five_at_both_doors(answer: int) -> None:
    with pytest.raises(BadLog, match=r"surveyed\.answer"):
        validated("surveyed", a_story().frame("surveyed").with_columns(answer=pl.lit(answer, pl.Int16)))
    with pytest.raises(BadLog, match=r"surveyed\.answer"):
        refuse_bad_event({**a_story().events["surveyed"][1], "answer": answer})


def test_content_of_another_size_is_refused() -> None:
    short = pl.lit([1.0], pl.List(pl.Float32)).alias("content")

    with pytest.raises(BadLog, match=r"uploaded\.content"):
        validated("uploaded", a_story().frame("uploaded").with_columns(short))


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_of_a_true_story_passes_the_row_wise_door(kind: str) -> None:
    for event in a_story().events[kind]:
        refuse_bad_event(event)


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"user_id": None}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"user_id": "1"}, "user_id"),
        ({"watched_ms": -1}, "watched_ms"),
        ({"watched_ms": 2**63}, "watched_ms"),
        ({"mood": 1}, "mood"),
        ({"kind": "dreamt"}, "kind"),
    ],
)
def test_an_event_that_breaks_a_rule_is_refused_by_column(changes: dict[str, Any], column: str) -> None:
    with pytest.raises(BadLog) as refused:
        refuse_bad_event(watched_event(**changes))

    assert refused.value.column == column


REQUESTED = {
    "kind": "requested",
    "event_id": "requested/1",
    **dict.fromkeys(("event_time_us", "known_time_us", "features_time_us"), at()),
    **dict.fromkeys(("request_id", "user_id", "surface", "seed"), 1),
    "limit": 10,
    "explore": True,
    **dict.fromkeys(("release_id", "degraded", "response_sha256"), ""),
}
TRUE = {**{kind: told for kind, told in a_story().events.items() if told}, "requested": [REQUESTED]}
NUMBERS = (0, -1, 1, 63, 64, 2**15, 2**63 - 1, 2**63, 0.5, 1.5, float("nan"))
ODD: tuple[Any, ...] = (None, True, "", "like", [], [0.5], *NUMBERS)


@given(st.sampled_from(list(TRUE)), st.data())
def test_the_short_way_lets_through_no_event_that_breaks_a_rule(kind: str, data: st.DataObject) -> None:
    event = dict(data.draw(st.sampled_from(TRUE[kind])))
    for key in data.draw(st.lists(st.sampled_from([*event, "mood"]), max_size=2)):
        event[key] = data.draw(st.sampled_from(ODD))
    for key in data.draw(st.lists(st.sampled_from(list(event)), max_size=1)):
        del event[key]
    known = event.keys() <= {"kind", *_value_rules(kind)} and event.get("kind") == kind

    if _is_plainly_good(event):
        assert known
        for key, rule in _value_rules(kind).items():
            rule.refuse_bad(event.get(key))


@pytest.mark.parametrize("kind", [kind for kind in TRUE if kind not in ("reacted", "uploaded")])
def test_true_events_whose_numbers_say_it_all_are_let_through_the_short_way(kind: str) -> None:
    assert all(map(_is_plainly_good, TRUE[kind]))


@given(st.lists(st.integers(0, 5), max_size=12))
def test_the_first_of_every_repeated_event_is_kept_in_its_place(told: list[int]) -> None:
    frame = a_story().frame("watched")[told]

    assert without_repeats("watched", frame).equals(
        frame.unique("event_id", keep="first", maintain_order=True)
    )


@given(st.permutations([0, 1, 2, 3, 4, 5, 3]))
def test_a_repeated_id_with_another_body_is_refused_wherever_it_stands(told: list[int]) -> None:
    frame = a_story().frame("watched")[told].with_columns(watched_ms=pl.int_range(pl.len()))

    with pytest.raises(BadLog, match="two different bodies"):
        without_repeats("watched", frame)
