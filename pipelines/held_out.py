"""The ranking table people publish on real logs: GAUC, nDCG@5 and their mean on the held-out days, rivals
beside it.

Conventions of the published KuaiRand table: ranking of long watches within each user's logged impressions,
GAUC over users with both classes weighted by positives, nDCG@5 with users without positives as 0; ties are
averaged.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluation.baselines import fitted_logistic, item_popularity
from evaluation.intervals import Interval, bootstrap, bootstrap_of
from evaluation.per_user import PerUser
from evaluation.ranking import user_aucs, user_ndcgs
from feature_repo.matrix import COLUMNS
from pipelines.plan import Plan
from pipelines.release import Trained, predictions_of, scored
from pipelines.shell import Told, shown
from pipelines.splits import Window
from pipelines.training_sets import Rows
from pipelines.watches import labels_of

LABEL = "long_watch"
K = 5
RESAMPLES = 300


def held_out_table(plan: Plan, told: Told) -> dict[str, Any]:
    """Every scorer's GAUC, nDCG@5 and mean, on every row of the held-out days whose label has matured."""
    trained = Trained.of(plan)
    test = trained.split("test")
    predictions = predictions_of(plan.release.needed(plan.work))
    rival = scored(trained, test, predictions)
    scores = {
        "model": predictions[LABEL],
        "value": rival.scores["value"],
        "logistic": rival.scores["logistic"],
        "logistic, codes as numbers": codes_as_numbers(trained.split("train"), test),
        "item_popularity": popularity(plan, test),
        "random": rival.scores["random"],
    }
    mask = test.mature(LABEL)
    rng = np.random.default_rng([plan.run.seed, 31])
    table = {name: figures(test.where(mask), values[mask], rng) for name, values in scores.items()}
    rows = [
        (name, *(shown(row[metric]) for metric in ("gauc", "ndcg_at_5", "mean")))
        for name, row in table.items()
    ]
    told.table(f"held-out days, {int(mask.sum()):,} rows", ("scorer", "GAUC", "nDCG@5", "mean"), rows)
    return {"rows": int(mask.sum()), "scorers": table}


def codes_as_numbers(train: Rows, test: Rows) -> Any:
    """The logistic regression that takes a surface or a topic for a quantity; shows what indicators add."""
    usable = train.mature(LABEL)
    fitted = fitted_logistic(COLUMNS, train.matrix[usable], train.label(LABEL)[usable])
    return fitted.score(test.matrix)


def popularity(plan: Plan, test: Rows) -> Any:
    """Smoothed long-watch rate per video (prior 20) over every row before the held-out days."""
    before = Window(plan.splits.towers.start_us, plan.splits.test.start_us)
    known = labels_of(plan.log, before)
    score = item_popularity(known["video_id"].to_numpy(), known[LABEL].to_numpy())
    return score(test.table["video_id"].to_numpy())


def figures(rows: Rows, scores: Any, rng: np.random.Generator) -> dict[str, Any]:
    """GAUC, nDCG@5 and the mean of the two, each with its interval by user."""
    within = user_aucs(rows.users, rows.label(LABEL), scores)
    gain = user_ndcgs(rows.users, rows.label(LABEL), scores, K)
    found = {
        "gauc": bootstrap(within, rng, RESAMPLES),
        "ndcg_at_5": bootstrap(gain, rng, RESAMPLES),
        "mean": mean_of_both(within, gain, rng),
    }
    return {name: value.as_figure() for name, value in found.items()}


def mean_of_both(within: PerUser, gain: PerUser, rng: np.random.Generator) -> Interval:
    """Half the sum of two metrics of the same users, resampled together."""
    columns = np.column_stack([within.numerators, within.denominators, gain.numerators, gain.denominators])
    return bootstrap_of(
        columns, lambda sums: (sums[:, 0] / sums[:, 1] + sums[:, 2] / sums[:, 3]) / 2, rng, RESAMPLES
    )
