"""Values as ranks: how many of the thresholds that trees ask of a feature lie below a value; a byte mostly.

Law: a value is at most a threshold if and only if its rank is at most the threshold's place among those of
its feature. A missing value has the lowest rank where it goes left and the highest where it goes right; a
feature that is asked both ways has two columns. Models that share a scale read a matrix once for all. With
LightGBM's 255 bins a feature has no more thresholds than a byte can count; with more, ranks have two bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.compiling import compiled
from serving.tree_texts import Forest, Node

Floats = npt.NDArray[np.float32]
Columns = npt.NDArray[np.int32]
Ranks = npt.NDArray[np.unsignedinteger[Any]]

BLOCK = 512
"""Rows at once: the 500 of a request. The ranks of a block fit the fastest cache; with few rows, going from
one test to the next takes as long as the tests. `make bench-scorer` measures it."""

FINE = (128, 64, 32, 16, 8, 4, 2, 1)
COARSE = (32_768, 16_384, 8_192, 4_096, 2_048, 1_024, 512, 256)
"""Steps of a bisection: the compiler writes them out one by one, and so without a branch."""


@dataclass(frozen=True, eq=False)
class Scale:
    """What tells the values of each feature apart, for all nodes of some models."""

    width: int
    """Columns of a matrix."""
    columns: Mapping[tuple[int, bool], int]
    """By feature, and whether a missing value goes left: where its ranks stand."""
    features: Columns  # [columns]
    missing: Ranks  # [columns]: the rank of a missing value
    marks: Floats  # [columns, 255 or 65,535]: thresholds, ascending; behind the last, infinity

    @classmethod
    def of(cls, forests: Sequence[Forest]) -> Scale:
        """The scale of these models, which have the same features."""
        widths = {forest.width for forest in forests}
        if len(widths) > 1:
            raise ValueError(f"the models have {sorted(widths)} columns, must all have the same.")
        nodes = [node for forest in forests for tree in forest.trees for node in tree.nodes]
        asked: dict[int, set[np.float32]] = defaultdict(set)
        for node in nodes:
            asked[node.feature].add(node.threshold)
        kinds = sorted({(node.feature, node.nan_left) for node in nodes})
        ranked = np.uint8 if all(len(marks) <= 0xFF for marks in asked.values()) else np.uint16
        highest = int(np.iinfo(ranked).max)
        marks = np.full((len(kinds), highest), np.inf, np.float32)
        for row, (feature, _) in zip(marks, kinds, strict=True):
            row[: len(asked[feature])] = sorted(asked[feature])
        return cls(
            width=max(widths, default=0),
            columns={kind: column for column, kind in enumerate(kinds)},
            features=np.array([feature for feature, _ in kinds], np.int32),
            missing=np.array([0 if left else highest for _, left in kinds], ranked),
            marks=marks,
        )

    def places(self, nodes: Sequence[Node]) -> tuple[Columns, Ranks]:
        """Of each node: its column, and the highest rank that goes left."""
        columns = [self.columns[node.feature, node.nan_left] for node in nodes]
        bars = [self.marks[at].searchsorted(node.threshold) for at, node in zip(columns, nodes, strict=True)]
        return np.array(columns, np.int32), np.array(bars, self.missing.dtype)

    def ranks(self, matrix: Floats, block: int = BLOCK) -> Ranks:
        """[blocks, columns, rows of a block]; what stands behind the last row means nothing."""
        rows = np.ascontiguousarray(matrix, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"the matrix is {list(rows.shape)}, must have {self.width} columns.")
        found = np.empty((-(-len(rows) // block), len(self.features), block), self.missing.dtype)
        for number, ranks in enumerate(found):
            _rank(rows[number * block : (number + 1) * block], self.features, self.missing, self.marks, ranks)
        return found


@compiled
def _rank(rows: Floats, features: Columns, missing: Ranks, marks: Floats, ranks: Ranks) -> None:
    """By bisection, unless the row above says the same: all rows do in the columns of a person."""
    wide = marks.shape[1] > 0xFF
    for column in range(len(features)):
        mine, to, feature = marks[column], ranks[column], features[column]
        before, below = np.float32(-np.inf), np.uint32(0)
        for row in range(len(rows)):
            value = rows[row, feature]
            if np.isnan(value):
                to[row] = missing[column]
                continue
            if value != before:
                before, below = value, np.uint32(0)
                if wide:
                    for step in COARSE:
                        below += (
                            np.uint32(step) if mine[below + np.uint32(step - 1)] < value else np.uint32(0)
                        )
                for step in FINE:
                    below += np.uint32(step) if mine[below + np.uint32(step - 1)] < value else np.uint32(0)
            to[row] = below
