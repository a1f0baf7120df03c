"""How a view's features follow from sums: the one place that says what counts, sums and rates are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from feature_repo.catalogue import PRIORS, STRENGTH, UNITS, Feature, View, view_named
from feature_repo.compiling import compiled
from feature_repo.facts import EVENTS

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Formula:
    """Of one view: what is summed, and which features are made of which sums."""

    windows: Ints  # the lengths in microseconds, shortest first
    wanted: Ints  # [pairs, 2]: the (window number, event number) of every sum that is needed
    amount: Ints  # [features]: which sum each feature is of
    shown: Ints  # [features]: which sum is a rate's impressions; of no meaning elsewhere
    units: Doubles  # [features]: what the amount is divided by
    priors: Doubles  # [features]: STRENGTH times a rate's prior
    is_rate: NDArray[np.bool_]

    @property
    def asked(self) -> tuple[Ints, Ints]:
        """What is to be summed: windows and pairs."""
        return self.windows, self.wanted

    @cached_property
    def events(self) -> Ints:
        """The numbers of the events that are counted, ascending."""
        return np.unique(self.wanted[:, 1])

    def values(self, sums: Ints) -> Floats:
        """f32[m, features] of int64[m, pairs]."""
        found = np.empty((len(sums), len(self.amount)), np.float32)
        _values(sums, self.amount, self.shown, self.units, self.priors, self.is_rate, STRENGTH, found)
        return found


@cache
def formula(view_name: str) -> Formula:
    """The formula of a view of the catalogue."""
    view = view_named(view_name)
    needs = [[_pair(view, feature, event) for event in _ingredients(feature)] for feature in view.features]
    wanted = sorted({pair for pairs in needs for pair in pairs})
    places = [[wanted.index(pair) for pair in pairs] for pairs in needs]
    return Formula(
        np.array(view.windows_us, np.int64),
        np.array(wanted, np.int64),
        np.array([place[0] for place in places]),
        np.array([place[-1] for place in places]),
        np.array([float(UNITS.get(feature.event, 1)) for feature in view.features]),
        np.array([STRENGTH * PRIORS.get(feature.event, 0.0) for feature in view.features]),
        np.array([feature.kind == "rate" for feature in view.features]),
    )


def _pair(view: View, feature: Feature, event: str) -> tuple[int, int]:
    return view.windows_us.index(feature.window_us), EVENTS.index(event)


def _ingredients(feature: Feature) -> tuple[str, ...]:
    return (feature.event, "impressions") if feature.kind == "rate" else (feature.event,)


@compiled
def _values(
    sums: Ints,
    amount: Ints,
    shown: Ints,
    units: Doubles,
    priors: Doubles,
    is_rate: Mask,
    strength: float,
    found: Floats,
) -> None:
    """Counts and sums as they are, rates smoothed and clipped to [0, 1]; in float64, and then float32."""
    for row in range(len(sums)):
        for feature in range(len(amount)):
            value = sums[row, amount[feature]] / units[feature]
            if is_rate[feature]:
                smooth = (value + priors[feature]) / (sums[row, shown[feature]] + strength)
                value = min(max(smooth, 0.0), 1.0)
            found[row, feature] = value
