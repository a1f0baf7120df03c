"""LightGBM's model text as trees: tests, leaves from left to right, and where a missing value goes.

Only what is read here is relied on; a text that says more than these trees can mean is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

CATEGORICAL, DEFAULT_LEFT = 1, 2
"""Bits of a decision type; the two bits above them are the missing type."""
ZERO_IS_MISSING, NAN_IS_MISSING = 1, 2
"""The third missing type, 0, takes NaN for 0.0."""

LINKS = {"binary sigmoid:1": "logistic", "cross_entropy": "logistic", "regression": "identity"}
"""How a raw score becomes a prediction, by objective."""

MOST_LEAVES = 256
"""Of a tree: a leaf's number is a byte."""


class NotHeld(ValueError):
    """A model that these trees cannot mean."""


@dataclass(frozen=True)
class Node:
    """A test `value <= threshold`: a row that fails it is in none of the leaves of `left`."""

    feature: int
    threshold: np.float32
    left: int
    """A bit per leaf, the lowest for the leftmost."""
    nan_left: bool


@dataclass(frozen=True)
class Tree:
    nodes: tuple[Node, ...]
    leaves: tuple[float, ...]


@dataclass(frozen=True)
class Forest:
    """A model: the sum of its trees, in their order."""

    trees: tuple[Tree, ...]
    width: int
    """How many features a row has."""
    link: str
    """How a score becomes a prediction: `logistic` or `identity`."""


def forest_of(text: str) -> Forest:
    """The model that the text tells; NotHeld for what these trees cannot mean."""
    header, *parts = text.split("\nTree=")
    fields = _fields(header)
    if fields.get("num_tree_per_iteration") != "1" or "average_output" in header.split("\n"):
        raise NotHeld("the model has several classes or averages its trees, must be one sum of trees.")
    objective = fields.get("objective", "")
    if objective not in LINKS:
        raise NotHeld(f"the objective is {objective!r}, must be one of {', '.join(LINKS)}.")
    trees = tuple(_tree(_fields(part.partition("\n\n")[0])) for part in parts)
    widest = max((len(tree.leaves) for tree in trees), default=1)
    if widest > MOST_LEAVES:
        raise NotHeld(f"a tree has {widest} leaves, must have at most {MOST_LEAVES}.")
    return Forest(trees, int(fields["max_feature_idx"]) + 1, LINKS[objective])


def _fields(lines: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)


def _tree(fields: Mapping[str, str]) -> Tree:
    if fields["num_cat"] != "0" or fields.get("is_linear", "0") != "0":
        raise NotHeld("a tree has categorical splits or linear leaves, must have numerical splits only.")
    values = [float(value) for value in fields["leaf_value"].split()]
    if len(values) == 1:
        return Tree((), tuple(values))
    children = list(zip(_ints(fields["left_child"]), _ints(fields["right_child"]), strict=True))
    spans: dict[int, tuple[int, int]] = {}
    leaves = list(_leaves(children, spans))
    columns = (_ints(fields["split_feature"]), fields["threshold"].split(), _ints(fields["decision_type"]))
    nodes = tuple(_node(*told, spans[place]) for place, told in enumerate(zip(*columns, strict=True)))
    return Tree(nodes, tuple(values[leaf] for leaf in leaves))


def _ints(numbers: str) -> list[int]:
    return [int(number) for number in numbers.split()]


def _leaves(children: list[tuple[int, int]], spans: dict[int, tuple[int, int]]) -> Iterator[int]:
    """Leaf numbers from left to right; `spans` gets, for each node, the places of the leaves to its left.

    A child below zero is the leaf `~child`. A node is met twice: before its left side, and after it.
    """
    waiting, count = [(0, -1)], 0
    while waiting:
        child, left_from = waiting.pop()
        if child < 0:
            count += 1
            yield ~child
        elif left_from < 0:
            left, _ = children[child]
            waiting += [(child, count), (left, -1)]
        else:
            spans[child] = (left_from, count)
            waiting.append((children[child][1], -1))


def _node(feature: int, said: str, decision: int, span: tuple[int, int]) -> Node:
    missing, threshold = decision >> 2, float(said)
    if missing == ZERO_IS_MISSING or decision & CATEGORICAL:
        raise NotHeld("a split is categorical or takes 0 for missing, must take NaN for missing.")
    by_default = bool(decision & DEFAULT_LEFT)
    nan_left = by_default if missing == NAN_IS_MISSING else threshold >= 0
    first, end = span
    return Node(feature, _rounded_down(threshold), (1 << end) - (1 << first), nan_left)


def _rounded_down(threshold: float) -> np.float32:
    """The largest float32 that is not above it."""
    near = np.float32(threshold)
    return near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))
