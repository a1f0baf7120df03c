"""Are labels what people did, within the window, as known then, and mature only when they cannot change?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.clock import DAY_US, HOUR_US
from feature_repo.labels import (
    LABELS,
    LONG_WATCH_MS,
    WINDOWS_US,
    DurationQuantiles,
    Events,
    events_between,
    is_long,
    labels,
    learnable,
    with_watch_quantile,
)
from tests.feature_repo.builders import Story, a_story, at

END = at(days=20)


def labels_of(story: Story, start_us: int = at(), end_us: int = END, known_us: int = END) -> pl.DataFrame:
    kinds = ("served", "watched", "reacted", "followed", "uploaded")
    return labels(Events(**{kind: story.frame(kind) for kind in kinds}), start_us, end_us, known_us)  # type: ignore[typeddict-item]


def labels_by_hand(story: Story, known_us: int) -> list[dict[str, Any]]:
    """The definition, event by event: slow and plain."""
    known = {k: [e for e in v if e["known_time_us"] < known_us] for k, v in story.events.items()}
    rows = []
    for served in known["served"]:
        seen = [w for w in known["watched"] if w["impression_id"] == served["impression_id"]]
        if not seen:
            continue
        acts = [(e["event_time_us"], e["reaction"]) for e in known["reacted"] if _same(e, served)]
        acts += [(e["event_time_us"], "share") for e in known["followed"] if _same(e, served)]
        start = served["event_time_us"]
        enough = min(18_000, seen[0]["duration_ms"] or 18_000)
        long = seen[0]["watched_ms"] >= enough and seen[0]["event_time_us"] < start + HOUR_US
        rows.append(
            {
                "impression_id": served["impression_id"],
                "long_watch": int(long),
                "like": int(any(r == "like" and t < start + HOUR_US for t, r in acts)),
                "share_or_follow": int(any(r == "share" and t < start + DAY_US for t, r in acts)),
                "negative": int(any(r in ("hide", "report") and t < start + DAY_US for t, r in acts)),
                **{f"{label}_mature": start + WINDOWS_US[label] <= known_us for label in LABELS},
            }
        )
    return rows


def _same(act: dict[str, Any], served: dict[str, Any]) -> bool:
    return bool(act["impression_id"] == served["impression_id"])


def test_served_without_watched_is_no_row() -> None:
    story = a_story()
    story.serves(1, 11, at(days=4))

    assert len(labels_of(story)) == len(story.events["watched"])


def test_a_row_carries_who_made_the_video_and_of_which_topic() -> None:
    first = labels_of(a_story()).row(0, named=True)

    assert (first["user_id"], first["video_id"], first["creator_id"], first["topic"]) == (1, 10, 100, 3)


def test_a_video_never_uploaded_keeps_its_row_with_unknown_creator() -> None:
    story = a_story()
    story.swipes(1, 999, at(days=4))

    assert labels_of(story).filter(pl.col("video_id") == 999)["creator_id"].to_list() == [None]


@pytest.mark.parametrize(
    ("watched_ms", "duration_ms", "is_long"),
    [(18_000, 60_000, 1), (17_999, 60_000, 0), (9_000, 9_000, 1), (18_000, None, 1), (17_999, None, 0)],
)
def test_a_long_watch_is_18_seconds_or_the_whole_video(
    watched_ms: int, duration_ms: int | None, is_long: int
) -> None:
    story = Story()
    story.swipes(1, 10, at(), watched_ms, duration_ms)

    assert labels_of(story)["long_watch"].to_list() == [is_long]


@given(st.integers(0, 40_000), st.integers(0, 40_000))
def test_a_long_watch_is_the_same_for_expressions_arrays_and_numbers(watched_ms: int, length_ms: int) -> None:
    table = pl.DataFrame({"watched": [watched_ms], "length": [length_ms]})

    found = (
        table.select(is_long(pl.col("watched"), pl.col("length"))).item(),
        is_long(np.array([watched_ms]), np.array([length_ms]))[0],
        is_long(watched_ms, length_ms),
    )

    assert found == (watched_ms >= min(LONG_WATCH_MS, length_ms),) * 3


def a_swipe_followed_after(delay_us: int, known_us: int | None = None) -> Story:
    story = Story()
    story.follows(1, 100, at(us=delay_us), impression=story.swipes(1, 10, at()), known_us=known_us)
    return story


@pytest.mark.parametrize(("delay_us", "positive"), [(DAY_US - 1, 1), (DAY_US, 0)])
def test_a_follow_counts_within_24_hours_and_not_at_24(delay_us: int, positive: int) -> None:
    assert labels_of(a_swipe_followed_after(delay_us))["share_or_follow"].to_list() == [positive]


@pytest.mark.parametrize(("asked_us", "positive"), [(at(hours=5), 0), (at(hours=5, us=1), 1)])
def test_a_follow_not_yet_known_does_not_count(asked_us: int, positive: int) -> None:
    story = a_swipe_followed_after(HOUR_US, known_us=at(hours=5))

    assert labels_of(story, known_us=asked_us)["share_or_follow"].to_list() == [positive]


@pytest.mark.parametrize(("asked_us", "mature"), [(at(days=1, us=-1), False), (at(days=1), True)])
def test_a_label_is_mature_when_its_window_has_passed_and_not_before(asked_us: int, mature: bool) -> None:
    assert labels_of(a_swipe_followed_after(HOUR_US), known_us=asked_us)["negative_mature"].to_list() == [
        mature
    ]


def test_only_impressions_served_in_the_range_are_rows() -> None:
    rows = labels_of(a_story(), start_us=at(hours=2), end_us=at(days=3))

    assert rows["event_time"].len() == 1


def test_what_is_read_from_the_log_gives_the_same_labels(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)

    found = labels(events_between(log, at(), END, END), at(), END, END)

    assert found.equals(labels_of(a_story()))


acts = st.tuples(
    st.sampled_from(["like", "share", "hide", "report", "comment", "follow"]),
    st.integers(0, 30),  # hours after the swipe
    st.integers(0, 40),  # hours until known
)


@given(st.lists(st.lists(acts, max_size=3), max_size=5), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_labels_agree_with_the_definition_event_by_event(
    swipes: list[list[tuple[str, int, int]]], asked_hours: int
) -> None:
    story = Story()
    story.uploads(10)
    for hour, mine in enumerate(swipes):
        impression = story.swipes(1, 10, at(hours=hour), 10_000 * hour, known_us=at(hours=2 * hour))
        for kind, after, delay in mine:
            when, known = at(hours=hour + after), at(hours=hour + after + delay)
            if kind == "follow":
                story.follows(1, 1, when, impression, known)
            else:
                story.reacts(impression, 1, 10, kind, when, known)

    found = labels_of(story, known_us=at(hours=asked_hours))

    expected = labels_by_hand(story, at(hours=asked_hours))
    assert found.select(list(expected[0]) if expected else []).to_dicts() == expected


def test_watch_time_is_judged_among_videos_of_like_length() -> None:
    rng = np.random.default_rng(0)
    duration = np.repeat([10_000.0, 100_000.0], 2_000)
    watched = (rng.random(4_000) * duration).astype(np.int64)
    quantiles = DurationQuantiles.fitted(watched, duration, buckets=2)

    half_of_each = quantiles.quantiles(np.array([5_000, 50_000]), np.array([10_000.0, 100_000.0]))

    assert half_of_each == pytest.approx([0.5, 0.5], abs=0.05)


def test_quantiles_survive_json() -> None:
    quantiles = DurationQuantiles.fitted(np.arange(500), np.linspace(1, 9, 500), buckets=3, knots=5)

    assert DurationQuantiles.from_json(quantiles.to_json()) == quantiles


def test_equal_watch_times_share_the_middle_of_their_quantiles() -> None:
    quantiles = DurationQuantiles.fitted(np.zeros(300, np.int64), np.full(300, 9.0), buckets=1)

    assert quantiles.quantiles(np.array([0, 1]), np.array([9.0, 9.0])).tolist() == [0.5, 1.0]


def test_the_watch_label_is_filled_from_the_quantiles() -> None:
    rows = labels_of(a_story())
    quantiles = DurationQuantiles.fitted(np.arange(300) * 1000, np.full(300, 30_000.0), buckets=1)

    assert with_watch_quantile(rows, quantiles)["watch"].is_between(0, 1).all()


@pytest.mark.parametrize(("logs", "surfaces"), [("simulated", [0]), ("kuairand", [0, 1])])
def test_a_tapped_cover_of_the_grid_is_no_row_to_learn_swiping_from(logs: str, surfaces: list[int]) -> None:
    rows = labels_of(a_story()).head(2).with_columns(surface=pl.Series([0, 1], dtype=pl.Int16))

    assert rows.filter(learnable(logs))["surface"].to_list() == surfaces
