"""Boosted trees as bit vectors: every row meets every node of a tree, and no row follows a path.

QuickScorer (Lucchese et al., SIGIR 2015) without its sorted thresholds, in bytes. The leaves of a tree are
numbered from left to right and lie in bunches of eight, a bit per leaf. A node whose test the row fails rules
out the leaves to its left, with one AND in each bunch that has some; the lowest bit of the first bunch that
has one left is the leaf the row ends in. What is compared are bytes too, the ranks of `serving.scales`, and a
test is asked of BLOCK rows in a loop without a branch: the compiler asks 32 of them per instruction.

Law: scores equal LightGBM's `Booster.predict(raw_score=True)` bit for bit, missing values included: ranks
compare as values do, and leaves are added in the order of the trees. What bytes cannot hold is refused:
`NotHeld` says what, and LightGBM scores it.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.compiling import compiled
from serving.scales import BLOCK, Columns, Floats, Ranks, Scale
from serving.tree_texts import Forest, Node, Tree, forest_of

Bytes = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ALL = np.uint8(0xFF)
"""No leaf of a bunch is ruled out."""
BUNCH = 8
"""Leaves: the bits of a byte."""
NONE, ONE, TWO, FOUR = (np.uint8(number) for number in (0, 1, 2, 4))
UPPER_HALF, UPPER_QUARTERS, UPPER_BITS = (np.uint8(bits) for bits in (0b11110000, 0b11001100, 0b10101010))


@dataclass(frozen=True)
class TreeScorer:
    """The bunches of tree t are those from `bunches[t]` to `bunches[t + 1]`; bunch b is asked the tests from
    `starts[b]` to `starts[b + 1]`, an even number.
    """

    scale: Scale
    bunches: Ints  # [trees + 1]
    starts: Ints  # [bunches + 1]
    columns: Columns  # [tests]: of the ranks
    bars: Ranks  # [tests]: the highest rank that goes left
    keeps: Bytes  # [tests]: the leaves of the bunch that remain to a row which goes right
    leaf_starts: Ints  # [trees]
    leaves: Doubles
    link: str
    """How a score becomes a prediction: `logistic` or `identity`."""

    @classmethod
    def of(cls, text: str) -> TreeScorer:
        """From LightGBM's model text; NotHeld for categorical splits, linear trees, more than 256 leaves."""
        forest = forest_of(text)
        return cls.on(Scale.of([forest]), forest)

    @classmethod
    def on(cls, scale: Scale, forest: Forest) -> TreeScorer:
        """On a scale that has the forest's thresholds among its own."""
        bunches = [list(_bunches(tree)) for tree in forest.trees]
        tests = [test for tree in bunches for bunch in tree for test in _evened(bunch)]
        columns, bars = scale.places([node for node, _ in tests])
        keeps = np.array([keep for _, keep in tests], np.uint8)
        return cls(
            scale=scale,
            bunches=_running([len(tree) for tree in bunches]),
            starts=_running([len(_evened(bunch)) for tree in bunches for bunch in tree]),
            columns=columns,
            bars=bars,
            keeps=keeps,
            leaf_starts=_running([len(tree.leaves) for tree in forest.trees])[:-1],
            leaves=np.array([leaf for tree in forest.trees for leaf in tree.leaves], np.float64),
            link=forest.link,
        )

    def predict(self, matrix: Floats, threads: int = 1) -> Doubles:
        """float64[n]: what `Booster.predict` answers."""
        return self.linked(self.raw(matrix, threads))

    def linked(self, scores: Doubles) -> Doubles:
        """Predictions of raw scores."""
        return logistic(scores) if self.link == "logistic" else scores

    def raw(self, matrix: Floats, threads: int = 1) -> Doubles:
        """float64[n]: each row's sum over the trees; `threads` 0 is as many as there are cores."""
        pieces = threads or os.cpu_count() or 1
        if pieces == 1:
            return self.sums(self.scale.ranks(matrix), len(matrix))
        edges = [len(matrix) * piece // pieces for piece in range(pieces + 1)]
        parts = [matrix[low:high] for low, high in itertools.pairwise(edges)]
        with ThreadPoolExecutor(pieces) as pool:
            return np.concatenate(list(pool.map(self.raw, parts)))

    def sums(self, ranks: Ranks, rows: int) -> Doubles:
        """float64[rows]: the same, of what the scale made of the matrix."""
        found = np.zeros(rows, np.float64)
        remain, ends = np.empty(BLOCK, np.uint8), np.empty(BLOCK, np.uint8)
        _add_trees(ranks, self.bunches, self.starts, self.columns, self.bars, self.keeps,
                   self.leaf_starts, self.leaves, remain, ends, found)  # fmt: skip
        return found


Test = tuple[Node, int]
"""A node, and which leaves of a bunch remain to a row that fails it."""


def _bunches(tree: Tree) -> Iterator[list[Test]]:
    """From left to right; a bunch is asked the nodes that rule out some leaf of it."""
    for first in range(0, len(tree.leaves), BUNCH):
        lost = [(node, node.left >> first & int(ALL)) for node in tree.nodes]
        yield [(node, int(ALL) ^ leaves) for node, leaves in lost if leaves]


def _evened(bunch: list[Test]) -> list[Test]:
    """An even number of tests: two are asked per pass, and asking one twice changes nothing."""
    return bunch + bunch[-1:] if len(bunch) % 2 else bunch


def _running(sizes: Sequence[int]) -> Ints:
    """Where each begins if they lie one after the other; one more for the end."""
    return np.cumsum([0, *sizes], dtype=np.int64)


@compiled
def _lowest_bit(byte: np.uint8) -> np.uint8:
    """The number of its lowest 1, by halves. Every step is told to stay a byte, so that 32 fit an instruction
    of processors too which cannot count the zeros of a byte.
    """
    only = np.uint8(byte & np.uint8(-byte))
    high = FOUR if np.uint8(only & UPPER_HALF) != NONE else NONE
    middle = TWO if np.uint8(only & UPPER_QUARTERS) != NONE else NONE
    low = ONE if np.uint8(only & UPPER_BITS) != NONE else NONE
    return np.uint8(high | middle | low)


@compiled
def _add_trees(
    ranks: Ranks,
    bunches: Ints,
    starts: Ints,
    columns: Columns,
    bars: Ranks,
    keeps: Bytes,
    leaf_starts: Ints,
    leaves: Doubles,
    remain: Bytes,
    ends: Bytes,
    found: Doubles,
) -> None:
    """`remain` and `ends` are scratch: per row of a block, the leaves of a bunch that remain and the leaf it
    ends in. Bunches are asked from right to left, so the last answer is that of the leftmost.

    Places behind the last row are asked too, and their answers never read.
    """
    for block in range(len(ranks)):
        sums = found[block * BLOCK : (block + 1) * BLOCK]
        for tree in range(len(leaf_starts)):
            for bunch in range(bunches[tree + 1] - 1, bunches[tree] - 1, -1):
                for row in range(BLOCK):
                    remain[row] = ALL
                for test in range(starts[bunch], starts[bunch + 1], 2):
                    one, bar, keep = ranks[block, columns[test]], bars[test], keeps[test]
                    two, rod, hold = ranks[block, columns[test + 1]], bars[test + 1], keeps[test + 1]
                    for row in range(BLOCK):
                        kept = ALL if one[row] <= bar else keep
                        remain[row] &= kept & (ALL if two[row] <= rod else hold)
                first = np.uint8(BUNCH * (bunch - bunches[tree]))
                for row in range(BLOCK):
                    left, before = remain[row], ends[row]
                    ends[row] = np.uint8(first | _lowest_bit(left)) if left != NONE else before
            mine = leaves[leaf_starts[tree] :]
            for row in range(len(sums)):
                sums[row] += mine[ends[row]]


def logistic(scores: Doubles) -> Doubles:
    """LightGBM's link of binary objectives, in the order of its operations."""
    found = np.empty(len(scores), np.float64)
    _logistic(scores, found)
    return found


@compiled
def _logistic(scores: Doubles, found: Doubles) -> None:
    for row in range(len(scores)):
        found[row] = 1.0 / (1.0 + math.exp(-scores[row]))
