"""The matrix a model sees: which columns, in which order. Nothing else may decide it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_repo.catalogue import FEATURES

NOT_COLUMNS = ("user_joined_us", "video_uploaded_us")
"""Moments: ingredients of tenure and age, never features themselves (a tree would learn the calendar)."""

COLUMNS = tuple(feature.name for feature in FEATURES if feature.name not in NOT_COLUMNS)
"""Column order of every training and serving matrix. Ids are never columns."""


def matrix_hash() -> str:
    """Changes when a column is added, removed, moved, or changes its window or default."""
    meaning = [
        (f.name, f.view, f.kind, f.event, f.window_us, repr(f.default)) for f in FEATURES if f.name in COLUMNS
    ]
    return hashlib.sha256(repr(meaning).encode()).hexdigest()


def assemble(columns: Mapping[str, Any], n: int) -> NDArray[np.float32]:
    """n rows in COLUMNS order as float32; a scalar fills its column; a missing column is a KeyError."""
    matrix = np.empty((n, len(COLUMNS)), np.float32)
    for place, name in enumerate(COLUMNS):
        matrix[:, place] = _column(columns, name, n)
    return matrix


def _column(columns: Mapping[str, Any], name: str, n: int) -> Any:
    if name not in columns:
        raise KeyError(f"no column {name!r}; the matrix needs all of {', '.join(COLUMNS)}.")
    found = np.asarray(columns[name])
    if found.shape not in ((), (n,)):
        raise ValueError(f"column {name!r} has shape {found.shape}, must be one value or ({n},).")
    return found
