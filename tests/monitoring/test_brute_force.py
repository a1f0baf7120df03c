"""Three ways to the stored features, one answer: brute force, facts counted per row, and the as-of join."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from feature_repo.catalogue import DEFAULTS, PROFILES, STATS, USER_STATS, VIEWS
from feature_repo.clock import HOUR_US, INSTANT
from feature_repo.counting import counted_columns, profiles_before
from feature_repo.facts import NOBODY, Facts, Ints, counted_facts
from feature_repo.log import EventLog
from feature_repo.places import Places
from feature_repo.steps import profile_table, write_steps
from feature_repo.store import KEYS, training_features
from feature_repo.videos import VideoCatalog
from monitoring.brute_force import brute_force
from tests.feature_repo.builders import Story, a_busy_story, at

LAST = at(days=6, hours=5)
N = 600
NAMES = [feature.name for view in VIEWS for feature in view.features]


def boundaries(facts: Facts) -> Ints:
    """Every moment at which some feature may change, and the microsecond before it."""
    windows = {window for view in STATS for window in view.windows_us}
    changes = [facts.known_us + 1, facts.made_known_us + 1, *(facts.event_us + each + 1 for each in windows)]
    moments = np.unique(np.concatenate(changes))
    within = moments[(moments >= at()) & (moments <= LAST + 20 * 24 * HOUR_US)]
    return np.concatenate([within, within - 1])


def asked_of(log: EventLog, n: int = N) -> pl.DataFrame:
    """Anybody with any video, known or not, at moments where it matters; two rows may be one question."""
    rng = np.random.default_rng(3)
    moments = rng.choice(boundaries(counted_facts(log, log.all_known_us())), n)
    videos = rng.integers(0, 16, n)
    catalog = VideoCatalog.from_log(log)
    keys = {"creator_id": catalog.creators_of(videos), "topic": catalog.topics_of(videos)}
    return pl.DataFrame(
        {"impression_id": np.arange(n), "user_id": rng.integers(0, 12, n), "video_id": videos, **keys}
    ).with_columns(pl.Series("event_time", moments, pl.Int64).cast(INSTANT))


def counted_of(log: EventLog, rows: pl.DataFrame) -> dict[str, NDArray[np.floating]]:
    """The same features counted from facts."""
    moments = rows["event_time"].to_physical().to_numpy()
    asked = {key: rows[key].cast(pl.Int64).fill_null(NOBODY).to_numpy() for key in KEYS}
    columns = dict(counted_columns(counted_facts(log, log.all_known_us()), asked, moments))
    for view in PROFILES:
        table = profile_table(view, log, log.all_known_us())
        columns |= profiles_before(table, view, asked[view.keys[0]], moments)
    return columns


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> EventLog:
    story = a_busy_story(np.random.default_rng(11), LAST)
    return story.log(tmp_path_factory.mktemp("brute") / "log")


@pytest.fixture(scope="module")
def rows(log: EventLog) -> pl.DataFrame:
    return asked_of(log)


@pytest.fixture(scope="module")
def by_force(log: EventLog, rows: pl.DataFrame) -> dict[str, NDArray[np.floating]]:
    return brute_force(log, rows)


def test_brute_force_is_what_facts_count_per_row(
    log: EventLog, rows: pl.DataFrame, by_force: dict[str, NDArray[np.floating]]
) -> None:
    counted = counted_of(log, rows)

    assert set(counted) == set(by_force) == set(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(
            by_force[name].astype(np.float32), counted[name].astype(np.float32), name
        )


def test_brute_force_is_the_as_of_join_of_training(
    log: EventLog, rows: pl.DataFrame, by_force: dict[str, NDArray[np.floating]], tmp_path: Path
) -> None:
    places = Places(tmp_path)
    write_steps(log, places.features, log.all_known_us())

    joined = training_features(places, rows)

    for name in NAMES:
        expected = joined[name].to_numpy().astype(np.float32)
        np.testing.assert_array_equal(by_force[name].astype(np.float32), expected, name)


def test_the_rows_asked_about_are_not_all_alike(by_force: dict[str, NDArray[np.floating]]) -> None:
    alike = [name for name in NAMES if len(np.unique(by_force[name])) < 2]

    assert alike == ["video_production_score"]  # the story tells it of no video


def test_moments_are_exact_though_float32_is_not(
    log: EventLog, rows: pl.DataFrame, by_force: dict[str, NDArray[np.floating]]
) -> None:
    told = VideoCatalog.from_log(log)
    uploaded = by_force["video_uploaded_us"]
    known = ~np.isnan(uploaded)

    places = told.rows_of(rows["video_id"].to_numpy()[known])
    assert uploaded[known].astype(np.int64).tolist() == told.uploaded_us[places].tolist()


@pytest.mark.parametrize(("after_us", "shown"), [(0, 0), (1, 1), (HOUR_US, 1), (HOUR_US + 1, 0)])
def test_a_watch_counts_from_just_after_it_was_known_through_the_end_of_its_window(
    tmp_path: Path, after_us: int, shown: int
) -> None:
    story = Story()
    story.swipes(1, 10, at(hours=5))

    assert impressions_1h(story, tmp_path, at(hours=5) + after_us) == shown


def test_a_late_upload_of_a_watch_counts_from_when_we_heard_of_it_in_what_is_left_of_its_window(
    tmp_path: Path,
) -> None:
    story = Story()
    story.swipes(1, 10, at(hours=5), known_us=at(hours=5, minutes=40))

    moments = [at(hours=5, minutes=40), at(hours=5, minutes=40, us=1), at(hours=6), at(hours=6, us=1)]
    assert [impressions_1h(story, tmp_path / str(moment), moment) for moment in moments] == [0, 1, 1, 0]


def test_a_clock_ahead_of_ours_counts_from_when_we_heard_of_it(tmp_path: Path) -> None:
    story = Story()
    story.swipes(1, 10, at(hours=5, minutes=4), known_us=at(hours=5))

    moments = [at(hours=5, us=1), at(hours=6), at(hours=6, us=1)]
    assert [impressions_1h(story, tmp_path / str(moment), moment) for moment in moments] == [1, 1, 0]


def test_a_log_without_events_gives_defaults(tmp_path: Path) -> None:
    story = Story()
    story.joins(1)

    found = brute_force(story.log(tmp_path), one_row(at(days=1)))

    for feature in (f for view in STATS for f in view.features):
        assert found[feature.name].astype(np.float32) == np.float32(DEFAULTS[feature.name])


def one_row(moment_us: int) -> pl.DataFrame:
    keys = {"impression_id": [1], "user_id": [1], "video_id": [10], "creator_id": [NOBODY], "topic": [NOBODY]}
    return pl.DataFrame(keys).with_columns(pl.lit(moment_us).cast(INSTANT).alias("event_time"))


def impressions_1h(story: Story, folder: Path, moment_us: int) -> int:
    name = USER_STATS.names[0]
    assert name == "user_impressions_1h"
    return int(brute_force(story.log(folder), one_row(moment_us))[name][0])
