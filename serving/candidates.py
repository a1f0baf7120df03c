"""The table that flows through a request: one row per candidate, one array per column, never edited in place.

Lengths and dtypes are checked here and nowhere else. A stage adds columns or keeps rows; it cannot change a
cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.catalogue import USER_TOPIC_STATS
from feature_repo.compiling import compiled_for
from feature_repo.events import TOPICS

Column = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]

NO_IDS: Ids = np.empty(0, dtype=np.int64)
DTYPES = frozenset("biuf")
"""Kinds of numpy dtype a column may have: bool, int, unsigned, float."""

TOPIC_STATISTICS = len(USER_TOPIC_STATS.features)
"""user_topic_* features per topic, in the catalogue's order."""


@dataclass(frozen=True)
class Person:
    """Who is asking, as the models see them: features from the online store and their tower vector."""

    features: Mapping[str, float]
    topics: npt.NDArray[np.float32]
    """f32[TOPICS, TOPIC_STATISTICS]: the user_topic_* features of every topic."""
    vector: npt.NDArray[np.float32]
    """Output of the user tower; empty when it could not be computed."""


NOBODY = Person({}, np.full((TOPICS, TOPIC_STATISTICS), np.nan, np.float32), np.empty(0, np.float32))
"""Nothing could be read: every feature is unknown."""


@dataclass(frozen=True)
class Query:
    """One request for a slate, with everything the server remembers of the person at that moment.

    What is only looked up in is ascending: `seen`, `follows`, `hidden`, `blocked`.
    """

    user_id: int
    request_id: int
    now_us: int
    limit: int = 10
    surface: int = 0
    explore: bool = True
    """False: the slate is the deterministic best one; every propensity is 1, no support for others."""
    history: Ids = field(default_factory=lambda: NO_IDS)
    """Last watched videos, newest first, padded with -1."""
    history_weights: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    """Share of each that was watched, in [0, 1]."""
    seen: Ids = field(default_factory=lambda: NO_IDS)
    follows: Ids = field(default_factory=lambda: NO_IDS)
    """Creators the person follows."""
    hidden: Ids = field(default_factory=lambda: NO_IDS)
    """Videos the person hid or reported."""
    blocked: Ids = field(default_factory=lambda: NO_IDS)
    """Creators whose videos the person must not be shown."""
    person: Person = NOBODY

    def __post_init__(self) -> None:
        for name in ("seen", "follows", "hidden", "blocked"):
            ids = getattr(self, name)
            if len(ids) > 1 and not _ascends(ids):
                raise ValueError(f"query.{name} is not ascending; sort it.")

    def of(self, person: Person) -> Query:
        """The same request, with more known of who asks; its ids were checked before."""
        query = Query.__new__(Query)
        query.__dict__.update(self.__dict__, person=person)
        return query


@dataclass(frozen=True)
class Found:
    """What one source brings: ids, best first, and its own scores."""

    video_ids: Ids
    scores: npt.NDArray[np.float32]

    def first(self, most: int) -> Found:
        return Found(self.video_ids[:most], self.scores[:most])


NOTHING_FOUND = Found(NO_IDS, np.empty(0, np.float32))


@dataclass(frozen=True)
class Candidates:
    """Columns of equal length; `video_id` is always one of them."""

    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        ids = self.columns.get("video_id")
        if ids is None or ids.dtype != np.int64 or ids.ndim != 1:
            raise ValueError("a table of candidates needs a column 'video_id' of int64.")
        for name, column in self.columns.items():
            _check(name, column, len(ids))

    @classmethod
    def _of(cls, columns: Mapping[str, Column]) -> Candidates:
        """Columns that were checked before, or made out of such."""
        table = cls.__new__(cls)
        object.__setattr__(table, "columns", columns)
        return table

    def __len__(self) -> int:
        return len(self.columns["video_id"])

    def __getitem__(self, name: str) -> Column:
        if name not in self.columns:
            raise KeyError(f"no column {name!r}. Columns so far: {', '.join(sorted(self.columns))}.")
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    @property
    def ids(self) -> Ids:
        return self.columns["video_id"]

    def with_columns(self, columns: Mapping[str, Column]) -> Candidates:
        """The same rows with more columns; a column that exists already is refused."""
        taken = self.columns.keys() & columns.keys()
        if taken:
            raise ValueError(
                f"column {', '.join(sorted(taken))} exists already; a stage may only add its own."
            )
        for name, column in columns.items():
            _check(name, column, len(self))
        return Candidates._of({**self.columns, **columns})

    def only(self, names: Iterable[str]) -> Candidates:
        """The same rows with these columns alone, where there are such."""
        return Candidates._of({name: self.columns[name] for name in names if name in self.columns})

    def take(self, rows: Rows | Mask) -> Candidates:
        """The rows named, in that order."""
        return Candidates._of({name: column[rows] for name, column in self.columns.items()})


def candidates(video_ids: Ids, **columns: Column) -> Candidates:
    """A table of these videos."""
    return Candidates({"video_id": np.asarray(video_ids, dtype=np.int64), **columns})


def checked_mask(name: str, mask: Column, rows: int) -> Mask:
    """The mask of a filter: one bool per row, or an error naming the filter."""
    if mask.dtype != np.bool_ or mask.shape != (rows,):
        raise ValueError(f"filter {name} answered {mask.dtype}{list(mask.shape)}, must be bool[{rows}].")
    return mask


@compiled_for("bool_(Array(int64, 1, 'C', readonly=True))")
def _ascends(ids: Ids) -> bool:
    """Whether none is below the one before it."""
    return bool(np.all(ids[1:] >= ids[:-1]))


def _check(name: str, column: Column, rows: int) -> None:
    if column.ndim not in (1, 2) or len(column) != rows or column.dtype.kind not in DTYPES:
        found = f"{column.dtype}{list(column.shape)}"
        raise ValueError(f"column {name!r} is {found}, must be bool, int or float with {rows} rows.")
