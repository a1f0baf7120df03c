"""KuaiRand in our events: what it says is kept, what it does not say is null, what is broken is named."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from feature_repo.log import EventLog
from pipelines.adapters import kuairand
from pipelines.adapters.kuairand import ingest
from pipelines.adapters.kuairand_files import (
    REACTION_COLUMNS,
    BadRealLogs,
    folder_in,
    read_folder,
)
from tests.pipelines.adapters.conftest import HOUR_MS, NOON_MS, impressions, users, videos

AFolder = Callable[..., Path]


def events_of(folder: Path, kind: str) -> pl.DataFrame:
    return kuairand.events(read_folder(folder))[kind]


@pytest.fixture
def a_log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "log")


def test_a_row_is_one_request_of_one_impression_named_by_its_number(a_folder: AFolder) -> None:
    served = events_of(a_folder(), "served")

    assert served["request_id"].to_list() == [0, 1, 2]
    assert served["impression_id"].to_list() == [0, 64, 128]


def test_what_the_log_does_not_say_is_null(a_folder: AFolder) -> None:
    served = events_of(a_folder(), "served")

    assert [name for name in served.columns if served[name].null_count() == 3] == [
        "propensity",
        "source",
        "features",
        "features_time",
    ]


def test_the_surface_is_the_tab(a_folder: AFolder) -> None:
    assert events_of(a_folder(), "served")["surface"].to_list() == [1, 0, 4]


def test_an_event_is_known_when_it_happens_in_utc(a_folder: AFolder) -> None:
    first = events_of(a_folder(), "watched").row(0, named=True)

    assert dt.datetime(2022, 4, 25, 4, tzinfo=dt.UTC) == first["event_time"] == first["known_time"]


def test_the_day_is_that_of_utc_plus_8_whatever_the_date_column_says(a_folder: AFolder) -> None:
    days = read_folder(a_folder()).impressions["day"].to_list()

    assert [day.day for day in days] == [25, 25, 26]


def test_a_watch_of_nothing_is_told_and_a_duration_of_zero_is_unknown(a_folder: AFolder) -> None:
    watched = events_of(a_folder(), "watched").row(1, named=True)

    assert (watched["watched_ms"], watched["duration_ms"]) == (0, None)


def test_every_flag_that_is_set_is_a_reaction(a_folder: AFolder) -> None:
    flags: dict[str, list[object]] = {flag: [1, 0, 0] for flag in REACTION_COLUMNS}
    folder = a_folder(impressions_a=impressions(**flags))

    assert {"like", "comment", "share", "profile", "hide"} == set(events_of(folder, "reacted")["reaction"])


def test_a_follow_names_the_author_of_the_video(a_folder: AFolder) -> None:
    folder = a_folder(impressions_a=impressions(is_follow=[1, 0, 0]))

    assert events_of(folder, "followed").select("user_id", "creator_id").rows() == [(1, 500)]


def test_a_follow_on_an_unlisted_video_is_dropped_and_counted(a_folder: AFolder, a_log: EventLog) -> None:
    folder = a_folder(impressions_a=impressions(is_follow=[1, 0, 0], video_id=[99, 11, 10]))

    counts = ingest(folder, a_log)

    assert tuple(
        counts[name] for name in ("followed", "follows_of_unknown_creators", "impressions_of_unknown_videos")
    ) == (0, 1, 1)


def test_an_upload_is_dated_to_the_start_of_its_day_in_utc_plus_8(a_folder: AFolder) -> None:
    first = events_of(a_folder(), "uploaded").row(0, named=True)

    assert dt.datetime(2022, 4, 8, 16, tzinfo=dt.UTC) == first["event_time"]


def test_the_topic_is_the_first_tag_that_is_a_topic_code(a_folder: AFolder) -> None:
    assert events_of(a_folder(), "uploaded")["topic"].to_list() == [39, 6, None]


def test_bands_are_places_in_order_and_unknown_words_are_null(a_folder: AFolder) -> None:
    joined = events_of(a_folder(), "joined").sort("user_id")

    assert joined.select("activity_band", "fans_band", "follows_band").rows() == [(7, 2, 7), (None, 0, None)]


def test_country_device_and_age_are_never_invented(a_folder: AFolder) -> None:
    joined = events_of(a_folder(), "joined")

    assert sum(joined[name].null_count() for name in ("country", "device", "age_band")) == 6


def test_nobody_acts_before_joining(a_folder: AFolder) -> None:
    tables = kuairand.events(read_folder(a_folder()))
    first = tables["served"].group_by("user_id").agg(pl.col("event_time").min().alias("first"))

    both = tables["joined"].join(first, on="user_id")

    assert (both["event_time"] < both["first"]).all()


def test_unordered_rows_are_sorted_counted_and_keep_their_number(a_folder: AFolder) -> None:
    folder = read_folder(
        a_folder(impressions_a=impressions(time_ms=[NOON_MS, NOON_MS - HOUR_MS, NOON_MS + 1]))
    )

    assert folder.disordered == 1
    assert folder.impressions["request_id"].to_list() == [1, 0, 2]


def test_exact_repeats_are_kept_as_impressions_of_their_own(a_folder: AFolder, a_log: EventLog) -> None:
    rows = impressions()

    counts = ingest(a_folder(impressions_a=pl.concat([rows, rows[:1]])), a_log)

    assert (counts["watched"], counts["repeats_kept"]) == (4, 1)


def test_files_are_read_in_the_order_of_their_names(a_folder: AFolder) -> None:
    later = impressions(time_ms=[NOON_MS + hours * HOUR_MS for hours in (40, 41, 42)])

    folder = read_folder(a_folder(impressions_b=later))

    assert (folder.impressions.height, folder.disordered) == (6, 0)


def test_ingesting_twice_changes_nothing(a_folder: AFolder, a_log: EventLog) -> None:
    folder = a_folder()
    ingest(folder, a_log)
    before = a_log.digest()

    ingest(folder, a_log)

    assert before == a_log.digest()


def test_another_folder_takes_the_place_of_the_one_before(a_folder: AFolder, a_log: EventLog) -> None:
    ingest(a_folder(), a_log)
    later = impressions(time_ms=[NOON_MS + hours * HOUR_MS for hours in (48, 49, 50)])

    counts = ingest(a_folder(impressions_a=later), a_log)

    assert counts["parts_of_another_folder_removed"] > 0
    assert sorted({moment.day for moment in a_log.read("served")["event_time"]}) == [27]


def test_a_parent_of_the_folder_will_do(a_folder: AFolder, tmp_path: Path) -> None:
    a_folder().rename(tmp_path / "kuairand_pure")

    assert tmp_path / "kuairand_pure" == folder_in(tmp_path)


def test_an_empty_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BadRealLogs, match=r"holds no impressions_\*\.parquet.*REAL_LOGS=dir"):
        read_folder(tmp_path)


BROKEN = {
    "a missing column": ("impressions_a", impressions().drop("tab"), "'tab' is missing"),
    "text for numbers": (
        "impressions_a",
        impressions(tab=["a", "b", "c"]),
        "'tab' is String, must be",
    ),
    "numbers for text": ("videos_basic", videos(tag=[1, 2, 3]), "'tag' is Int64, must be text"),
    "a null id": ("impressions_a", impressions(user_id=[1, None, 1]), "'user_id' has 1 nulls"),
    "a flag of 2": (
        "impressions_a",
        impressions(is_like=[0, 2, 0]),
        r"'is_like' has 1 values outside 0",
    ),
    "times in seconds": ("impressions_a", impressions(time_ms=[1, 2, 3]), "'time_ms' has 3 values outside"),
    "a watch below zero": (
        "impressions_a",
        impressions(play_time_ms=[1, -1, 0]),
        "'play_time_ms' has 1",
    ),
    "two rows of a user": ("users", users(user_id=[1, 1]), "1 rows repeat a user_id"),
    "two rows of a video": ("videos_basic", videos(video_id=[10, 10, 10]), "2 rows repeat a video_id"),
    "a day that is none": (
        "videos_basic",
        videos(upload_dt=["x", "2022-04-10", "2022-04-10"]),
        "has 'x', must",
    ),
    "no rows": ("impressions_a", impressions()[:0], "has no rows"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_file_is_refused_naming_the_column_the_rule_and_the_remedy(
    broken: str, a_folder: AFolder
) -> None:
    name, table, words = BROKEN[broken]

    with pytest.raises(BadRealLogs, match=words) as refused:
        read_folder(a_folder(**{name: table}))

    assert name.removesuffix("_a") in str(refused.value)
    assert "REAL_LOGS" in str(refused.value)


def test_a_missing_table_is_named(a_folder: AFolder) -> None:
    with pytest.raises(BadRealLogs, match=r"users\.parquet is missing"):
        read_folder(a_folder(users=None))


def test_a_file_that_is_not_parquet_is_named(a_folder: AFolder) -> None:
    folder = a_folder()
    (folder / "users.parquet").write_text("not parquet")

    with pytest.raises(BadRealLogs, match=r"users\.parquet is not a readable parquet file"):
        read_folder(folder)


def test_nothing_of_a_broken_folder_is_stored(a_folder: AFolder, a_log: EventLog) -> None:
    with pytest.raises(BadRealLogs):
        ingest(a_folder(users=users(user_id=[1, 1])), a_log)

    assert a_log.is_empty()


def test_a_history_without_times_is_never_an_event(a_folder: AFolder, a_log: EventLog) -> None:
    tail = pl.DataFrame({"user_id": [1, 1, 2], "video_id": [10, 11, 12], "pos_from_end": [2, 1, 1]})

    assert ingest(a_folder(history_tail50_to_20220424=tail), a_log)["watched"] == 3


@pytest.fixture
def real_logs() -> Path:
    folder = Path(os.environ.get("REAL_LOGS") or "var/real_logs")
    try:
        return folder_in(folder)
    except BadRealLogs as none:
        pytest.skip(f"no real logs here: {none}")


def test_the_real_log_is_read_whole_and_agrees_with_our_label_on_99_percent(
    real_logs: Path, a_log: EventLog
) -> None:
    counts = ingest(real_logs, a_log)

    assert counts["served"] == counts["watched"] == a_log.read("served").height
    assert counts["long_view_unlike_our_rule"] < 0.01 * counts["watched"]
