"""Is a slate, kept as one row, every event it stands for?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.events import impression_id
from feature_repo.journal import Journal, frame_of
from feature_repo.log import EventLog
from feature_repo.schemas import BadLog, validated
from feature_repo.slates import Slate, events_of, heard, shown_by
from tests.feature_repo.builders import a_slate, at, watched_event

ITEMS = st.lists(
    st.tuples(st.integers(0, 2**53), st.floats(0, 1), st.booleans(), st.sampled_from(["trending", "towers"])),
    max_size=8,
)


def served_by_hand(slate: Slate, place: int) -> dict[str, Any]:
    """One item's event, as the schema of events has it."""
    asked, name = slate.requested, impression_id(slate.requested["request_id"], place)
    return {
        "kind": "served",
        "event_id": f"served/{name}",
        "event_time_us": asked["event_time_us"],
        "known_time_us": asked["known_time_us"],
        "request_id": asked["request_id"],
        "impression_id": name,
        "user_id": asked["user_id"],
        "video_id": slate.video_ids[place],
        "position": place,
        "propensity": slate.propensities[place],
        "explored": slate.explored[place],
        "source": slate.sources[place],
        "surface": asked["surface"],
        "release_id": asked["release_id"],
        "features": None if slate.features is None else _told(slate.features[place]),
        "features_time_us": asked["features_time_us"],
    }


def _told(row: Any) -> list[float | None]:
    return [None if number != number else number for number in row.tolist()]


@given(items=ITEMS, seed=st.integers(0, 2**32), has_matrix=st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_slate_is_read_as_the_events_it_stands_for(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], seed: int, has_matrix: bool
) -> None:
    bits = np.random.default_rng(seed).integers(0, 2**32, (len(items), 5), dtype=np.uint32).view(np.float32)
    features = np.where(np.isfinite(bits), bits, np.float32(np.nan))
    slate = a_slate(items, features if has_matrix else None)
    journal = Journal(tmp_path_factory.mktemp("journal") / "j.db")

    journal.note(slate)
    told = [entry.event for entry in journal.events()]

    assert told == [dict(slate.requested), *(served_by_hand(slate, place) for place in range(len(items)))]
    assert len(validated("served", frame_of("served", told[1:]))) == len(items)


def test_what_memory_is_told_of_a_slate_is_which_impression_showed_which_video() -> None:
    slate = a_slate([(7, 1.0, False, "trending"), (9, 0.5, True, "towers")])
    row = {**slate.requested, "kind": "slate", "video_id": [7, 9]}

    assert [(item["impression_id"], item["video_id"]) for item in shown_by(row)] == [
        (impression_id(slate.requested["request_id"], place), video) for place, video in enumerate((7, 9))
    ]


def test_an_event_stands_for_itself() -> None:
    assert events_of(watched_event()) == [watched_event()]


def test_slates_and_events_are_read_in_order_of_arrival_and_drained_alike(tmp_path: Path) -> None:
    journal, log = Journal(tmp_path / "j.db"), EventLog(tmp_path / "log")
    journal.append([watched_event("w1")])
    journal.note(a_slate([(7, 1.0, False, "trending"), (9, 0.5, True, "towers")]))
    journal.append([watched_event("w2")])

    kinds = [(entry.number, entry.event["kind"]) for entry in journal.events()]

    assert kinds == [(1, "watched"), (2, "requested"), (2, "served"), (2, "served"), (3, "watched")]
    assert (journal.drain_into(log), journal.drain_into(log)) == (5, 0)
    assert log.read("served")["video_id"].to_list() == [7, 9]
    assert log.read("requested")["known_time"].dt.timestamp("us").to_list() == [at(hours=1)]


@pytest.mark.parametrize(
    ("items", "rule"),
    [
        ([(-1, 1.0, False, "trending")], r"served\.video_id: value -1 is outside"),
        ([(7, 1.5, False, "trending")], r"served\.propensity: value 1\.5 is outside"),
        ([(7, 1.0, 1, "trending")], r"served\.explored: is int"),
        ([(7, 1.0, False, "trending")] * 65, r"have .* 65.*, must have as many each, 64 at most"),
    ],
)
def test_a_slate_of_which_an_event_breaks_a_rule_is_not_stored(
    tmp_path: Path, items: list[Any], rule: str
) -> None:
    journal = Journal(tmp_path / "j.db")

    with pytest.raises(BadLog, match=rule):
        journal.note(a_slate(items))
    assert journal.events() == []


@given(items=ITEMS, text=st.text(), has_matrix=st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_slate_is_heard_without_its_features_and_whole_but_for_them(
    items: list[Any], text: str, has_matrix: bool
) -> None:
    slate = a_slate(items, np.ones((len(items), 5), np.float32) if has_matrix else None)
    told = {**slate.requested, "release_id": text + '","features":'}
    body = replace(slate, requested=told).body().decode()

    row = orjson.loads(body)
    assert row.pop("features", None) is None or has_matrix
    assert heard(body) == row


def test_an_event_is_heard_whole() -> None:
    event = {**watched_event(), "event_id": '"kind":"slate","features":', "features": [1.0]}

    assert heard(orjson.dumps(event).decode()) == event
