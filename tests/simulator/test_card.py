"""The card measures what it says, and a world of a thousand people is already near the published figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_repo.clock import INSTANT
from feature_repo.log import EventLog
from feature_repo.scales import Scale
from simulator.card import Estimate, _quarters, card, impressions, report, unseen_draws
from simulator.days import days
from simulator.observations import day_observed
from simulator.targets import RARE, TARGETS, Target, marginal
from simulator.truth import World

MIDDLE = World(Scale("middle", users=1_000), 7)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    log = EventLog(tmp_path_factory.mktemp("middle"))
    for day in days(MIDDLE):
        for kind, frame in day_observed(MIDDLE, day).items():
            log.append(kind, frame, f"world-{day.day}")
    return impressions(log)


@pytest.fixture(scope="module")
def found(rows: pl.DataFrame) -> dict[str, Estimate]:
    return card(MIDDLE, rows)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_thousand_people_are_near_the_published_figure(target: Target, found: dict[str, Estimate]) -> None:
    """Half as wide again as the band, and the 99.9 % sampling error of so small a world."""
    estimate, slack = found[target.name], 0.5 * (target.high - target.low)
    error = 3.3 / 1.96 * (estimate.high - estimate.low) / 2

    assert target.low - slack - error < estimate.value < target.high + slack + error


def test_intervals_hold_their_figures(found: dict[str, Estimate]) -> None:
    assert all(each.low <= each.value <= each.high for each in found.values())


def test_figures_agree_with_the_plain_formulas(rows: pl.DataFrame, found: dict[str, Estimate]) -> None:
    assert found["like"].value == pytest.approx(rows["like"].mean())
    assert found["play_median_s"].value == pytest.approx(rows["play"].median())
    assert found["corr_play"].value == pytest.approx(np.corrcoef(rows["play"], rows["long_view"])[0, 1])
    assert found["corr_hide"].value == pytest.approx(np.corrcoef(rows["hide"], rows["long_view"])[0, 1])


def test_explored_slots_agree_with_random_exposure_by_the_truth(found: dict[str, Estimate]) -> None:
    explored, truth = found["long_view_explored"], found["long_view_random"]

    assert explored.low - 0.5 * (explored.high - explored.low) < truth.value
    assert truth.value < explored.high + 0.5 * (explored.high - explored.low)


def test_quarters_hold_as_many_impressions_and_the_last_the_busiest_people() -> None:
    at = np.repeat(np.arange(40), np.arange(1, 41))

    quarters = _quarters(at)

    assert np.bincount(quarters) == pytest.approx(np.full(4, len(at) / 4), rel=0.2)
    assert quarters[at == 39].tolist() == [3] * 40


def test_random_draws_were_unseen_and_existed(rows: pl.DataFrame) -> None:
    asked = rows.select("user_id", "served_us").sample(2_000, seed=7)

    drawn = asked.with_columns(video_id=unseen_draws(MIDDLE, rows, asked, np.random.default_rng(7)))

    met = drawn.join(rows.select("user_id", "video_id", seen_us="served_us"), on=["user_id", "video_id"])
    uploaded_us = MIDDLE.videos.uploaded_us[MIDDLE.rows_of_videos(drawn["video_id"].to_numpy())]
    assert (met["seen_us"] >= met["served_us"]).all()
    assert (uploaded_us < drawn["served_us"].to_numpy()).all()


def test_the_report_says_for_every_row_whether_it_holds(found: dict[str, Estimate]) -> None:
    figures = report(found)

    assert set(figures["rows"]) == {target.name for target in TARGETS}  # type: ignore[call-overload]
    assert figures["of"] == len(TARGETS)


def test_rare_rates_have_wider_bands() -> None:
    assert marginal("x", RARE / 2, "").high == pytest.approx(1.2 * RARE / 2)
    assert marginal("x", RARE * 2, "").high == pytest.approx(1.1 * RARE * 2)
    assert marginal("x", RARE / 2, "", unit="seconds").high == pytest.approx(1.1 * RARE / 2)


def test_a_band_includes_its_ends() -> None:
    target = TARGETS[0]

    assert target.holds(target.low)
    assert target.holds(target.high)
    assert not target.holds(np.nextafter(target.high, 1.0))


def test_a_servers_own_impressions_are_not_the_worlds(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    first = next(iter(days(MIDDLE)))
    frames = day_observed(MIDDLE, first)
    theirs = frames["served"].with_columns(release_id=pl.lit("ranker-0001"))
    log.append("served", theirs, "theirs")
    for kind in ("watched", "reacted", "followed"):
        log.append(kind, frames[kind], "world-0")

    assert frames["served"].schema["event_time"] == INSTANT
    assert len(impressions(log)) == 0
