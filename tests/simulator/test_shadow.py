"""The shadow knows what cleaning should find, and nobody reads it beside another world's log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_series_equal

from feature_repo.log import EventLog
from feature_repo.places import Places
from simulator import logs, shadow
from simulator.days import Lived
from simulator.faults import NONE, USUAL, Faults
from simulator.shadow import MARKER, SCHEMA, NoShadow
from simulator.worlds import World


def a_log(world: World, lived: list[Lived], root: Path, settings: Faults) -> Places:
    """These days, written as logs.py writes them, with a marker."""
    places = Places(root)
    shadow.write_beginnings(places.shadow, world, settings)
    for day in lived:
        frames, truth = logs.day_logged(world, day, settings)
        for kind, frame in frames.items():
            EventLog(places.log).append(kind, frame, f"world-{day.day:03d}")
        shadow.write_day(places.shadow, day.day, truth)
    for folder in (places.log, places.shadow):
        (folder / MARKER).write_text("{}")
    return places


@pytest.fixture(scope="module")
def places(world: World, lived_days: list[Lived], tmp_path_factory: pytest.TempPathFactory) -> Places:
    return a_log(world, lived_days, tmp_path_factory.mktemp("usual"), USUAL)


@pytest.fixture(scope="module")
def truth(places: Places) -> pl.DataFrame:
    return shadow.impressions(places).collect()


def test_cleaning_leaves_exactly_the_impressions_the_shadow_calls_logged(
    places: Places, truth: pl.DataFrame
) -> None:
    cleaned = EventLog(places.log).read("watched", columns=["impression_id"])["impression_id"]

    logged = truth.filter("logged")["impression_id"]

    assert_series_equal(cleaned.sort(), logged.sort())


def test_the_shadow_counts_repeats_and_nulls_as_the_log_shows_them(
    places: Places, truth: pl.DataFrame
) -> None:
    logged = truth.filter("logged")
    watched = EventLog(places.log).read("watched")

    assert EventLog(places.log).audit("watched").repeated == logged["duplicated"].sum() > 0
    assert watched["duration_ms"].null_count() == logged["null_duration"].sum() > 0


def test_every_lost_reaction_is_in_the_shadow(places: Places, truth: pl.DataFrame) -> None:
    likes = truth.filter(pl.col("reactions") & 1 == 1)
    told = EventLog(places.log).read("reacted").filter(pl.col("reaction") == "like")
    sent = likes.filter(pl.col("reactions_dropped") & 1 == 0)

    assert len(sent.join(told, on="impression_id", how="anti")) <= 2  # known after the log's end
    assert len(told.join(sent, on="impression_id", how="anti")) == 0
    assert len(sent) < len(likes)


def test_undoing_the_skew_finds_when_it_happened(places: Places, truth: pl.DataFrame) -> None:
    watched = EventLog(places.log).read("watched").join(truth, on="impression_id", suffix="_true")
    ended_us = watched["started_us"] + 1000 * watched["watched_ms_true"]
    told_us, known_us = (watched[name].to_physical() for name in ("event_time", "known_time"))

    assert (told_us <= ended_us + watched["skew_us"]).all()
    assert ((told_us == ended_us + watched["skew_us"]) | (told_us == known_us)).all()
    assert (known_us == watched["known_us"]).all()


def test_without_faults_the_log_is_the_shadow(world: World, lived_days: list[Lived], tmp_path: Path) -> None:
    places = a_log(world, lived_days[:2], tmp_path, NONE)
    truth = shadow.impressions(places).filter("reached").collect()
    watched = EventLog(places.log).read("watched").sort("impression_id")

    assert not truth.select("dropped", "duplicated", "late", "null_duration").to_numpy().any()
    assert watched["watched_ms"].equals(truth.sort("impression_id")["watched_ms"], check_names=True)


def test_bayes_probabilities_are_those_of_the_world(world: World, truth: pl.DataFrame) -> None:
    swipes = truth.filter((pl.col("surface") == 0) & ~pl.col("bot"))
    played_s, length_s = _seconds(world, swipes)

    click = (played_s >= np.minimum(7, length_s)).mean()
    long_view = (played_s >= np.minimum(18, length_s)).mean()

    assert swipes["click"].mean() == pytest.approx(click, abs=0.01)
    assert swipes["long_view"].mean() == pytest.approx(long_view, abs=0.01)


def test_covers_are_tapped_as_often_as_the_shadow_expects(truth: pl.DataFrame) -> None:
    covers = truth.filter((pl.col("surface") == 1) & ~pl.col("bot"))

    assert covers["examined"].all()
    assert covers["click"].mean() == pytest.approx(covers["reached"].mean(), abs=0.03)


def _seconds(world: World, rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    lengths_ms = world.videos.duration_ms[world.rows_of_videos(rows["video_id"])]
    return rows["watched_ms"].to_numpy() / 1000, lengths_ms / 1000


def test_the_shadows_columns_are_its_schemas(truth: pl.DataFrame) -> None:
    assert dict(truth.schema) == dict(SCHEMA)


def test_people_are_known_as_they_are(world: World, places: Places) -> None:
    people = shadow.people(places)

    assert people["bot"].to_list() == world.people.bot.tolist()
    assert people["fans_band"].is_between(0, 5).all()


def test_a_shadow_of_another_world_is_not_read(world: World, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    places = a_log(world, [], tmp_path, USUAL)
    (places.shadow / MARKER).write_text('{"seed": 8}')

    with pytest.raises(NoShadow, match="simulator logs --replace"):
        shadow.impressions(places)
