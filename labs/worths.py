"""What a policy is worth, from walks of the same people with the same luck: means, differences, headroom.

Units: satisfaction S is a logit per impression seen (a ratio of sums over people); session length counts
impressions. People are resampled, so an interval says what other people would give, not another world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.intervals import Interval, bootstrap, bootstrap_of, difference
from evaluation.per_user import PerUser

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Walks:
    """One session per person under one policy, in the order of `people`."""

    people: Ints
    satisfaction: Floats
    """Sum of S over the impressions the person saw."""
    impressions: Floats

    def __post_init__(self) -> None:
        if not len(self.people) == len(self.satisfaction) == len(self.impressions):
            raise ValueError("walks need one sum and one count per person.")

    def per_impression(self) -> PerUser:
        return PerUser(self.people, self.satisfaction, self.impressions)

    def per_session(self) -> PerUser:
        return PerUser(self.people, self.impressions, np.ones(len(self.people)))


@dataclass(frozen=True)
class Worth:
    """What one policy earns, and its share of what the oracle earns over random."""

    satisfaction: Interval
    session_length: Interval
    headroom: Interval

    def figures(self) -> dict[str, object]:
        return {
            "satisfaction": self.satisfaction.as_figure(),
            "session_length": self.session_length.as_figure(),
            "share_of_headroom": self.headroom.as_figure(),
        }


@dataclass(frozen=True)
class Margin:
    """How much the champion earns above another policy, on the same people."""

    satisfaction: Interval
    session_length: Interval

    def figures(self) -> dict[str, object]:
        return {
            "satisfaction": self.satisfaction.as_figure(),
            "session_length": self.session_length.as_figure(),
        }


def worth(walks: Walks, floor: Walks, ceiling: Walks, rng: np.random.Generator) -> Worth:
    """A policy between random (floor) and the oracle (ceiling)."""
    return Worth(
        bootstrap(walks.per_impression(), rng),
        bootstrap(walks.per_session(), rng),
        share_of_headroom(walks, floor, ceiling, rng),
    )


def share_of_headroom(walks: Walks, floor: Walks, ceiling: Walks, rng: np.random.Generator) -> Interval:
    """(policy - random) / (oracle - random) in satisfaction per impression; 0 is random, 1 the oracle."""
    _same_people(walks, floor, ceiling)
    columns = [column for each in (walks, floor, ceiling) for column in (each.satisfaction, each.impressions)]
    return bootstrap_of(np.column_stack(columns), _headroom, rng)


def margin(ours: Walks, theirs: Walks, rng: np.random.Generator) -> Margin:
    """Ours less theirs, paired by person."""
    _same_people(ours, theirs)
    return Margin(
        difference(ours.per_impression(), theirs.per_impression(), rng),
        difference(ours.per_session(), theirs.per_session(), rng),
    )


def unbeaten(margins: Mapping[str, Margin]) -> list[str]:
    """Policies the champion does not beat in satisfaction with its whole interval."""
    return [name for name, each in margins.items() if not each.satisfaction.is_above(0.0)]


def as_long(margins: Mapping[str, Margin]) -> list[str]:
    """Policies whose sessions the champion's do not outlast with the whole interval."""
    return [name for name, each in margins.items() if not each.session_length.is_above(0.0)]


def _headroom(sums: Floats) -> Floats:
    ours, floor, ceiling = (sums[:, k] / sums[:, k + 1] for k in (0, 2, 4))
    return np.asarray((ours - floor) / (ceiling - floor))


def _same_people(*walks: Walks) -> None:
    if any(not np.array_equal(each.people, walks[0].people) for each in walks):
        raise ValueError(
            "walks of different people; a paired comparison needs the same people in the same order."
        )
