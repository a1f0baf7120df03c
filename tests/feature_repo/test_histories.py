"""Does a history hold exactly the last watches known before the moment, in batch and event by event?"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.histories import (
    HISTORY,
    Told,
    WatchHistory,
    follows_before,
    follows_creator,
    histories_before,
    history_creator_share,
    history_topic_share,
    watched_share,
)
from tests.feature_repo.builders import Story, a_story, at


def test_a_history_is_newest_first_and_padded_with_minus_one() -> None:
    found = histories_before(a_story().frame("watched"), [1], [at(days=20)])

    assert found.video_ids[0].tolist() == [12, 11, 10] + [-1] * (HISTORY - 3)
    assert found.sizes.tolist() == [3]


def test_a_watch_is_in_the_history_strictly_after_it_was_known() -> None:
    moments = [at(hours=9, minutes=1), at(hours=9, minutes=1, us=1)]

    assert histories_before(a_story().frame("watched"), [2, 2], moments).sizes.tolist() == [0, 1]


def test_an_unknown_user_has_an_empty_history() -> None:
    found = histories_before(a_story().frame("watched"), [0, 77], [at(days=20)] * 2)

    assert (found.video_ids == -1).all()
    assert (found.weights == 0).all()


def test_no_watches_at_all_give_empty_histories() -> None:
    assert histories_before(Story().frame("watched"), [1], [at()]).sizes.tolist() == [0]


@pytest.mark.parametrize(
    ("watched_ms", "duration_ms", "share"),
    [(15_000, 30_000.0, 0.5), (90_000, 30_000.0, 1.0), (9_000, np.nan, 0.5), (0, 30_000.0, 0.0)],
)
def test_a_weight_is_the_watched_share(watched_ms: int, duration_ms: float, share: float) -> None:
    assert watched_share(watched_ms, duration_ms) == pytest.approx(share)


watches = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 5)), max_size=30)


@given(watches, st.integers(0, 3), st.integers(-1, 12))
@settings(max_examples=150, deadline=None)
def test_batch_and_online_histories_agree_with_sorting_by_hand(
    told: list[tuple[int, int, int]], user: int, asked: int
) -> None:
    story = Story()
    for number, (who, hour, delay) in enumerate(told):
        story.swipes(who, number, at(hours=hour), watched_ms=1_000 * number, known_us=at(hours=hour + delay))
    watched = story.frame("watched")
    known = watched.filter(
        (pl.col("user_id") == user) & (pl.col("known_time").to_physical() < at(hours=asked))
    )
    by_hand = known.sort("known_time", "event_time", "impression_id")["video_id"].to_list()[::-1][:4]

    batch = histories_before(watched, [user], [at(hours=asked)], size=4)
    online = WatchHistory(size=4)
    online.extend(watched.filter(pl.col("known_time").to_physical() < at(hours=asked)))

    assert [video for video in batch.video_ids[0].tolist() if video >= 0] == by_hand
    videos, weights = online.latest(user)
    assert videos.tolist() == batch.video_ids[0].tolist()
    assert weights.tolist() == batch.weights[0].tolist()


def test_events_added_out_of_order_make_the_same_history() -> None:
    rows = [Told(1, video, 5_000, 10_000, at(hours=video)) for video in range(30)]
    forward, backward = WatchHistory(), WatchHistory()
    for row in rows:
        forward.add([row])
    for row in reversed(rows):
        backward.add([row])

    assert forward.latest(1)[0].tolist() == backward.latest(1)[0].tolist() == list(range(29, 9, -1))


def test_topic_share_weighs_by_what_was_watched() -> None:
    weights, topics = [[1.0, 0.5, 0.5, 0.0]], [[3, 4, 3, -1]]

    assert history_topic_share(weights, topics, [3, 4, 5, -1]).tolist() == [0.75, 0.25, 0.0, 0.0]


def test_an_empty_history_shares_nothing() -> None:
    assert history_creator_share(np.zeros((2, 4)), np.full((2, 4), -1), [1, 2]).tolist() == [0.0, 0.0]


def test_each_row_may_have_its_own_history() -> None:
    assert history_creator_share([[1.0], [1.0]], [[7], [8]], [7, 7]).tolist() == [1.0, 0.0]


def test_a_follow_counts_strictly_after_it_was_known() -> None:
    followed = a_story().frame("followed")
    moments = [at(hours=20), at(hours=20, us=1), at(hours=21)]

    assert follows_before(followed, [2, 2, 1], [100] * 3, moments).tolist() == [0.0, 1.0, 0.0]


def test_follows_now_are_those_of_the_set() -> None:
    assert follows_creator([1, 2, 3], {3, 1}).tolist() == [1.0, 0.0, 1.0]


@given(
    st.lists(st.tuples(st.integers(-1, 4), st.floats(0, 1, width=32)), min_size=1, max_size=20),
    st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_one_history_for_all_rows_is_the_same_history_in_every_row(
    watches: list[tuple[int, float]], seed: int
) -> None:
    topics = np.array([[topic for topic, _ in watches]])
    weights = np.array([[share for _, share in watches]], np.float32)
    asked = np.random.default_rng(seed).integers(-1, 7, 30)

    once = history_topic_share(weights, topics, asked)

    many = history_topic_share(np.repeat(weights, 30, axis=0), np.repeat(topics, 30, axis=0), asked)
    np.testing.assert_array_equal(once, many)


@given(st.integers(0, 10_000), st.integers(1, 20), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_share_is_that_of_the_definition_to_the_last_bit(seed: int, size: int, one_for_all: bool) -> None:
    rng = np.random.default_rng(seed)
    histories = 1 if one_for_all else 12
    weights = rng.random((histories, size), np.float32) * rng.integers(0, 2, (histories, size), np.int8)
    had, asked = rng.integers(-1, 4, (histories, size)), rng.integers(-1, 5, 12)

    found = history_topic_share(weights, had, asked)

    same = (had == asked[:, None]) & (asked[:, None] >= 0)
    matching, total = np.where(same, weights, np.float32(0)).sum(axis=1), weights.sum(axis=1)
    by_hand = np.where(total > 0, matching / np.where(total > 0, total, 1), 0)
    assert found.tolist() == by_hand.astype(np.float32).tolist()


def test_a_history_without_its_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="need a watch per weight"):
        history_topic_share([[1.0, 0.5]], [[3]], [3])
