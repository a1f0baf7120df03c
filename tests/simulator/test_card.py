"""The card measures what it says, and two thousand people are already near the published figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from feature_repo.clock import DAY_US
from feature_repo.log import EventLog
from feature_repo.places import Places, Run
from feature_repo.scales import Scale
from simulator import logs, shadow
from simulator.card import card, logged_figures, misses, quick_figures, report
from simulator.card_figures import (
    Estimate,
    activity_quarters,
    decay,
    exposures,
    exposures_by_age,
    gini,
    people_figures,
    weighted_quantile,
)
from simulator.card_random import unseen_draws
from simulator.card_rows import (
    Observed,
    as_logged,
    impressions,
    observed,
    observed_in,
    public_videos,
    with_durations,
)
from simulator.days import days
from simulator.targets import KNOWN_MISSES, RARE, TARGETS, Target, gap, marginal
from simulator.worlds import World

MIDDLE = World(Scale("middle", users=2_000), 7)
ORDER = ("user_id", "served_us", "video_id")


@pytest.fixture(scope="module")
def seen() -> Observed:
    return observed_in(MIDDLE, list(days(MIDDLE)))


@pytest.fixture(scope="module")
def found(seen: Observed) -> dict[str, Estimate]:
    return card(MIDDLE, seen)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A tiny world's log with its faults, and its shadow."""
    places = Places(tmp_path_factory.mktemp("card") / "simulated-tiny")
    logs.written(Run("simulated", "tiny", 7, places))
    return places


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_two_thousand_people_are_near_the_published_figure(
    target: Target, found: dict[str, Estimate]
) -> None:
    """Half as wide again as the band, and the 99.9 % sampling error of so small a world."""
    estimate, slack = found[target.name], 0.5 * (target.high - target.low)
    error = 3.3 / 1.96 * (estimate.high - estimate.low) / 2

    assert target.low - slack - error < estimate.value < target.high + slack + error


def test_intervals_hold_their_figures(found: dict[str, Estimate]) -> None:
    assert all(each.low <= each.value <= each.high for each in found.values())


def test_figures_agree_with_the_plain_formulas(seen: Observed, found: dict[str, Estimate]) -> None:
    rows = seen.impressions

    assert found["like"].value == pytest.approx(rows["like"].mean())
    assert found["play_median_s"].value == pytest.approx(rows["play"].median())
    assert found["corr_play"].value == pytest.approx(np.corrcoef(rows["play"], rows["long_view"])[0, 1])
    assert found["corr_hide"].value == pytest.approx(np.corrcoef(rows["hide"], rows["long_view"])[0, 1])
    assert found["duration_p90_s"].value == pytest.approx(seen.videos["duration_s"].quantile(0.9), rel=0.01)


def test_explored_slots_agree_with_random_exposure_by_the_truth(found: dict[str, Estimate]) -> None:
    explored, truth = found["long_view_explored"], found["long_view_random"]

    assert explored.low - 0.5 * (explored.high - explored.low) < truth.value
    assert truth.value < explored.high + 0.5 * (explored.high - explored.low)


def test_the_quick_figures_are_the_cards_own(found: dict[str, Estimate]) -> None:
    quick = quick_figures(MIDDLE, list(days(MIDDLE)))

    assert quick["exposure_gini"] == found["exposure_gini"].value
    assert quick["gap_mean_days"] == found["gap_mean_days"].value


# --- what the card looks at ------------------------------------------------------------------------------


def test_the_shadow_repairs_what_faults_disturbed(tiny: Places) -> None:
    world = World("tiny", 7)
    truth = observed_in(world, list(days(world)))

    repaired = observed(EventLog(tiny.log), with_durations(world, shadow.impressions(tiny)))

    assert repaired.impressions.sort(ORDER).equals(truth.impressions.sort(ORDER))
    assert repaired.days.equals(truth.days)
    assert repaired.videos["video_id"].sort().equals(truth.videos["video_id"].sort())


def test_without_a_shadow_each_impression_still_counts_once(tiny: Places) -> None:
    log = EventLog(tiny.log)
    rows = impressions(log)

    assert len(rows) < log.scan("watched").select(pl.len()).collect().item()
    assert rows.select("user_id", "video_id", "served_us").is_duplicated().sum() == 0


def test_bots_and_faults_move_the_rates_as_logged(tiny: Places) -> None:
    world = World("tiny", 7)
    true = impressions(EventLog(tiny.log), with_durations(world, shadow.impressions(tiny)))

    log = EventLog(tiny.log)
    logged = logged_figures(world, as_logged(log), public_videos(log))

    assert set(logged) == {f"{name}_as_logged" for name in ("click", "long_view", "exposure_gini")}
    assert logged["click_as_logged"].value < float(true["click"].mean())  # type: ignore[arg-type]


def test_a_servers_own_impressions_are_not_the_worlds(tiny: Places, tmp_path: Path) -> None:
    theirs = EventLog(tmp_path)
    for kind in ("served", "watched", "reacted", "followed"):
        frame = EventLog(tiny.log).read(kind)
        columns = {"release_id": pl.lit("ranker-0001")} if kind == "served" else {}
        theirs.append(kind, frame.with_columns(**columns), "theirs")

    assert len(impressions(theirs)) == 0


def test_random_draws_were_unseen_and_public(seen: Observed) -> None:
    asked = seen.impressions.select("user_id", "served_us").sample(2_000, seed=7)

    drawn = asked.with_columns(video_id=unseen_draws(seen, asked, np.random.default_rng(7)))

    rows = seen.impressions.select("user_id", "video_id", seen_us="served_us")
    met = drawn.join(rows, on=["user_id", "video_id"])
    born = drawn.join(seen.videos, on="video_id")
    assert (met["seen_us"] >= met["served_us"]).all()
    assert (born["uploaded_us"] < born["served_us"]).all()
    assert (born["removed_us"] > born["served_us"]).fill_null(True).all()


# --- figures by hand -------------------------------------------------------------------------------------


def an_observed(**tables: dict[str, Any]) -> Observed:
    """Two videos of 10 s, one person who met the first on day 0; a table given replaces its columns."""
    impressions: dict[str, Any] = {
        "user_id": [1],
        "video_id": [1],
        "served_us": [0],
        "play": [1.0],
        "duration_s": [10.0],
    }
    flags = ("zero_play", "click", "long_view", "like", "comment", "share", "hide", "profile", "follow")
    videos: dict[str, Any] = {"video_id": [1, 2], "uploaded_us": [0, 0], "duration_s": [10.0, 10.0]}
    days: dict[str, Any] = {"user_id": [1], "day": [0], "videos": [1]}
    rows = pl.DataFrame(impressions | {"explored": [False]} | tables.get("impressions", {}))
    return Observed(
        rows.with_columns(pl.lit(0.0).alias(flag) for flag in flags),
        pl.DataFrame(days | tables.get("days", {})),
        pl.DataFrame(videos | tables.get("videos", {})),
    )


def gaps_of(user_id: list[int], day: list[int]) -> dict[str, float]:
    seen = an_observed(days={"user_id": user_id, "day": day, "videos": [1] * len(day)})
    figures = people_figures(seen, np.array([np.nan]), np.random.default_rng(7), draws=1)
    return {name: figures[name].value for name in ("gap_1d", "gap_2d", "gap_3d", "gap_mean_days")}


def test_gaps_that_the_end_of_the_log_cuts_are_not_counted_as_short() -> None:
    """Spells of 1 day and of 2, one cut after 3, one at once: of three at risk one ends, then of two one."""
    found = gaps_of(user_id=[1, 1, 1, 2], day=[0, 1, 3, 0])

    assert found["gap_1d"] == pytest.approx(1 / 3)
    assert found["gap_2d"] == pytest.approx(2 / 3 * 1 / 2)


def test_a_person_who_comes_every_day_has_gaps_of_one_day() -> None:
    found = gaps_of(user_id=[1] * 5, day=list(range(5)))

    assert found == {"gap_1d": 1.0, "gap_2d": 0.0, "gap_3d": 0.0, "gap_mean_days": 1.0}


@pytest.mark.parametrize(("amounts", "expected"), [([1, 1, 1, 1], 0.0), ([0, 0, 0, 1], 0.75), ([1, 3], 0.25)])
def test_the_gini_of_a_few_amounts(amounts: list[float], expected: float) -> None:
    assert gini(np.array(amounts, dtype=np.float64)) == pytest.approx(expected)


def test_a_weight_of_two_is_the_same_amount_twice() -> None:
    amounts = np.array([1.0, 2.0, 5.0])

    assert gini(amounts, np.array([2.0, 1.0, 0.0])) == pytest.approx(gini(np.array([1.0, 1.0, 2.0])))


def test_videos_nobody_met_count_in_the_inequality() -> None:
    shown = exposures(an_observed(), 0)

    assert sorted(shown.tolist()) == [0.0, 1.0]


def test_the_decay_of_an_exact_power_is_its_exponent() -> None:
    assert decay(1000.0 * np.arange(1.0, 12.0, dtype=np.float64) ** -0.82) == pytest.approx(0.82)


def test_ages_are_whole_days_and_only_the_first_days_uploads_are_followed() -> None:
    seen = an_observed(
        impressions={
            "user_id": [1, 1, 1],
            "video_id": [1, 1, 2],
            "served_us": [1, 2 * DAY_US, 9 * DAY_US],
            "play": [1.0] * 3,
            "duration_s": [10.0] * 3,
            "explored": [False] * 3,
        },
        videos={"uploaded_us": [0, 8 * DAY_US]},
    )

    assert exposures_by_age(seen, 0)[:, :4].tolist() == [[1.0, 0.0, 1.0, 0.0]]


def test_a_weighted_quantile_is_reached_by_weight() -> None:
    assert weighted_quantile(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 8.0]), 0.5) == 3.0


def test_quarters_hold_as_many_impressions_and_the_last_the_busiest_people() -> None:
    at = np.repeat(np.arange(40), np.arange(1, 41))

    quarters = activity_quarters(at)

    assert np.bincount(quarters) == pytest.approx(np.full(4, len(at) / 4), rel=0.2)
    assert quarters[at == 39].tolist() == [3] * 40


# --- targets, misses, report -----------------------------------------------------------------------------


def test_the_report_says_for_every_row_whether_it_holds(found: dict[str, Estimate]) -> None:
    figures = report(found)

    assert set(figures["rows"]) == {target.name for target in TARGETS}  # type: ignore[call-overload]
    assert figures["of"] == len(TARGETS)


def test_a_row_outside_its_band_is_a_known_miss(found: dict[str, Estimate]) -> None:
    off = found | {"click": replace(found["click"], value=0.9)}

    assert "click" in {miss.name for miss in misses(off)}
    assert set(KNOWN_MISSES) <= set(misses(off))


def test_known_misses_name_figures_the_card_has(found: dict[str, Estimate]) -> None:
    assert {miss.figure for miss in KNOWN_MISSES if miss.figure} <= set(found)


def test_rare_rates_have_wider_bands() -> None:
    assert marginal("x", RARE / 2, "").high == pytest.approx(1.2 * RARE / 2)
    assert marginal("x", RARE * 2, "").high == pytest.approx(1.1 * RARE * 2)
    assert marginal("x", RARE / 2, "", unit="seconds").high == pytest.approx(1.1 * RARE / 2)


def test_a_gaps_band_is_never_narrower_than_two_points() -> None:
    assert gap(3, 0.079).high == pytest.approx(0.099)
    assert gap(1, 0.617).high == pytest.approx(1.1 * 0.617)


def test_a_band_includes_its_ends() -> None:
    target = TARGETS[0]

    assert target.holds(target.low)
    assert target.holds(target.high)
    assert not target.holds(np.nextafter(target.high, 1.0))
