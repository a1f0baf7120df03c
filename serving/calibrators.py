"""From a head's raw score to a probability one can multiply: a rising curve through knots, kept as JSON.

Knots are fitted by pipelines/calibrate.py on rows no tree has seen. Between knots the curve is a straight
line, so two different raw scores never become equal and a head's AUC is what it was before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibrator:
    """A strictly rising piecewise-linear curve; flat beyond its first and last knot."""

    raw: tuple[float, ...]
    calibrated: tuple[float, ...]
    _knots: Doubles = field(init=False, repr=False, compare=False)  # [2, knots]: both, as arrays

    def __post_init__(self) -> None:
        if len(self.raw) != len(self.calibrated) or len(self.raw) < 2:
            raise ValueError(
                f"{len(self.raw)} raw and {len(self.calibrated)} calibrated knots; need pairs, at least 2."
            )
        if np.any(np.diff(self.raw) <= 0) or np.any(np.diff(self.calibrated) < 0):
            raise ValueError("knots must rise, or calibration would reorder what the head ranked.")
        object.__setattr__(self, "_knots", np.array([self.raw, self.calibrated], np.float64))

    def __call__(self, scores: npt.NDArray[np.floating]) -> Doubles:
        return np.asarray(np.interp(scores, *self._knots), np.float64)

    def as_json(self) -> dict[str, list[float]]:
        return {"raw": list(self.raw), "calibrated": list(self.calibrated)}

    @classmethod
    def from_json(cls, knots: Mapping[str, list[float]]) -> Calibrator:
        return cls(tuple(knots["raw"]), tuple(knots["calibrated"]))


IDENTITY = Calibrator((0.0, 1.0), (0.0, 1.0))
