"""Are the snapshots what brute force counts, and only where they say something?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_repo.catalogue import PRIORS, STATS, STRENGTH, VIEWS, Feature, View, view_named
from feature_repo.clock import HOUR_US, SECOND_US
from feature_repo.snapshots import read_manifest, source_of, write_snapshots
from tests.feature_repo.builders import Story, a_story, at

UNTIL = at(days=10)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    write_snapshots(a_story().log(root / "log"), root / "features", UNTIL)
    return root / "features"


def table(features: Path, view: str) -> pl.DataFrame:
    return pl.read_parquet(source_of(features, view_named(view)))


def facts_by_hand(story: Story) -> list[dict[str, Any]]:
    """Every countable fact with its owners, one by one."""
    made = {e["video_id"]: e for e in story.events["uploaded"]}
    shown = {e["impression_id"]: e["video_id"] for e in story.events["served"]}
    facts: list[dict[str, Any]] = []

    def tell(name: str, event: dict[str, Any], video: int | None, amount: float = 1.0) -> None:
        upload = made.get(video) if video is not None else None
        known = event["known_time_us"]
        facts.append(
            {
                "event": name,
                "at": event["event_time_us"],
                "known": known,
                "made_known": max(known, upload["known_time_us"]) if upload else known,
                "amount": amount,
                "user_id": event.get("user_id"),
                "video_id": video,
                "creator_id": upload["creator_id"] if upload else event.get("creator_id"),
                "topic": upload["topic"] if upload else None,
            }
        )

    for event in story.events["watched"]:
        length = event["duration_ms"] or 18_000
        tell("impressions", event, event["video_id"])
        tell("watched_share", event, event["video_id"], min(event["watched_ms"] / length, 1.0))
        if event["watched_ms"] >= min(18_000, length):
            tell("long_watch", event, event["video_id"])
    meanings = {"like": "like", "share": "share_or_follow", "hide": "negative", "report": "negative"}
    for event in story.events["reacted"]:
        tell(meanings[event["reaction"]], event, event["video_id"])
    for event in story.events["followed"]:
        tell("share_or_follow", {**event, "creator_id": None}, shown[event["impression_id"]])
        tell("followed", event, None)
    for event in story.events["uploaded"]:
        tell("uploaded", {**event, "user_id": None}, event["video_id"])
    return facts


def value_by_hand(
    facts: list[dict[str, Any]], view: View, feature: Feature, keys: dict[str, int], s: int
) -> float:
    known = "made_known" if view.name in ("creator_stats", "user_topic_stats") else "known"
    mine = [
        f
        for f in facts
        if all(f[key] == value for key, value in keys.items()) and f[known] < s <= f["at"] + feature.window_us
    ]
    count = float(sum(f["amount"] for f in mine if f["event"] == feature.event))
    if feature.kind == "count":
        return count
    shown: int = sum(f["event"] == "impressions" for f in mine)
    smooth: float = (count + STRENGTH * PRIORS[feature.event]) / (shown + STRENGTH)
    return min(1.0, smooth)


@pytest.mark.parametrize("view", STATS, ids=lambda view: view.name)
def test_every_value_of_every_snapshot_agrees_with_counting_by_hand(features: Path, view: View) -> None:
    facts = facts_by_hand(a_story())
    for row in table(features, view.name).iter_rows(named=True):
        s = int(row["event_timestamp"].timestamp()) * SECOND_US
        keys = {key: row[key] for key in view.keys}
        for feature in view.features:
            by_hand = value_by_hand(facts, view, feature, keys, s)
            assert row[feature.name] == pytest.approx(by_hand, abs=2e-7), (feature.name, keys, s)


@pytest.mark.parametrize("view", STATS, ids=lambda view: view.name)
def test_a_snapshot_that_is_missing_would_have_been_all_zeros(features: Path, view: View) -> None:
    facts = facts_by_hand(a_story())
    rows = table(features, view.name)
    for keys in rows.select(view.keys).unique().iter_rows(named=True):
        mine = rows.filter(*(pl.col(key) == value for key, value in keys.items()))
        written = set(mine["event_timestamp"].to_physical().to_list())
        every = view.every_us or HOUR_US
        for s in set(range(at(us=every), UNTIL + 1, every)) - written:
            values = [value_by_hand(facts, view, f, keys, s) for f in view.features]
            assert values == pytest.approx([f.default for f in view.features]), (keys, s)


def test_a_stretch_of_counts_ends_with_one_row_of_zeros(features: Path) -> None:
    mine = table(features, "video_stats").filter(pl.col("video_id") == 10).sort("event_timestamp")
    follow_left_the_window = at(days=7, hours=21)

    assert mine["event_timestamp"].to_physical()[-1] == follow_left_the_window
    assert mine["video_share_rate_7d"].to_list()[-2] > mine["video_share_rate_7d"].to_list()[-1]
    assert mine["video_share_rate_7d"].to_list()[-1] == pytest.approx(PRIORS["share_or_follow"])


def test_the_last_snapshot_is_the_end_of_the_log(features: Path) -> None:
    assert table(features, "video_stats")["event_timestamp"].to_physical().max() == UNTIL


def test_profiles_are_visible_strictly_after_they_were_known(features: Path) -> None:
    mine = table(features, "video_profile").filter(pl.col("video_id") == 12).row(0, named=True)

    assert mine["video_uploaded_us"] == at(days=2, minutes=7)
    assert math.isnan(mine["video_duration_s"])
    clock = table(features, "video_profile")["event_timestamp"].to_physical()
    assert at(days=2, minutes=7, us=1) in clock.to_list()


def test_created_and_event_timestamps_are_the_same_moment_in_microseconds_utc(features: Path) -> None:
    for view in VIEWS:
        rows = table(features, view.name)
        assert rows.schema["event_timestamp"] == pl.Datetime("us", "UTC")
        assert (rows["event_timestamp"] == rows["created_timestamp"]).all()


def test_values_lie_in_the_range_of_the_catalogue(features: Path) -> None:
    for view in VIEWS:
        rows = table(features, view.name)
        for feature in view.features:
            values = rows[feature.name].drop_nans()
            assert ((values >= feature.low) & (values <= feature.high)).all(), feature.name


def test_uploads_of_long_ago_make_no_snapshots_before_the_first_impression(tmp_path: Path) -> None:
    story = Story()
    story.uploads(10, at_us=at(days=-300))
    story.uploads(11, at_us=at(days=-2))
    story.swipes(1, 10, at(hours=7))
    write_snapshots(story.log(tmp_path / "log"), tmp_path / "features", at(days=1))

    rows = table(tmp_path / "features", "creator_stats").sort("event_timestamp")
    assert rows["event_timestamp"].to_physical()[0] == at(hours=6)
    assert rows["creator_uploads_7d"][0] == 1


def test_the_same_log_is_not_worked_on_twice(tmp_path: Path) -> None:
    log = a_story().log(tmp_path / "log")

    first = write_snapshots(log, tmp_path / "features", UNTIL)
    second = write_snapshots(log, tmp_path / "features", UNTIL)

    assert (first.reused, second.reused) == (False, True)
    assert second.rows == first.rows


def test_an_end_between_seconds_is_rounded_up(tmp_path: Path) -> None:
    log = a_story().log(tmp_path / "log")

    assert write_snapshots(log, tmp_path / "features", at(days=9, us=-3)).until_us == at(days=9)


def test_a_later_run_keeps_the_moments_that_were_served_from(tmp_path: Path) -> None:
    log = a_story().log(tmp_path / "log")
    write_snapshots(log, tmp_path / "features", at(days=3, hours=2, seconds=1))
    write_snapshots(log, tmp_path / "features", UNTIL)

    moments = table(tmp_path / "features", "video_stats")["event_timestamp"].to_physical().to_list()
    assert at(days=3, hours=2, seconds=1) in moments


def test_without_a_manifest_nothing_is_trusted(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None


def test_a_log_without_reactions_follows_or_topics_still_has_snapshots(tmp_path: Path) -> None:
    story = Story()
    story.uploads(10, topic=None)
    story.swipes(1, 10, at(hours=1))
    written = write_snapshots(story.log(tmp_path / "log"), tmp_path / "features", at(days=1))

    assert written.rows["user_topic_stats"] == 0
    assert written.rows["user_profile"] == 0
    assert written.rows["video_stats"] > 0
