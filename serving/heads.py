"""What a person would do with each candidate: one LightGBM model per objective, each with its calibrator.

Boosters travel as LightGBM text and are scored as bit vectors, bit for bit as LightGBM would; what those
cannot hold, LightGBM scores itself. A request is scored with one thread: a second halves the median and
wrecks the tail as soon as the other core is busy.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.calibrators import Calibrator
from serving.tree_scorers import TreeScorer
from serving.tree_texts import NotHeld

log = logging.getLogger("serving.heads")

HEADS = ("long_watch", "watch", "like", "share_or_follow", "negative")
"""Objectives in the order the value file weighs them; names are those of feature_repo.labels."""

REQUEST_ROWS = 10_000
"""Up to here a matrix may be a request's and gets one thread; a larger one is a pipeline's and gets all."""


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

    def raw(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Scores before calibration; rows in, rows out."""
        threads = 1 if len(matrix) <= REQUEST_ROWS else 0
        if self.trees is None:
            return np.asarray(self.booster.predict(matrix, num_threads=threads), np.float64)
        return self.trees.predict(matrix, threads)

    def predict(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return self.calibrator(self.raw(matrix))


@dataclass(frozen=True)
class Heads:
    """Every objective's head, by name."""

    by_name: Mapping[str, Head]

    def predict(self, matrix: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float64]]:
        """A calibrated column per objective for a matrix in the column order of feature_repo.matrix."""
        return {name: head.predict(matrix) for name, head in self.by_name.items()}

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
        heads = {
            name: head_from(text, Calibrator.from_json(calibrators[name])) for name, text in texts.items()
        }
        return cls(heads)


def head_from(text: str, calibrator: Calibrator) -> Head:
    """A head of a model text. What bit vectors cannot hold is parsed by LightGBM now, not on a request."""
    try:
        return Head(text, TreeScorer.of(text), calibrator)
    except NotHeld as why:
        log.warning("a head is scored by LightGBM, some ten times slower: %s", why)
        head = Head(text, None, calibrator)
        assert head.booster is not None
        return head
