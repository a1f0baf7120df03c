"""The matrix a model sees: which columns, in which order. Nothing else may decide it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_repo.catalogue import FEATURES

NOT_COLUMNS = ("user_joined_us", "video_uploaded_us")
"""Moments: ingredients of tenure and age, never features themselves (a tree would learn the calendar)."""

COLUMNS = tuple(feature.name for feature in FEATURES if feature.name not in NOT_COLUMNS)
"""Column order of every training and serving matrix. Ids are never columns."""

_all_of = itemgetter(*COLUMNS)

ROWS = 4_096
"""Rows put together at once: their columns, a megabyte, are still in the cache when they become rows."""


def matrix_hash() -> str:
    """Changes when a column is added, removed, moved, or changes its window or default."""
    meaning = [
        (f.name, f.view, f.kind, f.event, f.window_us, repr(f.default)) for f in FEATURES if f.name in COLUMNS
    ]
    return hashlib.sha256(repr(meaning).encode()).hexdigest()


def assemble(columns: Mapping[str, Any], n: int) -> NDArray[np.float32]:
    """n rows in COLUMNS order as float32; a scalar fills its column; a missing column is a KeyError."""
    try:
        found = list(_all_of(columns))
    except KeyError as missing:
        raise KeyError(f"no column {missing}; the matrix needs all of {', '.join(COLUMNS)}.") from None
    if {getattr(column, "shape", None) for column in found} != {(n,)}:
        found = [_filling(column, name, n) for column, name in zip(found, COLUMNS, strict=True)]
    matrix = np.empty((n, len(COLUMNS)), np.float32)
    for low in range(0, n, ROWS):
        part = [column[low : low + ROWS] for column in found] if n > ROWS else found
        matrix[low : low + ROWS] = np.array(part, np.float32).T
    return matrix


def _filling(told: Any, name: str, n: int) -> NDArray[Any]:
    column = np.asarray(told)
    if column.shape not in ((), (n,)):
        raise ValueError(f"column {name!r} has shape {column.shape}, must be one value or ({n},).")
    return np.broadcast_to(column, (n,))
