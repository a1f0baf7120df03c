"""Who gets shown: how much of the catalogue, how evenly the creators, how alike the slates.

Slates are i64[n, k], one row per slate, padded with -1.
"""

from __future__ import annotations

import numpy as np

from evaluation.per_user import F64, I64, ratio

EMPTY = -1


def catalogue_coverage(shown: I64, eligible: I64) -> float:
    """Share of the eligible videos that were shown at least once."""
    ids = np.unique(eligible)
    return ratio(float(np.isin(ids, shown).sum()), float(len(ids)))


def exposures(creators_shown: I64, creators: I64) -> F64:
    """Impressions of each of the creators (by ascending id), f64[c]; zero for who was never shown."""
    known = np.unique(creators)
    rows = np.searchsorted(known, creators_shown)
    inside = (rows < len(known)) & (known[np.minimum(rows, len(known) - 1)] == creators_shown)
    return np.bincount(rows[inside], minlength=len(known)).astype(np.float64)


def lorenz(amounts: F64) -> tuple[F64, F64]:
    """The Lorenz curve: the poorest share x of units holds the share y; both f64[n + 1] from 0 to 1."""
    rising = np.sort(np.asarray(amounts, np.float64))
    held = np.concatenate([[0.0], np.cumsum(rising)])
    return np.linspace(0, 1, len(rising) + 1), held / held[-1] if held[-1] else np.zeros(len(held))


def gini(amounts: F64) -> float:
    """0 when all get the same, (n - 1) / n when one gets all; NaN when there is nothing to share.

    Half the mean absolute difference over the mean: sum((2 i - n - 1) x_i) / (n sum x), x ascending, i from
    1.
    """
    rising = np.sort(np.asarray(amounts, np.float64))
    n = len(rising)
    return ratio(float(((2 * np.arange(1, n + 1) - n - 1) * rising).sum()), float(n * rising.sum()))


def top_share(amounts: F64, top: float = 0.01) -> float:
    """Share of everything held by the richest `top` of units, at least one of them."""
    falling = np.sort(np.asarray(amounts, np.float64))[::-1]
    return ratio(float(falling[: max(1, round(top * len(falling)))].sum()), float(falling.sum()))


def overlap(slates: I64) -> float:
    """Mean Jaccard overlap |A n B| / |A u B| over all pairs of slates; 1 when everybody sees the same.

    NaN below two slates; two empty slates do not overlap. n x n in memory: sample slates above a few
    thousand.
    """
    n = len(slates)
    if n < 2:
        return float("nan")
    shared = shared_items(slates)
    sizes = np.diag(shared)
    either = sizes[:, None] + sizes[None, :] - shared
    pairs = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
    return float((pairs.sum() - np.trace(pairs)) / (n * (n - 1)))


def shared_items(slates: I64) -> F64:
    """How many items each pair of slates shares, f64[n, n]; repeats within a slate count once."""
    from scipy import sparse

    owners = np.repeat(np.arange(len(slates)), slates.shape[1])
    items = slates.ravel()
    filled = items != EMPTY
    _, columns = np.unique(items[filled], return_inverse=True)
    cells = np.unique(np.column_stack([owners[filled], columns]), axis=0)
    shape = (len(slates), int(columns.max(initial=-1)) + 1)
    members = sparse.csr_matrix((np.ones(len(cells)), (cells[:, 0], cells[:, 1])), shape=shape)
    return np.asarray((members @ members.T).toarray(), np.float64)


def intra_list_distance(vectors: F64) -> F64:
    """Mean cosine distance over the pairs within each slate, f64[n]; `vectors` [n, k, d] (Ziegler et al., WWW
    2005).

    Uses |sum of unit vectors|^2 = k + 2 * (sum of the pairs' cosines); a zero vector is at distance 1 from
    all.
    """
    n, k, _ = vectors.shape
    if k < 2:
        return np.full(n, np.nan)
    lengths = np.linalg.norm(vectors, axis=2, keepdims=True)
    units = np.divide(vectors, lengths, out=np.zeros(vectors.shape, np.float64), where=lengths > 0)
    own = (units**2).sum(axis=(1, 2))
    return np.asarray(1 - ((units.sum(axis=1) ** 2).sum(axis=1) - own) / (k * (k - 1)), np.float64)


def distinct_share(labels: I64) -> F64:
    """Distinct labels over labels in each slate (topics or creators, [n, k], -1 is no label), f64[n]."""
    ordered = np.sort(labels, axis=1)
    filled = ordered != EMPTY
    fresh = filled.copy()
    fresh[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    totals = filled.sum(axis=1)
    return np.where(totals > 0, fresh.sum(axis=1) / np.maximum(totals, 1), np.nan)
