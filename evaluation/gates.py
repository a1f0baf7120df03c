"""What a release must show before people see it: gates written down before it was trained.

Each gate names its metric, the rows it is measured on and its bound, and answers with what it found. The rows
are logged impressions of the test split and slates of a fixed seed; no gate knows what people truly felt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evaluation.intervals import Interval

Side = Literal["lower end above", "estimate below"]

MARGIN = 0.005
"""How much per-user AUC a new release may lose against the champion and still count as not worse."""


@dataclass(frozen=True)
class Gate:
    """One condition of promotion."""

    name: str
    metric: str
    rows: str
    side: Side
    bound: float
    why: str

    def verdict(self, found: Interval | None) -> Verdict:
        """Whether the gate holds; None says there is nothing to compare with, and holds. NaN never holds."""
        return Verdict(self, found, found is None or self._holds(found))

    def _holds(self, found: Interval) -> bool:
        return found.low > self.bound if self.side == "lower end above" else found.value < self.bound


@dataclass(frozen=True)
class Verdict:
    """A gate's answer for one release."""

    gate: Gate
    found: Interval | None
    holds: bool

    def __str__(self) -> str:
        found = "nothing to compare with" if self.found is None else str(self.found)
        asked = f"{self.gate.side} {self.gate.bound:g}"
        says = "holds" if self.holds else "FAILS"
        return f"{self.gate.name}: {says}, {self.gate.metric} = {found}, must have {asked}"

    def as_figure(self) -> dict[str, object]:
        """The shape in which reports keep a verdict."""
        found = None if self.found is None else self.found.as_figure()
        return {"holds": self.holds, "found": found, "side": self.gate.side, "bound": self.gate.bound}


JUDGED_TEST_ROWS = "test rows on which a yes (long watch or like) has had its hour"

BEATS_BASELINES = Gate(
    "beats_baselines",
    "per-user AUC of a yes: value's, less that of the best of five simple baselines (paired by user)",
    JUDGED_TEST_ROWS,
    "lower end above",
    0.0,
    "a model that does not beat a count is a cost without a use",
)

SETTLED_TEST_ROWS = "test rows on which every act the value file prices has had its window"

POWER = 0.02
"""How far the comparison with logistic regression may fall short: what a tiny log can still tell apart."""

AS_VALUABLE_AS_LOGISTIC = Gate(
    "as_valuable_as_logistic",
    "nDCG@10 of realised value (what happened, at the value file's prices), less logistic regression's",
    SETTLED_TEST_ROWS,
    "lower end above",
    -POWER,
    "value may give up long watches for acts that say more, not end up with less than a linear model",
)

NOT_WORSE_THAN_CHAMPION = Gate(
    "not_worse_than_champion",
    "per-user AUC of a yes: value's, less the champion's (paired by user)",
    JUDGED_TEST_ROWS,
    "lower end above",
    -MARGIN,
    "the champion earned its place on people; a newcomer may be equal, not worse",
)

CALIBRATION_BOUNDS: Mapping[str, float] = {
    "long_watch": 0.05,
    "watch": 0.05,
    "like": 0.015,
    "share_or_follow": 0.006,
    "negative": 0.004,
}
"""Largest expected calibration error per head. The value multiplies probabilities: a head that is off by its
own base rate spoils every slate while its AUC stays what it was.
"""


def calibrated(head: str) -> Gate:
    """The calibration gate of one head."""
    return Gate(
        f"calibrated:{head}",
        "expected calibration error, 15 bins of equal mass",
        f"test rows on which {head} has matured",
        "estimate below",
        CALIBRATION_BOUNDS[head],
        "value is a sum of probabilities times weights; they must mean what they say",
    )


NO_COLLAPSE = Gate(
    "no_collapse",
    "mean pairwise Jaccard overlap of the slates of 100 users",
    "slates of 10 at the end of the log, exploration off, one fixed seed",
    "estimate below",
    0.5,
    "when everybody is shown the same, personalisation is broken whatever the log says",
)

GATES: tuple[Gate, ...] = (
    BEATS_BASELINES,
    AS_VALUABLE_AS_LOGISTIC,
    NOT_WORSE_THAN_CHAMPION,
    *(calibrated(head) for head in CALIBRATION_BOUNDS),
    NO_COLLAPSE,
)
"""All of them, in the order they are told."""


def verdicts(found: Mapping[str, Interval | None]) -> tuple[Verdict, ...]:
    """Every gate's verdict; a gate nobody measured is an error, not a pass."""
    missing = [gate.name for gate in GATES if gate.name not in found]
    if missing:
        raise KeyError(f"gates {missing} were not measured; all of {[gate.name for gate in GATES]} must be.")
    return tuple(gate.verdict(found[gate.name]) for gate in GATES)


def refused_by(told: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """The gates that do not hold; empty means promote."""
    return tuple(verdict for verdict in told if not verdict.holds)
