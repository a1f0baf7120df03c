"""The five things a component of the feed can do. Each returns only its contribution, so each law is a type.

A source cannot rank, a hydrator cannot drop, a filter cannot edit, a scorer cannot reorder, a selector
cannot rescore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from serving.candidates import Candidates, Column, Found, Mask, Person, Query, Rows


class Component(Protocol):
    """Everything in a feed has a name: it appears in explanations, metrics and the log."""

    @property
    def name(self) -> str: ...


class Reader(Component, Protocol):
    """Before the five verbs: learns more of the person who is asking, once per request."""

    def read(self, query: Query, /) -> Person: ...


class Source(Component, Protocol):
    """Finds videos worth considering, best first by its own score."""

    def find(self, query: Query, /) -> Found: ...


class Hydrator(Component, Protocol):
    """Describes every row: columns of the table's length, named in `gives`."""

    @property
    def gives(self) -> tuple[str, ...]: ...

    def describe(self, query: Query, table: Candidates, /) -> Mapping[str, Column]: ...


class PartlyDescribed(Exception):
    """A hydrator's columns of which some are unknown, all NaN, and their names: the others are whole."""

    def __init__(self, columns: Mapping[str, Column], failed: Sequence[str]) -> None:
        super().__init__(f"{', '.join(failed)} could not be described.")
        self.columns, self.failed = columns, tuple(failed)


class Filter(Component, Protocol):
    """Which rows may be shown: one bool per row, True keeps."""

    def keep(self, query: Query, table: Candidates, /) -> Mask: ...


class Scorer(Component, Protocol):
    """One number per row; higher is better, NaN is unknown and sorts last."""

    def score(self, query: Query, table: Candidates, /) -> npt.NDArray[np.float64]: ...


@dataclass(frozen=True)
class Choice:
    """A slate as row numbers, best first, with the probability the policy gave each at its position."""

    rows: Rows
    propensities: npt.NDArray[np.float64]
    """Of this item at this position given the items above it; 1 where the slot was deterministic."""
    explored: Mask
    """True where the slot was drawn uniformly, not by value."""
    drawn_from: tuple[str, ...] = ()
    """Per slot, the part of the policy that drew it: value, uniform, a pool, or best where chance was off."""


class Selector(Component, Protocol):
    """Chooses at most `query.limit` rows of a table that has a column `value`."""

    def choose(self, query: Query, table: Candidates, rng: np.random.Generator, /) -> Choice: ...
