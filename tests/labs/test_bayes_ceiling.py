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
from simulator.truth import World


@dataclass(frozen=True)
class Judged:
    """Impressions of the test days: whether each was watched long, and how likely that truly was."""

    long_watch: NDArray[np.float64]
    bayes: NDArray[np.float64]


@pytest.fixture(scope="module")
def judged(trained: Run) -> Judged:
    plan = Plan(trained)
    rows = labels_of(plan.log, plan.splits.test).filter(pl.col("long_watch_mature"))
    world = World(trained.scale, trained.seed)
    times = rows["event_time"].to_physical().to_numpy()
    chances = world.label_probabilities(rows["user_id"].to_numpy(), rows["video_id"].to_numpy(), times)
    return Judged(rows["long_watch"].cast(pl.Float64).to_numpy(), chances["long_view"])


def test_the_truth_is_calibrated_on_what_happened(judged: Judged) -> None:
    error = np.sqrt((judged.bayes * (1 - judged.bayes)).sum()) / len(judged.bayes)

    assert abs(judged.bayes.mean() - judged.long_watch.mean()) < 4 * error


def test_no_head_ranks_better_than_the_bayes_score(judged: Judged, trained: Run) -> None:
    ceiling = auc(judged.long_watch, judged.bayes)

    learned = read_report(trained.places, "train")["figures"]["heads"]["long_watch"]["auc"]["value"]

    assert 0.5 < learned < ceiling
