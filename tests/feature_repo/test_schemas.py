"""Is every door shut to what breaks a rule of the log?"""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.events import KINDS
from feature_repo.schemas import BadLog, refuse_bad_event, validated, without_repeats
from tests.feature_repo.builders import a_story, watched_event


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
