"""How the feed chooses: every number of the policy, in one frozen value that is part of a release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

QUOTAS: Mapping[str, int] = {
    "followed": 60,
    "fresh": 60,
    "similar": 80,
    "trending": 80,
    "two_tower": 500,
}
"""Most candidates a source may bring, in the order the union takes them. The two towers come last and fill
whatever room the others leave, so a person without follows still gets a full table."""


@dataclass(frozen=True)
class Policy:
    """Settings of retrieval and selection; hashed with the release: another policy is another release."""

    quotas: Mapping[str, int] = field(default_factory=lambda: dict(QUOTAS))
    most_candidates: int = 500
    temperature: float = 0.1
    """Of the softmax over value, in standard deviations of the candidates' values; near 0 it is greedy."""
    exploration: float = 0.02
    """Share of every slot's probability that is uniform over the remaining candidates: the support of
    off-policy evaluation. No item's propensity is below exploration / candidates."""
    topic_penalty: float = 0.75
    """Standard deviations of value one earlier item of the same topic in the slate costs. Raised from .35
    when labs showed, in worlds 7 to 9, that repetition drives people away; judged since in other worlds."""
    creator_penalty: float = 0.7
    """The same for one earlier item of the same creator."""
    fresh_hours: float = 48.0
    """How young an upload must be for the source of fresh uploads."""

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not 0 <= self.exploration <= 1:
            found = f"temperature {self.temperature}, exploration {self.exploration}"
            raise ValueError(f"{found}: temperature must be above 0 and exploration within [0, 1].")

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def policy_from_json(fields: Mapping[str, object]) -> Policy:
    """The policy written by `as_json`; an unknown setting is refused by its name."""
    return Policy(**fields)  # type: ignore[arg-type]
