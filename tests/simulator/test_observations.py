"""The log shows what could be seen from outside, in the shared schema, and nothing latent."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from feature_repo.events import KINDS
from feature_repo.schemas import validated
from simulator.days import Lived
from simulator.exposures import GRID, NOT_ASKED
from simulator.observations import NETWORK_US, RELEASE, births_observed, day_observed, fans_bands
from simulator.worlds import World

Frames = dict[str, pl.DataFrame]
TOLD = [kind for kind in KINDS if kind != "requested"]
"""What a world tells; how a feed was asked is the feed's to tell."""


@pytest.fixture(scope="module")
def frames(world: World, lived_days: list[Lived]) -> Frames:
    observed = [births_observed(world), *(day_observed(world, day) for day in lived_days)]
    return {kind: pl.concat([part[kind] for part in observed if kind in part]) for kind in TOLD}


@pytest.mark.parametrize("kind", TOLD)
def test_the_log_holds_the_schemas_columns_and_no_latent_one(frames: Frames, kind: str) -> None:
    assert frames[kind].columns == list(KINDS[kind])
    validated(kind, frames[kind])


@pytest.mark.parametrize("kind", TOLD)
def test_every_event_has_its_own_id(frames: Frames, kind: str) -> None:
    assert len(frames[kind]) > 0
    assert frames[kind]["event_id"].n_unique() == len(frames[kind])


@pytest.mark.parametrize("kind", TOLD)
def test_nothing_is_known_before_it_happened(frames: Frames, kind: str) -> None:
    event, known = (frames[kind][name].to_physical() for name in ("event_time", "known_time"))

    assert (known >= event).all()


def test_reports_travel_about_two_seconds(frames: Frames) -> None:
    late = (frames["watched"]["known_time"] - frames["watched"]["event_time"]).dt.total_microseconds()

    assert late.mean() == pytest.approx(NETWORK_US, rel=0.03)
    assert (late > 0).all()


def test_every_watch_reaction_and_survey_is_of_something_served_to_that_person(frames: Frames) -> None:
    keys = ["impression_id", "user_id", "video_id"]
    served = frames["served"].select(keys)

    for kind in ("watched", "reacted", "surveyed"):
        assert len(frames[kind].join(served, on=keys, how="anti")) == 0


def test_impression_ids_are_request_and_position(frames: Frames) -> None:
    served = frames["served"]

    assert (served["impression_id"] == served["request_id"] * 64 + served["position"]).all()
    assert served["impression_id"].n_unique() == len(served)
    assert served["release_id"].unique().to_list() == [RELEASE]


def test_a_cover_that_was_not_tapped_is_served_and_never_watched(
    frames: Frames, lived_days: list[Lived]
) -> None:
    rows = np.concatenate([day.rows for day in lived_days])
    covers = frames["served"].filter(pl.col("surface") == GRID)

    watched = covers.join(frames["watched"], on="impression_id", how="semi")

    assert 0 < len(watched) < len(covers)
    assert len(watched) == (rows["reached"] & (rows["surface"] == GRID)).sum()


def test_a_follow_is_once_per_person_and_creator_and_may_come_late(frames: Frames) -> None:
    followed = frames["followed"]
    from_impressions = followed.filter(pl.col("impression_id").is_not_null())
    watched = frames["watched"].select("impression_id", pl.col("event_time").alias("watched_time"))
    waits = from_impressions.join(watched, on="impression_id").select(
        (pl.col("event_time") - pl.col("watched_time")).dt.total_seconds()
    )

    assert followed.select("user_id", "creator_id").is_duplicated().sum() == 0
    assert (waits.to_series() == 0).any()
    assert (waits.to_series() > 3600).any()


def test_a_like_comes_while_watching(frames: Frames) -> None:
    likes = frames["reacted"].filter(pl.col("reaction") == "like").rename({"event_time": "liked_time"})

    both = likes.join(frames["watched"], on="impression_id")
    before_the_end = (both["event_time"] - both["liked_time"]).dt.total_microseconds().to_numpy()

    assert (before_the_end >= 0).all()
    assert (before_the_end <= 1000 * both["watched_ms"].to_numpy()).all()


def test_a_survey_comes_after_the_watch_and_most_are_not_answered(
    frames: Frames, lived_days: list[Lived]
) -> None:
    both = frames["surveyed"].join(frames["watched"], on="impression_id", suffix="_watch")

    assert len(frames["surveyed"]) == sum((day.rows["survey"] != NOT_ASKED).sum() for day in lived_days)
    assert (both["event_time"] >= both["event_time_watch"]).all()
    assert both["answer"].null_count() > len(both) / 2


def test_only_what_became_public_is_uploaded_and_only_that_is_removed(world: World, frames: Frames) -> None:
    public = world.rows_of_videos(frames["uploaded"]["video_id"])
    removed = world.rows_of_videos(frames["removed"]["video_id"])

    assert len(public) < len(world.videos.video_ids)
    assert not world.videos.caught[public].any()
    assert (world.videos.violation[removed] == 1).all()
    assert set(removed) <= set(public)


def test_the_median_account_has_48_fans(world: World) -> None:
    assert np.median(fans_bands(world)) == 2
    assert (fans_bands(world).min(), fans_bands(world).max()) == (0, 5)
