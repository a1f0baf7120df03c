"""What a person would do with each candidate: one LightGBM model per objective, each with its calibrator.

Boosters travel as LightGBM text and are scored as bit vectors, bit for bit as LightGBM would; what those
cannot hold, LightGBM scores itself. The heads of a release share one scale, and so one ranking of a request's
matrix. A request is scored with one thread: a second halves the median and wrecks the tail as soon as the
other core is busy.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from serving.calibrators import Calibrator
from serving.scales import Floats, Ranks, Scale
from serving.tree_scorers import Doubles, TreeScorer
from serving.tree_texts import Forest, NotHeld, forest_of

log = logging.getLogger("serving.heads")

HEADS = ("long_watch", "watch", "like", "share_or_follow", "negative")
"""Objectives in the order the value file weighs them; names are those of feature_repo.labels."""

REQUEST_ROWS = 10_000
"""Up to here a matrix may be a request's and gets one thread; a larger one is a pipeline's and gets all."""


class Ranked:
    """A matrix of a request, and its ranks by scale: each is made when the first head asks for it."""

    def __init__(self, matrix: Floats) -> None:
        self.matrix = matrix
        self._ranks: dict[Scale, Ranks] = {}

    def on(self, scale: Scale) -> Ranks:
        if scale not in self._ranks:
            self._ranks[scale] = scale.ranks(self.matrix)
        return self._ranks[scale]


@dataclass(frozen=True)
class Head:
    """One objective: a booster's text, its trees if bit vectors can hold them, and its calibrator."""

    text: str
    trees: TreeScorer | None
    calibrator: Calibrator

    @cached_property
    def booster(self) -> Any:
        """LightGBM's own scorer, parsed when it is first wanted (no pickle is ever loaded)."""
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import lightgbm

        return lightgbm.Booster(model_str=self.text)

    def raw(self, rows: Floats | Ranked) -> Doubles:
        """Scores before calibration; rows in, rows out."""
        matrix = rows.matrix if isinstance(rows, Ranked) else rows
        threads = 1 if len(matrix) <= REQUEST_ROWS else 0
        if self.trees is None:
            return np.asarray(self.booster.predict(matrix, num_threads=threads), np.float64)
        if isinstance(rows, Ranked) and threads == 1:
            return self.trees.linked(self.trees.sums(rows.on(self.trees.scale), len(matrix)))
        return self.trees.predict(matrix, threads)

    def predict(self, rows: Floats | Ranked) -> Doubles:
        return self.calibrator(self.raw(rows))


@dataclass(frozen=True)
class Heads:
    """Every objective's head, by name."""

    by_name: Mapping[str, Head]

    def predict(self, matrix: Floats) -> dict[str, Doubles]:
        """A calibrated column per objective for a matrix in the column order of feature_repo.matrix."""
        rows = Ranked(matrix)
        return {name: head.predict(rows) for name, head in self.by_name.items()}

    def texts(self) -> dict[str, str]:
        return {name: head.text for name, head in self.by_name.items()}

    def calibrators(self) -> dict[str, dict[str, list[float]]]:
        return {name: head.calibrator.as_json() for name, head in self.by_name.items()}

    @classmethod
    def from_texts(
        cls, texts: Mapping[str, str], calibrators: Mapping[str, Mapping[str, list[float]]]
    ) -> Heads:
        """Heads from what `texts` and `calibrators` wrote; a head without its calibrator is refused."""
        missing = sorted(set(texts) ^ set(calibrators))
        if missing:
            raise ValueError(f"heads {missing} lack a booster or a calibrator; each needs both.")
        forests = {name: _forest(name, text) for name, text in texts.items()}
        scale = Scale.of([forest for forest in forests.values() if forest is not None])
        heads = {
            name: Head(
                text=texts[name],
                trees=None if forest is None else TreeScorer.on(scale, forest),
                calibrator=Calibrator.from_json(calibrators[name]),
            )
            for name, forest in forests.items()
        }
        for head in heads.values():  # LightGBM reads what is its to score now, not on a request
            assert head.trees is not None or head.booster is not None
        return cls(heads)


def _forest(name: str, text: str) -> Forest | None:
    """The trees of a head; None, said once, if they are LightGBM's to score."""
    try:
        return forest_of(text)
    except NotHeld as why:
        log.warning("head %s is scored by LightGBM, some twenty times slower: %s", name, why)
        return None
