"""Which of the scored candidates make the slate. Three selectors, one law, chosen by the policy.

They differ in what keeps a slate from repeating itself; how a slot is drawn, and with which probability, is
the same for all of them and is in `serving.slots`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serving.candidates import Candidates, Query
from serving.diversities import Floats, Likeness, Repetition, Volume, directions
from serving.index import VideoIndex
from serving.policies import Policy
from serving.slots import filled
from serving.verbs import Choice, Selector


@dataclass(frozen=True)
class Decay:
    """Every earlier item of the same topic or creator costs a fixed part of a standard deviation."""

    policy: Policy
    name: str = "decay"

    def choose(self, query: Query, table: Candidates, rng: np.random.Generator) -> Choice:
        return filled(query, table, self.policy, Repetition(table, self.policy), rng)


@dataclass(frozen=True)
class MarginalRelevance:
    """Value less the likeness to the closest earlier item: MMR."""

    policy: Policy
    index: VideoIndex
    name: str = "mmr"

    def choose(self, query: Query, table: Candidates, rng: np.random.Generator) -> Choice:
        likeness = Likeness(_directions(self.index, table), self.policy.mmr_penalty)
        return filled(query, table, self.policy, likeness, rng)


@dataclass(frozen=True)
class LargeVolume:
    """Value plus the volume the slate's vectors span: greedy inference of a determinantal point process."""

    policy: Policy
    index: VideoIndex
    name: str = "dpp"

    def choose(self, query: Query, table: Candidates, rng: np.random.Generator) -> Choice:
        slots = min(query.limit, len(table))
        volume = Volume(_directions(self.index, table), self.policy.dpp_weight, slots)
        return filled(query, table, self.policy, volume, rng)


def selector_of(policy: Policy, index: VideoIndex) -> Selector:
    """The selector a policy names."""
    if policy.selector == "decay":
        return Decay(policy)
    return MarginalRelevance(policy, index) if policy.selector == "mmr" else LargeVolume(policy, index)


def _directions(index: VideoIndex, table: Candidates) -> Floats:
    """Where each candidate's vector points."""
    return directions(index.vectors[table["catalog_row"]])
