"""Boosted trees as bit vectors: every row meets every node of a tree, and no row follows a path.

QuickScorer (Lucchese et al., SIGIR 2015) without its sorted thresholds. The leaves of a tree are numbered
from left to right and each row starts with a word of ones, a bit per leaf. A node whose test the row fails
rules out the leaves to its left, with one AND; the lowest bit that remains is the leaf the row ends in. A
node is asked of BLOCK rows in a loop without a branch, so the compiler asks 8 or 16 of them per instruction.

Law: scores equal LightGBM's `Booster.predict(raw_score=True)` bit for bit, missing values included. A float32
is at most a float64 threshold iff it is at most the largest float32 that is not above it; leaves are added in
the order of the trees. What a word cannot hold is refused: `NotHeld` says what, and LightGBM scores it.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from feature_repo.orders import compiled
from serving.tree_texts import NotHeld, link_of, trees_of, width_of

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Columns = npt.NDArray[np.int32]
Words = npt.NDArray[np.unsignedinteger[Any]]

BLOCK = 168
"""Rows at once; three blocks hold the 500 of a request. With few, LLVM does not vectorise; with many, words
leave the fastest cache; columns a power of two apart evict each other. `make bench-scorer` measures it."""

MOST_LEAVES = 64


@dataclass(frozen=True)
class TreeScorer:
    """The nodes of all trees, those of tree t at `starts[t]:starts[t + 1]`; where a missing value goes left
    come last, from `nan_left[t]` on.
    """

    width: int
    """Columns of a matrix."""
    starts: Ints  # [trees + 1]
    nan_left: Ints  # [trees]
    features: Columns  # [nodes]
    thresholds: Floats  # [nodes]
    keeps: Words  # [nodes]: the leaves that remain to a row which goes right
    leaf_starts: Ints  # [trees]
    leaves: Doubles
    link: str
    """How a score becomes a prediction: `logistic` or `identity`."""

    @classmethod
    def of(cls, text: str) -> TreeScorer:
        """From LightGBM's model text; NotHeld for categorical splits, linear trees, more than 64 leaves."""
        trees = trees_of(text)
        widest = max((len(tree.leaves) for tree in trees), default=1)
        if widest > MOST_LEAVES:
            raise NotHeld(f"a tree has {widest} leaves, must have at most {MOST_LEAVES}.")
        nodes = [node for tree in trees for node in tree.nodes]
        starts = _running([len(tree.nodes) for tree in trees])
        word = np.uint32 if widest <= MOST_LEAVES // 2 else np.uint64
        lefts: Words = np.array([node.left for node in nodes], word)
        last = [sum(node.nan_left for node in tree.nodes) for tree in trees]
        return cls(
            width=width_of(text),
            starts=starts,
            nan_left=starts[1:] - np.array(last, np.int64),
            features=np.array([node.feature for node in nodes], np.int32),
            thresholds=np.array([node.threshold for node in nodes], np.float32),
            keeps=~lefts,
            leaf_starts=_running([len(tree.leaves) for tree in trees])[:-1],
            leaves=np.array([leaf for tree in trees for leaf in tree.leaves], np.float64),
            link=link_of(text),
        )

    def predict(self, matrix: Floats, threads: int = 1) -> Doubles:
        """float64[n]: what `Booster.predict` answers."""
        scores = self.raw(matrix, threads)
        return logistic(scores) if self.link == "logistic" else scores

    def raw(self, matrix: Floats, threads: int = 1) -> Doubles:
        """float64[n]: each row's sum over the trees; `threads` 0 is as many as there are cores."""
        rows = np.ascontiguousarray(matrix, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"the matrix is {list(rows.shape)}, must have {self.width} columns.")
        found = np.zeros(len(rows), np.float64)
        pieces = threads or os.cpu_count() or 1
        if pieces == 1:
            self._add(rows, found)
            return found
        edges = [len(rows) * piece // pieces for piece in range(pieces + 1)]
        with ThreadPoolExecutor(pieces) as pool:
            parts = [slice(low, high) for low, high in itertools.pairwise(edges)]
            list(pool.map(lambda part: self._add(rows[part], found[part]), parts))
        return found

    def _add(self, rows: Floats, found: Doubles) -> None:
        block = np.empty((rows.shape[1], BLOCK), np.float32)
        words = np.empty(BLOCK, self.keeps.dtype)
        _add_trees(rows, self.starts, self.nan_left, self.features, self.thresholds, self.keeps,
                   self.leaf_starts, self.leaves, block, words, found)  # fmt: skip


def _running(sizes: Sequence[int]) -> Ints:
    """Where each begins if they lie one after the other; one more for the end."""
    return np.cumsum([0, *sizes], dtype=np.int64)


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(_: Any, word: Any) -> Any:
    """The number of the lowest 1 of a word: one instruction, for which numba has no name."""

    def count(context: Any, builder: Any, _: Any, values: Any) -> Any:
        place = builder.cttz(values[0], ir.Constant(ir.IntType(1), 0))
        return context.cast(builder, place, word, types.int64)

    return types.int64(word), count


@compiled
def _add_trees(
    rows: Floats,
    starts: Ints,
    nan_left: Ints,
    features: Columns,
    thresholds: Floats,
    keeps: Words,
    leaf_starts: Ints,
    leaves: Doubles,
    block: Floats,
    words: Words,
    found: Doubles,
) -> None:
    """`block` and `words` are scratch, a column per feature and a word per row; places behind the last row
    are asked too, and their answers never read.
    """
    everything = ~(words[0] ^ words[0])
    for first in range(0, len(rows), BLOCK):
        here = min(BLOCK, len(rows) - first)
        for row in range(here):
            for feature in range(rows.shape[1]):
                block[feature, row] = rows[first + row, feature]
        for tree in range(len(leaf_starts)):
            for row in range(BLOCK):
                words[row] = everything
            for node in range(starts[tree], nan_left[tree]):
                column, bar, keep = block[features[node]], thresholds[node], keeps[node]
                for row in range(BLOCK):
                    words[row] &= everything if column[row] <= bar else keep
            for node in range(nan_left[tree], starts[tree + 1]):
                column, bar, keep = block[features[node]], thresholds[node], keeps[node]
                for row in range(BLOCK):
                    words[row] &= keep if column[row] > bar else everything
            for row in range(here):
                found[first + row] += leaves[leaf_starts[tree] + _lowest_bit(words[row])]


def logistic(scores: Doubles) -> Doubles:
    """LightGBM's link of binary objectives, in the order of its operations."""
    found = np.empty(len(scores), np.float64)
    _logistic(scores, found)
    return found


@compiled
def _logistic(scores: Doubles, found: Doubles) -> None:
    for row in range(len(scores)):
        found[row] = 1.0 / (1.0 + math.exp(-scores[row]))
