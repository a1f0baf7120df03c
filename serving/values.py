"""What each predicted act is worth: reviewed weights with their reasons, apart from the models that predict.

An act's contribution is weight times base rate: a large negative weight on a rare act is not a large
influence, and comparing weights without their rates is the usual mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Weight:
    """How much one predicted act counts, why, and how often it happens (in the rows the heads were trained
    on).
    """

    act: str
    weight: float
    reason: str
    base_rate: float

    @property
    def contribution(self) -> float:
        """What the act adds to the value of an average impression."""
        return self.weight * self.base_rate


@dataclass(frozen=True)
class Values:
    """The weighted sum a slate is ordered by."""

    weights: tuple[Weight, ...]

    def value(self, predictions: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        """Expected value of each row; a weighed act nobody predicted is an error, not a zero."""
        missing = [w.act for w in self.weights if w.act not in predictions]
        if missing:
            raise KeyError(
                f"no prediction of {missing}, which the value file weighs. Predicted: {sorted(predictions)}."
            )
        first, *others = (w.weight * np.asarray(predictions[w.act], np.float64) for w in self.weights)
        for part in others:
            first += part
        return first

    @property
    def prices(self) -> dict[str, float]:
        """What each act is worth, by name."""
        return {weight.act: weight.weight for weight in self.weights}

    def as_json(self) -> dict[str, Any]:
        """What value.json holds; the contribution is written for reviewers and ignored when read."""
        return {"weights": [{**asdict(w), "contribution": w.contribution} for w in self.weights]}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Values:
        rows = written["weights"]
        return cls(
            tuple(
                Weight(str(r["act"]), float(r["weight"]), str(r["reason"]), float(r["base_rate"]))
                for r in rows
            )
        )
