"""Features counted straight from facts for rows that ask: no table of steps, no store, no join.

Law: the answer is the as-of join of the steps at each row's moment. Monitors use it, because events that no
step table holds yet are facts already; audits use it, because it shares nothing with the join but the law.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import STATS, View
from feature_repo.facts import KEY_SPAN, NOBODY, Facts, Ints
from feature_repo.formulas import Floats, formula
from feature_repo.orders import in_order
from feature_repo.windows import Keyed, sums_at


def counted(facts: Facts, view: View, keys: Ints, moments_us: Ints) -> Floats:
    """f32[n, features] of the view for each (key, moment), keys as `Facts.keys_for` makes them."""
    keyed = Keyed.of(facts, view)
    codes = np.searchsorted(keyed.keys, keys).clip(0, max(0, len(keyed.keys) - 1))
    known = keyed.keys[codes] == keys if len(keyed.keys) else np.zeros(len(keys), np.bool_)
    rows = np.flatnonzero(known)
    order = rows[in_order(codes[rows], moments_us[rows], len(keyed.keys))]
    sums = np.zeros((len(keys), len(formula(view.name).wanted)), np.int64)
    sums[order] = sums_at(keyed, codes[order], moments_us[order], view.windows_us, formula(view.name).wanted)
    return formula(view.name).values(sums)


def counted_columns(
    facts: Facts, asked: Mapping[str, Ints], moments_us: Ints, views: Sequence[View] = STATS
) -> dict[str, NDArray[np.float32]]:
    """Every windowed feature, one value per row; `asked` has every key, NOBODY where it is unknown."""
    columns: dict[str, NDArray[np.float32]] = {}
    for view in views:
        parts = [asked[key] for key in view.keys]
        keys = parts[0] if len(parts) == 1 else parts[0] * KEY_SPAN + parts[1]
        whole = np.where(np.logical_and.reduce([part >= 0 for part in parts]), keys, NOBODY)
        values = counted(facts, view, whole, moments_us)
        columns |= {name: values[:, place] for place, name in enumerate(view.names)}
    return columns


def profiles_before(
    profiles: pl.DataFrame, view: View, keys: Ints, moments_us: Ints
) -> dict[str, NDArray[Any]]:
    """A profile's fields where it was known strictly before each moment, else unknown (NaN)."""
    table = profiles.unique(view.keys[0], keep="first", maintain_order=True).sort(view.keys[0])
    ids = table[view.keys[0]].to_numpy()
    rows = np.searchsorted(ids, keys).clip(0, max(0, len(ids) - 1))
    since_us = table["event_timestamp"].to_physical().to_numpy()
    known = (
        (ids[rows] == keys) & (since_us[rows] <= moments_us) if len(ids) else np.zeros(len(keys), np.bool_)
    )
    columns: dict[str, NDArray[Any]] = {}
    for feature in view.features:
        dtype = np.float64 if feature.integer else np.float32
        values = table[feature.name].cast(pl.Float64).to_numpy() if len(ids) else np.zeros(0)
        columns[feature.name] = np.where(known, values[rows] if len(ids) else np.nan, np.nan).astype(dtype)
    return columns
