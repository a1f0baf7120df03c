"""What goes wrong does so at its rate, by event and not by chance of order, and only where it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from feature_repo.clock import DAY_US, HOUR_US, INSTANT
from simulator import faults
from simulator.faults import LOSSY_DEVICE, NONE, SENTINEL, USUAL, Fates, befallen, fates
from simulator.observations import births_observed
from simulator.scenarios import Dial, Scenario
from simulator.worlds import World

MANY = 200_000


def watches(world: World, n: int = MANY) -> pl.DataFrame:
    """Watches of 20 s, one second apart, by everybody in turn."""
    moments = pl.Series(world.start_us + 1_000_000 * np.arange(n)).cast(INSTANT)
    return pl.DataFrame(
        {
            "event_id": [f"watched-{number}" for number in range(n)],
            "event_time": moments,
            "known_time": moments.dt.offset_by("2s"),
            "impression_id": np.arange(n),
            "user_id": world.people.user_ids[np.arange(n) % world.size.users],
            "watched_ms": np.full(n, 20_000),
            "duration_ms": np.full(n, 60_000),
        }
    )


def devices(world: World, frame: pl.DataFrame) -> np.ndarray:
    return world.people.device[world.rows_of_people(frame["user_id"])]


@pytest.fixture(scope="module")
def usual(world: World) -> Fates:
    return fates(world, USUAL, watches(world))


def with_dial(world: World, dial: Dial) -> World:
    return replace(world, scenario=Scenario("a-day", (dial,), world.start_us))


def test_without_faults_everything_arrives_as_it_was(world: World) -> None:
    frame = watches(world, 1_000)

    assert befallen(frame, fates(world, NONE, frame)).equals(frame)


def test_the_lossy_devices_reports_are_lost_six_times_as_often(world: World, usual: Fates) -> None:
    lossy = devices(world, watches(world)) == LOSSY_DEVICE

    assert usual.dropped[~lossy].mean() == pytest.approx(0.005, rel=0.15)
    assert usual.dropped[lossy].mean() == pytest.approx(0.03, rel=0.15)


def test_a_report_that_arrives_twice_is_the_same_report(world: World, usual: Fates) -> None:
    told = befallen(watches(world), usual)
    twice = told.filter(told["event_id"].is_duplicated())

    assert usual.duplicated.mean() == pytest.approx(0.008, rel=0.15)
    assert len(twice) == 2 * usual.duplicated.sum()
    assert len(twice.unique()) == usual.duplicated.sum()


def test_three_in_a_hundred_come_late_and_one_in_eight_hundred_a_day_late(usual: Fates) -> None:
    assert usual.late.mean() == pytest.approx(0.03, rel=0.1)
    assert np.median(usual.delay_us[usual.late]) == pytest.approx(3 * HOUR_US, rel=0.1)
    assert (usual.delay_us > DAY_US).mean() == pytest.approx(0.0013, rel=0.3)
    assert not usual.delay_us[~usual.late].any()


def test_no_event_happens_after_it_is_known_whatever_the_clock(world: World, usual: Fates) -> None:
    told = befallen(watches(world), usual)

    assert (told["event_time"] <= told["known_time"]).all()


def test_few_clocks_are_off_by_whole_hours(world: World) -> None:
    many = replace(world, scale=replace(world.size, users=20_000))
    skew = faults.skews_us(many, USUAL)
    hours = np.abs(skew) > HOUR_US / 2

    assert hours.mean() == pytest.approx(0.01, rel=0.3)
    assert skew[~hours].std() == pytest.approx(3_000_000, rel=0.05)
    assert 1 <= np.rint(np.abs(skew[hours]) / HOUR_US).min() <= np.rint(np.abs(skew).max() / HOUR_US) <= 12


def test_some_durations_are_null(world: World, usual: Fates) -> None:
    told = befallen(watches(world), usual)

    assert told["duration_ms"].null_count() / len(told) == pytest.approx(0.0315, rel=0.1)


def test_the_same_event_meets_the_same_fate_in_any_company(world: World, usual: Fates) -> None:
    alone = fates(world, USUAL, watches(world)[5_000:5_100])

    for column, whole in zip(alone, usual, strict=True):
        assert np.array_equal(column, whole[5_000:5_100])


def test_a_watch_and_the_like_of_it_have_fates_of_their_own(world: World) -> None:
    frame = watches(world, 20_000)
    likes = frame.with_columns(reaction=pl.lit("like"))

    both = fates(world, USUAL, frame).late & fates(world, USUAL, likes).late

    assert both.mean() < 0.003


def test_a_broken_client_loses_more_and_spares_nobody_whom_the_usual_faults_hit(world: World) -> None:
    begins, ends = world.start_us + HOUR_US, world.start_us + 2 * HOUR_US
    broken = with_dial(world, Dial("broken_client", begins, ends, (("device", 0), ("drop_rate", 0.4))))
    frame = watches(world, 10_000)
    moments, lost = frame["event_time"].to_physical(), fates(broken, USUAL, frame).dropped
    hit = (devices(world, frame) == 0) & (moments >= begins).to_numpy() & (moments < ends).to_numpy()

    assert lost[hit].mean() == pytest.approx(0.4, rel=0.1)
    assert np.array_equal(lost[~hit], fates(world, USUAL, frame).dropped[~hit])
    assert (lost >= fates(world, USUAL, frame).dropped).all()


def test_a_unit_change_reports_seconds_from_its_moment_on(world: World) -> None:
    begins = world.start_us + HOUR_US
    frame = watches(world, 10_000)
    changed = with_dial(world, Dial("unit_change", begins, values=(("device", 1),)))
    told = befallen(frame, fates(changed, NONE, frame))
    hit = (devices(world, told) == 1) & (told["event_time"].to_physical() >= begins).to_numpy()

    assert (told["watched_ms"].to_numpy()[hit] == 20).all()
    assert (told["watched_ms"].to_numpy()[~hit] == 20_000).all()


def test_who_has_how_many_fans_is_mostly_unknown(world: World) -> None:
    joined = births_observed(world)["joined"]
    told = faults.with_sentinels(world, USUAL, joined)
    unknown = told["fans_band"] == SENTINEL

    assert unknown.mean() == pytest.approx(0.77, abs=0.07)
    assert told.filter(~unknown)["fans_band"].is_between(0, 5).all()
    assert told.filter(~unknown).equals(joined.filter(~unknown))
