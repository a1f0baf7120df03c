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

SELECTORS = ("decay", "mmr", "dpp")


@dataclass(frozen=True)
class Policy:
    """Settings of retrieval, selection and visibility; hashed with the release: another policy is another
    release. A setting that an older release was written without has its default.
    """

    quotas: Mapping[str, int] = field(default_factory=lambda: dict(QUOTAS))
    most_candidates: int = 500
    temperature: float = 0.1
    """Of the softmax over value, in standard deviations of the candidates' values; near 0 it is greedy."""
    exploration: float = 0.02
    """Share of every slot's probability that is uniform over the remaining candidates: the support of
    off-policy evaluation. No item's propensity is below exploration / candidates."""
    selector: str = "decay"
    """What keeps a slate diverse: `decay` (by topic and creator), `mmr` or `dpp` (by the videos' vectors)."""
    topic_penalty: float = 0.75
    """Standard deviations of value one earlier item of the same topic in the slate costs. Raised from .35
    when labs showed, in worlds 7 to 9, that repetition drives people away; judged since in other worlds."""
    creator_penalty: float = 0.7
    """The same for one earlier item of the same creator."""
    mmr_penalty: float = 1.0
    """Standard deviations of value it costs to point exactly where an earlier item of the slate does."""
    dpp_weight: float = 0.5
    """Standard deviations of value per unit of log-volume that an item adds to the slate."""
    fresh_hours: float = 48.0
    """How young an upload must be for the source of fresh uploads, and to count as new."""
    cold_start_share: float = 0.0
    """Share of every slot's probability that belongs to new uploads alone, the best of them first."""
    cold_start_impressions: float = 100.0
    """A fresh upload is new until it had this many impressions in a week."""
    creator_floor: float = 0.0
    """Share of every slot's probability that belongs to little-shown creators alone."""
    creator_floor_impressions: float = 1_000.0
    """A creator is little-shown below this many impressions in a week."""
    borderline_negative_rate: float = 1.0
    """A video hidden or reported more often than this is limited; 1 limits none."""
    unreviewed_hours: float = 0.0
    """A new upload is limited for so long; 0 limits none."""
    limited_from: int = 3
    """The first slot, counted from 0, in which a limited video may be shown."""
    most_limited: int = 2
    """Limited videos in one slate."""

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not 0 <= self.exploration <= 1:
            found = f"temperature {self.temperature}, exploration {self.exploration}"
            raise ValueError(f"{found}: temperature must be above 0 and exploration within [0, 1].")
        shares = (self.exploration, self.cold_start_share, self.creator_floor)
        if min(shares) < 0 or sum(shares) > 1:
            named = "exploration, cold_start_share and creator_floor"
            raise ValueError(f"{named} are {shares}: none may be below 0, nor their sum above 1.")
        if self.selector not in SELECTORS:
            raise ValueError(f"selector is {self.selector!r}, must be one of {', '.join(SELECTORS)}.")
        if min(self.mmr_penalty, self.dpp_weight) < 0:
            raise ValueError("mmr_penalty and dpp_weight must not be negative: they are what likeness costs.")

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def policy_from_json(fields: Mapping[str, object]) -> Policy:
    """The policy written by `as_json`; an unknown setting is refused by its name."""
    return Policy(**fields)  # type: ignore[arg-type]
