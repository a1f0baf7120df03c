"""Are the steps what brute force counts, at every moment, and do they lie where something changes?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from feature_repo.catalogue import PRIORS, STATS, STRENGTH, VIDEO_STATS, VIEWS, Feature, View, view_named
from feature_repo.steps import HORIZON_US, read_manifest, source_of, write_steps
from tests.feature_repo.builders import Story, a_story, at

UNTIL = at(days=10)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    write_steps(a_story().log(root / "log"), root / "features", UNTIL)
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
                "at": min(event["event_time_us"], known),
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
        tell("watched_ms", event, event["video_id"], event["watched_ms"] / 1000)
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
    facts: list[dict[str, Any]], view: View, feature: Feature, keys: dict[str, int], now: int
) -> float:
    known = "made_known" if view.per_maker else "known"
    mine = [
        f
        for f in facts
        if all(f[key] == value for key, value in keys.items())
        and f[known] < now <= f["at"] + feature.window_us
    ]
    amount = float(sum(f["amount"] for f in mine if f["event"] == feature.event))
    if feature.kind != "rate":
        return amount
    shown: int = sum(f["event"] == "impressions" for f in mine)
    smooth: float = (amount + STRENGTH * PRIORS[feature.event]) / (shown + STRENGTH)
    return min(1.0, smooth)


def values_by_hand(facts: list[dict[str, Any]], view: View, keys: dict[str, int], now: int) -> Any:
    values = [value_by_hand(facts, view, feature, keys, now) for feature in view.features]
    return pytest.approx(values, rel=2e-7, abs=2e-7)


def moments_that_matter(facts: list[dict[str, Any]], view: View) -> list[int]:
    """Every microsecond at which something could change, and the ones around it."""
    clocks = {f[clock] for f in facts for clock in ("known", "made_known")}
    ends = {f["at"] + window for f in facts for window in view.windows_us}
    return sorted({moment + off for moment in clocks | ends for off in (-1, 0, 1, 2)})


@pytest.mark.parametrize("view", STATS, ids=lambda view: view.name)
def test_at_every_moment_that_matters_the_step_is_what_counting_by_hand_gives(
    features: Path, view: View
) -> None:
    facts = facts_by_hand(a_story())
    moments = [moment for moment in moments_that_matter(facts, view) if moment <= UNTIL + HORIZON_US]
    for found, keys in by_key(features, view):
        steps = found["event_timestamp"].to_physical().to_numpy()
        for now in moments:
            place = int(np.searchsorted(steps, now, side="right")) - 1
            told = [f.default for f in view.features] if place < 0 else list(found.row(place)[len(keys) : -1])
            assert told == values_by_hand(facts, view, keys, now), (keys, now)


def by_key(features: Path, view: View) -> Iterator[tuple[pl.DataFrame, dict[str, int]]]:
    """The rows of each key in the order they lie in the file, and the key."""
    rows = table(features, view.name)
    for keys in rows.select(view.keys).unique(maintain_order=True).iter_rows(named=True):
        yield rows.filter(*(pl.col(key) == value for key, value in keys.items())), keys


@pytest.mark.parametrize("view", STATS, ids=lambda view: view.name)
def test_steps_lie_in_order_of_key_and_moment_each_once(features: Path, view: View) -> None:
    rows = table(features, view.name)
    order = rows.select(*view.keys, "event_timestamp")

    assert order.equals(order.sort(*view.keys, "event_timestamp"))
    assert order.is_unique().all()


def test_a_stretch_of_counts_ends_with_one_row_of_zeros(features: Path) -> None:
    mine = table(features, "video_stats").filter(pl.col("video_id") == 10)
    last_watch_left_the_week = at(days=7, hours=20, us=1)  # the follow of 20 hours, known then

    assert mine["event_timestamp"].to_physical()[-1] == last_watch_left_the_week
    assert mine.select(VIDEO_STATS.names).row(-1) == tuple(
        np.float32(f.default) for f in VIDEO_STATS.features
    )


def test_steps_go_on_after_the_log_because_windows_empty(features: Path) -> None:
    assert table(features, "user_stats")["event_timestamp"].to_physical().to_numpy().max() > UNTIL


def test_profiles_are_visible_strictly_after_they_were_known(features: Path) -> None:
    mine = table(features, "video_profile").filter(pl.col("video_id") == 12).row(0, named=True)

    assert mine["video_uploaded_us"] == at(days=2, minutes=7)
    assert math.isnan(mine["video_duration_s"])
    clock = table(features, "video_profile")["event_timestamp"].to_physical()
    assert at(days=2, minutes=7, us=1) in clock.to_list()


def test_moments_are_microseconds_utc(features: Path) -> None:
    for view in VIEWS:
        assert table(features, view.name).schema["event_timestamp"] == pl.Datetime("us", "UTC")


def test_values_lie_in_the_range_of_the_catalogue(features: Path) -> None:
    for view in VIEWS:
        rows = table(features, view.name)
        for feature in view.features:
            values = rows[feature.name].drop_nans()
            assert ((values >= feature.low) & (values <= feature.high)).all(), feature.name


def test_an_upload_of_long_ago_counts_for_its_creator_in_its_own_week_only(tmp_path: Path) -> None:
    story = Story()
    story.uploads(10, at_us=at(days=-300))
    story.uploads(11, at_us=at(days=-2))
    write_steps(story.log(tmp_path / "log"), tmp_path / "features", at(days=1))

    rows = table(tmp_path / "features", "creator_stats")
    assert rows["event_timestamp"].to_physical().to_list()[1] == at(days=-293, us=1)
    assert rows["creator_uploads_7d"].to_list() == [1, 0, 1, 0]


def test_the_same_log_is_not_worked_on_twice(tmp_path: Path) -> None:
    log = a_story().log(tmp_path / "log")

    first = write_steps(log, tmp_path / "features", UNTIL)
    second = write_steps(log, tmp_path / "features", UNTIL)

    assert (first.reused, second.reused) == (False, True)
    assert second.rows == first.rows


def test_an_end_between_seconds_is_rounded_up(tmp_path: Path) -> None:
    log = a_story().log(tmp_path / "log")

    assert write_steps(log, tmp_path / "features", at(days=9, us=-3)).until_us == at(days=9)


def test_without_a_manifest_nothing_is_trusted(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None


def test_a_log_without_reactions_follows_or_topics_still_has_views(tmp_path: Path) -> None:
    story = Story()
    story.uploads(10, topic=None)
    story.swipes(1, 10, at(hours=1))
    written = write_steps(story.log(tmp_path / "log"), tmp_path / "features", at(days=1))

    assert written.rows["user_topic_stats"] == 0
    assert written.rows["user_profile"] == 0
    assert written.rows["video_stats"] > 0
