"""How good each candidate is for this person now: one number per row. The first that answers decides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.candidates import Candidates, Column, Query
from serving.values import Values


@dataclass(frozen=True)
class Value:
    """The reviewed weights applied to what the heads predict; what people complain about counts against.

    A head that failed says the same of everybody, its base rate, so it moves nobody; if all failed, the next
    scorer answers.
    """

    values: Values
    name: str = "value"

    def score(self, _: Query, table: Candidates) -> npt.NDArray[np.float64]:
        predicted = {weight.act: table[weight.act] for weight in self.values.weights}
        failed = [weight for weight in self.values.weights if _is_unknown(predicted[weight.act])]
        if len(failed) == len(predicted):
            raise ValueError("every prediction is unknown: the heads failed.")
        usual = {weight.act: np.full(len(table), weight.base_rate) for weight in failed}
        return self.values.value({**predicted, **usual})


@dataclass(frozen=True)
class Fit:
    """The fallback when the heads cannot answer: how well the two towers think person and video fit."""

    name: str = "fit"

    def score(self, _: Query, table: Candidates) -> npt.NDArray[np.float64]:
        return table["tower_score"].astype(np.float64)


def _is_unknown(column: Column) -> bool:
    """Whether nothing at all was predicted; one look suffices to see that something was."""
    return len(column) > 0 and math.isnan(column[0]) and bool(np.isnan(column).all())
