"""How good each candidate is for this person now: one number per row. The first that answers decides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.candidates import Candidates, Query
from serving.values import Values


@dataclass(frozen=True)
class Value:
    """The reviewed weights applied to what the heads predict; what people complain about counts against."""

    values: Values
    name: str = "value"

    def score(self, _: Query, table: Candidates) -> npt.NDArray[np.float64]:
        predicted = self.values.value({weight.act: table[weight.act] for weight in self.values.weights})
        if len(table) and np.isnan(predicted).all():
            raise ValueError("every prediction is unknown: the heads failed.")
        return predicted


@dataclass(frozen=True)
class Fit:
    """The fallback when the heads cannot answer: how well the two towers think person and video fit."""

    name: str = "fit"

    def score(self, _: Query, table: Candidates) -> npt.NDArray[np.float64]:
        return table["tower_score"].astype(np.float64)
