"""A ceiling is what the true probability scores on labels drawn from it, and holds on the world's own log."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata

from simulator.ceilings import LABELS, Ceiling, ceiling, ceilings, like_probabilities
from simulator.days import Lived
from simulator.exposures import GRID, SWIPE
from simulator.shadow import happened
from simulator.worlds import World

Floats = NDArray[np.float64]
BAND = 3.29
DRAWS = 800


def auc(labels: NDArray[np.bool_], scores: Floats) -> float:
    """Mann and Whitney's, ties one half."""
    ranks, positives = rankdata(scores), labels.sum()
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * (~labels).sum()))


def log_loss(labels: NDArray[np.bool_], p: Floats) -> float:
    return float(-np.log(np.where(labels, p, 1.0 - p)).mean())


def a_world_of(rate: float, n: int = 3_000) -> Floats:
    """True probabilities of a label of about this rate, some of them equal."""
    rng = np.random.default_rng(5)
    p = 1.0 / (1.0 + np.exp(-(np.log(rate / (1.0 - rate)) + 1.2 * rng.normal(size=n))))
    return np.asarray(np.round(p, 3).clip(0.001, 0.999))


@pytest.mark.parametrize("rate", [0.02, 0.35])
def test_the_ceiling_is_the_mean_over_labels_drawn_from_the_truth(rate: float) -> None:
    p, rng = a_world_of(rate), np.random.default_rng(6)
    drawn = [rng.random(len(p)) < p for _ in range(DRAWS)]

    found = ceiling(p)

    for estimate, values in (
        (found.auc, [auc(labels, p) for labels in drawn]),
        (found.log_loss, [log_loss(labels, p) for labels in drawn]),
    ):
        assert abs(np.mean(values) - estimate.value) < BAND * np.std(values) / np.sqrt(DRAWS)
        inside = np.mean([estimate.low <= value <= estimate.high for value in values])
        assert abs(inside - 0.95) < BAND * np.sqrt(0.05 * 0.95 / DRAWS) + 0.005


def test_certain_labels_are_ranked_without_error() -> None:
    found = ceiling([0.0, 0.0, 1.0, 1.0, 1.0])

    assert found.auc.value == pytest.approx(1.0)
    assert found.log_loss.value == pytest.approx(0.0, abs=1e-9)


def test_equal_probabilities_cannot_be_ranked() -> None:
    assert ceiling(np.full(50, 0.3)).auc.value == pytest.approx(0.5)


@pytest.fixture(scope="module")
def shadows(world: World, lived_days: list[Lived]) -> pl.DataFrame:
    """The truth of every item of the log, as the shadow log has it."""
    rows = np.concatenate([day.rows for day in lived_days])
    rows = rows[rows["reached"] | rows["examined"]]
    return pl.DataFrame(
        happened(world, rows) | {"examined": rows["examined"], "liked": rows["reactions"] & 1}
    )


@pytest.fixture(scope="module")
def found(world: World, shadows: pl.DataFrame) -> dict[str, Ceiling]:
    return dict(ceilings(world, shadows))


def human(shadows: pl.DataFrame, surface: int = SWIPE) -> pl.DataFrame:
    return shadows.filter((pl.col("surface") == surface) & ~pl.col("bot") & pl.col("examined"))


def test_every_label_has_a_ceiling_between_chance_and_certainty(found: dict[str, Ceiling]) -> None:
    assert set(found) == set(LABELS)
    assert all(0.5 < each.auc.low < each.auc.value < each.auc.high < 1.0 for each in found.values())


@pytest.mark.parametrize("surface", [SWIPE, GRID])
def test_likes_are_as_frequent_as_their_probabilities(
    world: World, shadows: pl.DataFrame, surface: int
) -> None:
    rows = human(shadows, surface)

    p = like_probabilities(world, rows)

    assert abs(rows["liked"].sum() - p.sum()) < BAND * np.sqrt((p * (1 - p)).sum())


def test_the_log_that_was_lived_scores_its_ceilings(
    world: World, shadows: pl.DataFrame, found: dict[str, Ceiling]
) -> None:
    rows = human(shadows)
    seconds = world.videos.duration_ms[world.rows_of_videos(rows["video_id"].to_numpy())] / 1000.0
    watched = rows["watched_ms"].to_numpy() / 1000.0
    for label, bar in (("click", 7.0), ("long_view", 18.0)):
        p, happened = rows[label].to_numpy().astype(np.float64), watched >= np.minimum(bar, seconds)
        for estimate, value in (
            (found[label].auc, auc(happened, p)),
            (found[label].log_loss, log_loss(happened, p)),
        ):
            assert abs(value - estimate.value) < BAND * (estimate.high - estimate.value) / 1.96
