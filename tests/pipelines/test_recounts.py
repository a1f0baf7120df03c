"""What raw events say a row's columns were, in small stories: nothing before it was known, nothing after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_repo.catalogue import DEFAULTS, STATS
from feature_repo.clock import INSTANT, utc
from feature_repo.log import EventLog
from pipelines.recounts import follows, histories, stored
from tests.feature_repo.builders import Story, a_story, at

STORED = {feature.name: feature.default for view in STATS for feature in view.features}


def asked(
    *moments_us: int, user: int = 2, video: int = 10, creator: int = 100, topic: int = 3
) -> pl.DataFrame:
    """One row per moment, all about the same person and video."""
    keys = {"user_id": user, "video_id": video, "creator_id": creator, "topic": topic}
    times = pl.Series("asked_time", [utc(moment) for moment in moments_us], INSTANT)
    return pl.DataFrame({name: [value] * len(moments_us) for name, value in keys.items()}).with_columns(times)


def column(log: EventLog, name: str, *moments_us: int, **keys: int) -> list[float]:
    return [float(value) for value in stored(log, asked(*moments_us, **keys))[name]]


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return a_story().log(tmp_path)


def test_a_late_watch_counts_from_when_it_was_known(log: EventLog) -> None:
    known = at(hours=9, minutes=1)

    assert column(log, "user_impressions_24h", at(hours=3), known, known + 1) == [0, 0, 1]


def test_a_fact_leaves_a_window_one_microsecond_after_the_window_has_passed(log: EventLog) -> None:
    leaves = at(days=1, hours=2)

    assert column(log, "user_impressions_24h", leaves, leaves + 1) == [1, 0]


def test_an_hour_that_passed_before_the_watch_was_known_never_counted_it(log: EventLog) -> None:
    assert column(log, "user_impressions_1h", at(hours=2, minutes=30), at(hours=9, minutes=2)) == [0, 0]


def test_a_clock_ahead_of_ours_counts_from_when_we_heard_of_it(tmp_path: Path) -> None:
    story = Story()
    story.uploads(10)
    story.swipes(2, 10, at(hours=5), known_us=at(hours=1))

    gone = at(hours=2)

    assert column(story.log(tmp_path), "user_impressions_1h", at(hours=1) + 1, gone, gone + 1) == [1, 1, 0]


def test_a_creator_has_no_facts_before_the_upload_was_known(tmp_path: Path) -> None:
    story = Story()
    story.uploads(10, creator=100, topic=3, known_us=at(hours=4))
    story.swipes(2, 10, at(hours=1))
    log = story.log(tmp_path)

    moments = (at(hours=2), at(hours=4), at(hours=4) + 1)

    assert column(log, "creator_impressions_24h", *moments) == [0, 0, 1]
    assert column(log, "user_topic_impressions_24h", *moments) == [0, 0, 1]
    assert column(log, "video_impressions_24h", *moments) == [1, 1, 1]


def test_a_person_follows_a_creator_once_whatever_is_pressed_again(tmp_path: Path) -> None:
    story = Story()
    story.uploads(10, creator=100)
    for hour in (1, 2, 3):
        story.follows(2, 100, at(hours=hour))

    assert column(story.log(tmp_path), "creator_followers", at(hours=1), at(hours=9)) == [0, 1]


def test_a_rate_is_smoothed_by_twenty_impressions_of_the_prior(log: EventLog) -> None:
    (found,) = column(log, "user_like_rate_7d", at(days=1), user=1, video=10)

    assert found == np.float32((1 + 20 * 0.018) / (2 + 20))


def test_watch_time_is_told_in_seconds(log: EventLog) -> None:
    assert column(log, "user_watched_s_24h", at(hours=3), user=1) == [32]


def test_who_is_unknown_has_the_defaults_and_an_unknown_profile(log: EventLog) -> None:
    found = stored(log, asked(at(days=1), user=99, video=99, creator=-1, topic=-1))

    assert {name: float(found[name][0]) for name in STORED} == pytest.approx(STORED)
    assert np.isnan(
        [found[name][0] for name in ("user_country", "video_duration_s", "video_uploaded_us")]
    ).all()


def test_a_profile_is_unknown_until_it_is_known(tmp_path: Path) -> None:
    story = Story()
    story.joins(2, at(hours=1), known_us=at(hours=3))
    story.uploads(10, seconds=45, at_us=at(hours=1), known_us=at(hours=2))
    log = story.log(tmp_path)

    assert np.isnan(column(log, "user_country", at(hours=3)))
    assert column(log, "user_joined_us", at(hours=3) + 1) == [at(hours=1)]
    assert column(log, "video_duration_s", at(hours=2) + 1) == [45]


def test_the_history_holds_what_was_known_newest_first(log: EventLog) -> None:
    found = histories(log, asked(at(hours=1, minutes=31), at(hours=2), user=1))

    assert found.sizes.tolist() == [1, 2]
    assert found.video_ids[1, :3].tolist() == [11, 10, -1]


def test_a_follow_is_known_after_it_was_pressed(log: EventLog) -> None:
    assert follows(log, asked(at(hours=20), at(hours=20) + 1)).tolist() == [0, 1]


def test_every_default_of_a_window_is_what_no_facts_come_to(log: EventLog) -> None:
    found = stored(log, asked(at(days=-1)))

    assert all(np.float32(DEFAULTS[name]) == found[name][0] for name in STORED)
