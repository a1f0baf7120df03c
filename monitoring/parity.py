"""Served against joined, cell by cell in float32, and what it means where they differ.

Law: a cell is explained only as `stale` (a mirrored column that is the join at the time logged with its
mirror) or `late` (the join without the events that were stored after the slate). Every other difference is a
mismatch; a cause is then named if one hypothesis accounts for nearly all of a column's: served at a
neighbouring microsecond, from an old table, in another unit or type, as a default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from feature_repo.catalogue import feature_named
from feature_repo.matrix import COLUMNS
from monitoring.skew import MIRRORED, TOLERANCES, Mask, Matrix, same

Column = NDArray[np.float32]

EXPLAINED = ("stale", "late")
UNEXPLAINED = "unexplained"
MOST_EXPLAINED = 0.01
"""Share of cells that may be stale or late; more is a system that does not keep up."""
MOST_OF_A_COLUMN = 0.9
"""A hypothesis names a column's cause if it accounts for at least this share of its mismatches."""
RATIOS = (1000.0, 60.0, 3600.0, 24.0, 100.0, 7.0)
"""Of units people confuse: ms and s, s and min, s and h, h and days, shares and percent, days and weeks."""
CLOSE = 1e-5


@dataclass(frozen=True)
class Evidence:
    """What was served and what it might have been, f32[n, COLUMNS] each, row by row the same impressions."""

    served: Matrix
    joined: Matrix
    """As of each impression's moment: what must be."""
    mirrored: Matrix
    """As of the time logged with the mirror."""
    late: Matrix
    """As of the first event stored after the slate though known before; the join where there is none."""
    hypotheses: Mapping[str, Matrix] = field(default_factory=dict)
    """By the cause it would name: the join at another moment; the join itself in undiagnosed rows."""


@dataclass(frozen=True)
class ColumnParity:
    """One column's cells by what they are, and the largest difference among the mismatches."""

    column: str
    cells: int
    equal: int
    causes: Mapping[str, int]
    largest: float

    @property
    def explained(self) -> int:
        return sum(self.causes.get(cause, 0) for cause in EXPLAINED)

    @property
    def mismatched(self) -> int:
        return self.cells - self.equal - self.explained

    @property
    def named(self) -> str:
        """The cause of most of its mismatches; empty where there is none."""
        wrong = {cause: n for cause, n in self.causes.items() if cause not in EXPLAINED}
        return max(wrong, key=lambda cause: wrong[cause]) if wrong else ""


@dataclass(frozen=True)
class Parity:
    """Every column, and the two judgements: nothing mismatched, and little that needed an explanation."""

    rows: int
    columns: tuple[ColumnParity, ...]

    @property
    def cells(self) -> int:
        return sum(each.cells for each in self.columns)

    @property
    def mismatched(self) -> int:
        return sum(each.mismatched for each in self.columns)

    @property
    def explained_share(self) -> float:
        return sum(each.explained for each in self.columns) / max(1, self.cells)

    @property
    def holds(self) -> bool:
        return self.rows > 0 and self.mismatched == 0 and self.explained_share <= MOST_EXPLAINED

    def figures(self) -> dict[str, object]:
        """What the report holds; columns without differences are left out."""
        differing = [each for each in self.columns if each.equal < each.cells]
        return {
            "rows": self.rows,
            "cells": self.cells,
            "mismatched": self.mismatched,
            "explained_share": self.explained_share,
            "holds": self.holds,
            "columns": {
                each.column: {"cells": each.cells, "causes": dict(each.causes), "largest": each.largest}
                for each in differing
            },
        }


def parity(evidence: Evidence) -> Parity:
    """Every column of the matrix, in its order."""
    columns = tuple(column_parity(name, place, evidence) for place, name in enumerate(COLUMNS))
    return Parity(len(evidence.served), columns)


def differing(served: Matrix, joined: Matrix) -> Mask:
    """[n], the rows of which some cell is not equal."""
    wrong = [~same(served[:, n], joined[:, n], TOLERANCES.get(name, 0.0)) for n, name in enumerate(COLUMNS)]
    return np.asarray(np.logical_or.reduce(wrong), np.bool_)


def column_parity(name: str, place: int, evidence: Evidence) -> ColumnParity:
    """One column: equal, explained, or named by the hypothesis that accounts for most of what is left."""
    served, joined = evidence.served[:, place], evidence.joined[:, place]
    tolerance = TOLERANCES.get(name, 0.0)
    left = ~same(served, joined, tolerance)
    causes: dict[str, int] = {}
    for cause, other in (("stale", evidence.mirrored), ("late", evidence.late)):
        mine = left & same(served, other[:, place], tolerance) & (cause == "late" or name in MIRRORED)
        causes[cause] = int(mine.sum())
        left &= ~mine
    gaps = np.abs(served[left].astype(np.float64) - joined[left])
    for cause, count in _named(name, served[left], joined[left], _others(evidence, place, left)):
        causes[cause] = count
    found = {cause: n for cause, n in causes.items() if n}
    equal = len(served) - sum(found.values())
    return ColumnParity(
        name, len(served), equal, found, float(np.nan_to_num(gaps, nan=np.inf).max(initial=0.0))
    )


def _others(evidence: Evidence, place: int, left: Mask) -> dict[str, Column]:
    return {cause: matrix[left, place] for cause, matrix in evidence.hypotheses.items()}


def _named(
    name: str, served: Column, joined: Column, others: Mapping[str, Column]
) -> Iterator[tuple[str, int]]:
    """How many mismatches go by the cause that accounts for nearly all of them; the rest have none."""
    if not len(served):
        return
    accounts: Sequence[tuple[str, Mask]] = [
        *((cause, same(served, other, TOLERANCES.get(name, 0.0))) for cause, other in others.items()),
        *((cause, test(name, served, joined)) for cause, test in TESTS.items()),
    ]
    cause, accounted = max(accounts, key=lambda each: int(each[1].sum()))
    mine = int(accounted.sum()) if accounted.mean() >= MOST_OF_A_COLUMN else 0
    yield from ((cause, mine), (UNEXPLAINED, len(served) - mine))


def is_in_another_unit(_: str, served: Column, joined: Column) -> Mask:
    """Served is the join times or over one ratio of units, the same in every cell."""
    nothing = np.zeros(len(served), np.bool_)
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients = served.astype(np.float64) / joined
    for ratio in (*RATIOS, *(1 / ratio for ratio in RATIOS)):
        fits = np.abs(quotients / ratio - 1) < CLOSE
        if fits.mean() >= MOST_OF_A_COLUMN:
            return np.asarray(fits)
    return nothing


def is_a_default(name: str, served: Column, joined: Column) -> Mask:
    """Served is the catalogue's default though something is known, or a zero that stands for the unknown."""
    default = np.float32(feature_named(name).default)
    return np.asarray(same(served, np.full_like(served, default)) | ((served == 0) & np.isnan(joined)))


def is_another_type(_: str, served: Column, joined: Column) -> Mask:
    """Served is the join cut or rounded to a whole number, or held in sixteen bits."""
    with np.errstate(over="ignore"):
        halved = joined.astype(np.float16).astype(np.float32)
    return np.asarray((served == np.trunc(joined)) | (served == np.rint(joined)) | (served == halved))


TESTS: Mapping[str, Callable[[str, Column, Column], Mask]] = {
    "default": is_a_default,
    "unit": is_in_another_unit,
    "type": is_another_type,
}
