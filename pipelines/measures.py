"""How good scores are on labelled rows: every figure with its interval by user, the same rows for every
rival.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation import baselines
from evaluation.baselines import Logistic, baseline_scores
from evaluation.calibration import BINS, calibration_error_interval, equal_mass_bins
from evaluation.intervals import Interval, bootstrap, bootstrap_of, difference
from evaluation.per_user import PerUser
from evaluation.ranking import pooled_auc, user_aucs, user_ndcgs
from feature_repo.matrix import COLUMNS
from pipelines.training_sets import Rows
from serving.heads import HEADS
from serving.values import Values

Doubles = npt.NDArray[np.float64]
Scores = Mapping[str, Doubles]

K = 10
RESAMPLES = 300
"""Of reported intervals; a gate's difference is resampled more often, since it decides."""
SIMPLE = ("random", *baselines.SIMPLE)
"""The baselines a release must beat: chance and four counts."""


@dataclass(frozen=True)
class Rivals:
    """Scores of the same rows by the release's value, its retrieval, and what it must beat."""

    scores: Scores
    prices: Mapping[str, float]
    """What the value file says each act is worth: the prices of realised value."""

    def simple(self) -> Scores:
        return {name: self.scores[name] for name in SIMPLE}


def rivals(rows: Rows, predictions: Scores, values: Values, logistic: Logistic, seed: int) -> Rivals:
    """Everybody's scores, by name."""
    ids = rows.table["impression_id"].to_numpy()
    return Rivals(
        {
            "value": values.value(predictions),
            "long_watch head": predictions["long_watch"],
            "towers": rows.matrix[:, COLUMNS.index("tower_score")].astype(np.float64),
            "logistic": logistic.score(rows.matrix),
            **baseline_scores(rows.matrix, COLUMNS, ids, seed),
        },
        values.prices,
    )


def value_ndcg(rows: Rows, scores: Doubles, prices: Mapping[str, float]) -> PerUser:
    """nDCG@10 of realised value on the rows where every priced act is settled; who did nothing has no say."""
    mask = rows.settled(prices)
    return user_ndcgs(rows.users[mask], rows.realised(prices)[mask], scores[mask], K, skip_empty=True)


def yes_gauc(rows: Rows, scores: Doubles) -> PerUser:
    """Per-user AUC of a yes (long watch or like) on the rows where a yes has had its hour."""
    mask = rows.judged
    return user_aucs(rows.users[mask], rows.yeses[mask], scores[mask])


def ranking_figures(rows: Rows, rival: Rivals, seed: int) -> dict[str, dict[str, Interval]]:
    """Per scorer: per-user AUC of a yes, nDCG@10 of realised value, per-user AUC and AUC of long watch."""
    return {
        name: _ranking(rows, scores, rival.prices, np.random.default_rng([seed, 11]))
        for name, scores in rival.scores.items()
    }


def _ranking(
    rows: Rows, scores: Doubles, prices: Mapping[str, float], rng: np.random.Generator
) -> dict[str, Interval]:
    mask = rows.mature("long_watch")
    users, labels = rows.users[mask], rows.label("long_watch")[mask]
    return {
        "gauc_yes": bootstrap(yes_gauc(rows, scores), rng, RESAMPLES),
        "ndcg_at_10": bootstrap(value_ndcg(rows, scores, prices), rng, RESAMPLES),
        "gauc_long_watch": bootstrap(user_aucs(users, labels, scores[mask]), rng, RESAMPLES),
        "auc_long_watch": bootstrap(pooled_auc(users, labels, scores[mask]), rng, RESAMPLES),
    }


def head_figures(rows: Rows, predictions: Scores, seed: int) -> dict[str, dict[str, Interval]]:
    """Per head, on its mature rows: AUC (for `watch`, a quantile: rank correlation) and calibration error."""
    return {name: _head(rows, name, predictions[name], np.random.default_rng([seed, 12])) for name in HEADS}


def _head(rows: Rows, name: str, said: Doubles, rng: np.random.Generator) -> dict[str, Interval]:
    mask = rows.mature(name)
    users, labels, said = rows.users[mask], rows.label(name)[mask], said[mask]
    if name == "watch":
        return {
            "rank_correlation": rank_correlation(users, labels, said, rng),
            "calibration_error": mean_gap(users, labels, said, rng),
        }
    return {
        "auc": bootstrap(pooled_auc(users, labels, said), rng, RESAMPLES),
        "gauc": bootstrap(user_aucs(users, labels, said), rng, RESAMPLES),
        "calibration_error": calibration_error_interval(
            users, labels, np.clip(said, 0, 1), rng, resamples=RESAMPLES
        ),
    }


def mean_gap(
    users: npt.NDArray[np.int64], labels: Doubles, said: Doubles, rng: np.random.Generator
) -> Interval:
    """Calibration error of a mean: |said - label| averaged over equal-mass bins, for labels that are no
    classes.
    """
    ids, owner = np.unique(users, return_inverse=True)
    cell = owner * BINS + equal_mass_bins(said, BINS)
    gaps = np.bincount(cell, said - labels, len(ids) * BINS).reshape(len(ids), BINS)
    rows = np.bincount(owner, minlength=len(ids)).astype(np.float64)
    return bootstrap_of(np.column_stack([gaps, rows]), _gap_of_sums, rng, RESAMPLES)


def _gap_of_sums(sums: Doubles) -> Doubles:
    return np.asarray(np.abs(sums[:, :-1]).sum(axis=1) / sums[:, -1], np.float64)


def rank_correlation(
    users: npt.NDArray[np.int64], labels: Doubles, said: Doubles, rng: np.random.Generator
) -> Interval:
    """Spearman's: the correlation of mid-ranks, users resampled."""
    from scipy.stats import rankdata

    x, y = (rankdata(values) / max(len(values), 1) for values in (said, labels))
    ids, owner = np.unique(users, return_inverse=True)
    moments = [np.ones(len(x)), x, y, x * x, y * y, x * y]
    columns = np.column_stack([np.bincount(owner, moment, len(ids)) for moment in moments]).astype(np.float64)
    return bootstrap_of(columns, _correlation_of_sums, rng, RESAMPLES)


def _correlation_of_sums(sums: Doubles) -> Doubles:
    n, x, y, xx, yy, xy = sums.T
    spread = np.sqrt(np.maximum((xx / n - (x / n) ** 2) * (yy / n - (y / n) ** 2), 1e-30))
    return np.asarray((xy / n - x * y / n**2) / spread, np.float64)


def best_baseline(rows: Rows, rival: Rivals) -> str:
    """The simple baseline with the highest per-user AUC of a yes on these rows."""
    found = {name: yes_gauc(rows, scores).value for name, scores in rival.simple().items()}
    return max(found, key=lambda name: found[name])


def advantage(rows: Rows, ours: Doubles, theirs: Doubles, seed: int) -> Interval:
    """Per-user AUC of a yes of ours less theirs, paired by user."""
    return difference(yes_gauc(rows, ours), yes_gauc(rows, theirs), np.random.default_rng([seed, 13]))


def value_over_logistic(rows: Rows, rival: Rivals, seed: int) -> Interval:
    """nDCG@10 of realised value of the value's order less the logistic regression's, paired by user."""
    ours, theirs = (value_ndcg(rows, rival.scores[name], rival.prices) for name in ("value", "logistic"))
    return difference(ours, theirs, np.random.default_rng([seed, 14]))


def as_figures(found: Mapping[str, Mapping[str, Interval]]) -> dict[str, dict[str, dict[str, float | int]]]:
    """Intervals as reports keep them."""
    return {name: {metric: value.as_figure() for metric, value in row.items()} for name, row in found.items()}
