"""How well scores order what people were shown: AUC, per-user AUC, nDCG, recall and hit rate at k.

Equal scores are averaged over every order they could take (the expectation of a random tie-break), so no
metric depends on the order of rows; scikit-learn's `roc_auc_score` and `ndcg_score` do the same. A NaN score
ranks last, tied with the other NaNs, as in serving. Labels are finite and not negative: a row whose label is
not known yet is not a row.

Functions named `user_…` return `PerUser` terms, ready for `intervals.bootstrap` and `intervals.difference`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.per_user import F64, I64, Labels, PerUser, Scores, mean_per_user, same_length


@dataclass(frozen=True)
class Ordered:
    """Rows sorted by user, best score first, with the ties marked.

    `rows` i64[n] original row numbers; `starts` i64[u] first sorted row of each user; `owner` i64[n] the
    user's number; `place` i64[n] 0-based place within the user; `tie` i64[n] the number of the row's tie
    group.
    """

    users: I64
    rows: I64
    starts: I64
    owner: I64
    place: I64
    tie: I64

    def per_user(self, values: F64) -> F64:
        """Sums over the rows of each user, f64[u]; `values` in sorted order."""
        return np.bincount(self.owner, values, len(self.users)).astype(np.float64)

    def tie_mean(self, values: F64) -> F64:
        """Each value replaced by the mean of its tie group."""
        sizes = np.bincount(self.tie)
        return (np.bincount(self.tie, values) / sizes)[self.tie].astype(np.float64)


def ordered(users: I64, scores: Scores) -> Ordered:
    """Sort once, use for every metric."""
    same_length(users=users, scores=scores)
    ranked = np.where(np.isnan(scores), -np.inf, np.asarray(scores, np.float64))
    rows = np.lexsort((-ranked, users))
    sorted_users, sorted_scores = np.asarray(users)[rows], ranked[rows]
    ids, starts, owner = np.unique(sorted_users, return_index=True, return_inverse=True)
    new_tie = np.ones(len(rows), bool)
    new_tie[1:] = (sorted_users[1:] != sorted_users[:-1]) | (sorted_scores[1:] != sorted_scores[:-1])
    place = np.arange(len(rows)) - starts[owner] if len(rows) else np.zeros(0, np.int64)
    return Ordered(ids.astype(np.int64), rows, starts, owner, place, np.cumsum(new_tie) - 1)


def auc(labels: Labels, scores: Scores) -> float:
    """P(score of a positive > score of a negative) + half P(equal); NaN when a class is missing.

    `labels` [n] of 0 and 1, `scores` f64[n]. Mann-Whitney U / (P N), by mid-ranks.
    """
    return user_aucs(np.zeros(len(labels), np.int64), labels, scores).value


def gauc(users: I64, labels: Labels, scores: Scores) -> float:
    """Per-user AUC over users with 0 < positives < n, weighted by positives (KuaiRand's convention)."""
    return user_aucs(users, labels, scores).value


def user_aucs(users: I64, labels: Labels, scores: Scores) -> PerUser:
    """AUC within each user; its weight is the user's positives, 0 for a user of one class."""
    truth = binary(labels)
    same_length(users=users, labels=truth, scores=scores)
    order = ordered(users, scores)
    hit = truth[order.rows]
    positives, rows = order.per_user(hit), order.per_user(np.ones(len(hit)))
    worse_or_half = rows[order.owner] - 1.0 - order.tie_mean(order.place.astype(np.float64))
    wins = order.per_user(hit * worse_or_half) - positives * (positives - 1) / 2
    negatives = rows - positives
    mixed = (positives > 0) & (negatives > 0)
    weight = np.where(mixed, positives, 0.0)
    return PerUser(order.users, weight * wins / np.where(mixed, positives * negatives, 1.0), weight)


def pooled_auc(users: I64, labels: Labels, scores: Scores) -> PerUser:
    """The AUC over all rows as one term per user: pseudo-values whose mean is exactly the AUC.

    With I users, a user's term is A + I psi_u, psi_u the user's summed placement components less A (DeLong
    1988; clusters: Obuchowski, Biometrics 1997, 53:567). Resampling these terms is the first-order
    (infinitesimal jackknife) approximation of resampling users and recomputing the AUC; exact in value,
    O(1/I) in the interval.
    """
    truth = binary(labels)
    same_length(users=users, labels=truth, scores=scores)
    ids, owner = np.unique(users, return_inverse=True)
    area = auc(truth, scores)
    placements = _placements(truth, scores)
    sizes = np.where(truth > 0, truth.sum(), len(truth) - truth.sum())
    influence = np.bincount(owner, (placements - area) / np.maximum(sizes, 1), len(ids)).astype(np.float64)
    return PerUser(ids.astype(np.int64), area + len(ids) * influence, np.ones(len(ids)))


def _placements(truth: F64, scores: Scores) -> F64:
    """Of each row the share of the other class it is on the right side of, half for ties, f64[n]."""
    ranked = np.where(np.isnan(scores), -np.inf, np.asarray(scores, np.float64))
    positive = truth > 0
    below_positives = _share_below(np.sort(ranked[~positive]), ranked[positive])
    below_negatives = _share_below(np.sort(ranked[positive]), ranked[~positive])
    placements = np.empty(len(truth))
    placements[positive], placements[~positive] = below_positives, 1.0 - below_negatives
    return placements


def _share_below(reference: F64, values: F64) -> F64:
    """Share of the sorted reference below each value, ties half; NaN without a reference."""
    both = np.searchsorted(reference, values, "left") + np.searchsorted(reference, values, "right")
    return both / (2.0 * len(reference)) if len(reference) else np.full(len(values), np.nan)


def ndcg_at_k(users: I64, gains: Labels, scores: Scores, k: int) -> float:
    """Mean over all users of nDCG@k of their logged impressions; users without gain count as 0 (KuaiRand's
    convention).
    """
    return user_ndcgs(users, gains, scores, k).value


def user_ndcgs(users: I64, gains: Labels, scores: Scores, k: int, *, skip_empty: bool = False) -> PerUser:
    """DCG@k over the best possible DCG@k, gain linear, discount 1 / log2(place + 2); 0 when nothing could be
    gained.

    Jarvelin & Kekalainen, TOIS 2002; ties averaged as McSherry & Najork, ECIR 2008. With `skip_empty` users
    without gain have no say (their denominator is 0).
    """
    worth = finite(gains)
    same_length(users=users, gains=worth, scores=scores)
    order, best = ordered(users, scores), ordered(users, worth)
    gained = order.per_user(worth[order.rows] * order.tie_mean(discounts(order.place, k)))
    possible = best.per_user(worth[best.rows] * discounts(best.place, k))
    empty = possible == 0
    values = np.where(empty, 0.0, gained / np.where(empty, 1.0, possible))
    return PerUser(order.users, values, np.where(empty & skip_empty, 0.0, 1.0))


def discounts(places: I64, k: int) -> F64:
    """1 / log2(place + 2) above the cut, 0 from place k on; places count from 0."""
    return np.where(places < at_least_one(k), 1.0 / np.log2(places + 2.0), 0.0)


def recall_at_k(users: I64, labels: Labels, scores: Scores, k: int) -> float:
    """Share of a user's positives among the k best, mean over users who have any."""
    return user_recalls(users, labels, scores, k).value


def user_recalls(users: I64, labels: Labels, scores: Scores, k: int) -> PerUser:
    """Expected positives in the k best (ties averaged) over the user's positives; no say without any."""
    order, hit = _hits(users, labels, scores)
    above = order.tie_mean((order.place < at_least_one(k)).astype(np.float64))
    found, positives = order.per_user(hit * above), order.per_user(hit)
    return PerUser(order.users, found / np.maximum(positives, 1.0), (positives > 0).astype(np.float64))


def hit_rate_at_k(users: I64, labels: Labels, scores: Scores, k: int) -> float:
    """Share of users, among those with a positive, who have one in their k best."""
    return user_hits(users, labels, scores, k).value


def user_hits(users: I64, labels: Labels, scores: Scores, k: int) -> PerUser:
    """P(a positive is among the k best) when ties fall at random; no say without positives.

    Only the tie group across the cut is uncertain: with h positives among its m rows and r places left, none
    of them gets in with probability C(m - h, r) / C(m, r).
    """
    order, hit = _hits(users, labels, scores)
    at_cut = order.place == at_least_one(k) - 1
    crossing = np.zeros(int(order.tie.max(initial=-1)) + 1, bool)
    crossing[order.tie[at_cut]] = True
    uncertain = crossing[order.tie]
    sure = order.per_user(hit * ~uncertain * (order.place < k)) > 0
    rows, positives = order.per_user(uncertain * 1.0), order.per_user(uncertain * hit)
    places_left = order.per_user(uncertain * (order.place < k) * 1.0)
    chance = np.where(sure, 1.0, 1.0 - _chance_of_none(rows, positives, places_left))
    return PerUser(order.users, chance, (order.per_user(hit) > 0).astype(np.float64))


def _chance_of_none(rows: F64, positives: F64, places: F64) -> F64:
    """C(rows - positives, places) / C(rows, places): a draw without replacement misses every positive."""
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, rows.max(initial=0) + 1)))])
    m, misses, r = rows.astype(int), (rows - positives).astype(int), places.astype(int)
    possible = misses >= r
    kept = np.where(possible, misses - r, 0)
    logs = log_factorials[misses] - log_factorials[kept] + log_factorials[m - r] - log_factorials[m]
    return np.where(possible, np.exp(logs), 0.0)


def retrieval_recall(users: I64, wanted: I64, retrieved: I64, k: int) -> PerUser:
    """Share of wanted videos that retrieval found, resampled by user.

    Row i asks: is wanted[i] (i64[n]) among retrieved[i, :k] (i64[n, depth], best first, padded with -1)?
    """
    same_length(users=users, wanted=wanted, retrieved=retrieved)
    found = (retrieved[:, : at_least_one(k)] == wanted[:, None]).any(axis=1)
    return mean_per_user(users, found.astype(np.float64))


def _hits(users: I64, labels: Labels, scores: Scores) -> tuple[Ordered, F64]:
    truth = binary(labels)
    same_length(users=users, labels=truth, scores=scores)
    order = ordered(users, scores)
    return order, truth[order.rows]


def binary(labels: Labels) -> F64:
    """Labels as 0.0 and 1.0; anything else is refused."""
    truth = np.asarray(labels, np.float64)
    strange = truth[(truth != 0) & (truth != 1)]
    if len(strange):
        raise ValueError(f"label {strange[0]} found, must be 0 or 1. Drop rows that are not mature first.")
    return truth


def finite(gains: Labels) -> F64:
    """Gains as floats, all finite and not negative; anything else is refused."""
    worth = np.asarray(gains, np.float64)
    strange = worth[~(np.isfinite(worth) & (worth >= 0))]
    if len(strange):
        raise ValueError(f"gain {strange[0]} found, must be finite and >= 0.")
    return worth


def at_least_one(k: int) -> int:
    """A cut-off that leaves something."""
    if k < 1:
        raise ValueError(f"k is {k}, must be at least 1.")
    return k
