"""Did anything leak? Only where the truth is known can one tell: nothing honest outranks the Bayes score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from evaluation.ranking import auc
from feature_repo.places import Run
from feature_repo.reports import read_report
from pipelines.plan import Plan
from pipelines.watches import labels_of
from simulator import shadow
from simulator.ceilings import ceiling


@dataclass(frozen=True)
class Judged:
    """Impressions of the test days: whether each was watched long, and how likely that truly was."""

    long_watch: NDArray[np.float64]
    bayes: NDArray[np.float64]


@pytest.fixture(scope="module")
def judged(trained: Run) -> Judged:
    """On the swipe surface, as a person who is no bot had it; unknown lengths make no label to be judged."""
    plan = Plan(trained)
    labels = labels_of(plan.log, plan.splits.test).filter(pl.col("long_watch_mature"))
    truth = shadow.impressions(trained.places).filter(
        (pl.col("surface") == 0) & ~pl.col("bot") & ~pl.col("null_duration") & ~pl.col("in_seconds")
    )
    rows = labels.join(truth.select("impression_id", "long_view").collect(), on="impression_id")
    chances = rows["long_view"].to_numpy().astype(np.float64)
    return Judged(rows["long_watch"].cast(pl.Float64).to_numpy(), chances)


def test_the_truth_is_calibrated_on_what_happened(judged: Judged) -> None:
    error = np.sqrt((judged.bayes * (1 - judged.bayes)).sum()) / len(judged.bayes)

    assert len(judged.bayes) > 1_000
    assert abs(judged.bayes.mean() - judged.long_watch.mean()) < 4 * error


def test_the_bayes_score_ranks_as_well_as_its_ceiling_says(judged: Judged) -> None:
    found, expected = auc(judged.long_watch, judged.bayes), ceiling(judged.bayes).auc

    assert abs(found - expected.value) < 2 * (expected.high - expected.value)


def test_no_head_ranks_better_than_the_bayes_score(judged: Judged, trained: Run) -> None:
    learned = read_report(trained.places, "train")["figures"]["heads"]["long_watch"]["auc"]["value"]

    assert 0.5 < learned < auc(judged.long_watch, judged.bayes)
