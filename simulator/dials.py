"""What a scenario can turn: each dial with its keys and their ranges, and what all dials make of one day.

A dial holds from a moment until a moment, microseconds UTC, the second excluded. Its values are numbers, so
that it can be compared, hashed, written down and handed to compiled code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from feature_repo.clock import DAY_US, NEVER_US

NEVER = NEVER_US
"""The end of a dial that has none: it holds as long as the world is lived, future days included."""

TOPICS, DEVICES = 24, 3
"""Topics 0..23 and devices 0..2, as births.py draws them; a test keeps the two equal."""


@dataclass(frozen=True)
class Range:
    """The values a key may have, both ends included."""

    low: float
    high: float
    unit: str
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        """Whether this is a number of the right kind in the range; True and NaN are none."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low:g} to {self.high:g} ({self.unit})"


@dataclass(frozen=True)
class Kind:
    """One dial: its keys, what it changes in the world, and what a monitor should notice."""

    keys: Mapping[str, Range]
    changes: str
    notice: str
    same: tuple[str, ...] = ()  # dials of one kind that agree on these keys may not overlap in time
    one_a_day: bool = False  # a lived day has room for one


_TOPIC = Range(0, TOPICS - 1, "topic", whole=True)
_DEVICE = Range(0, DEVICES - 1, "device code", whole=True)

KINDS: Mapping[str, Kind] = {
    "viral": Kind(
        {"topic": _TOPIC, "logits": Range(0.0, 5.0, "added to the topic's pull")},
        "a topic pulls more, at the same satisfaction",
        "the topic's long views jump at once; its share of impressions follows once the policy has counted",
        one_a_day=True,
    ),
    "broken_client": Kind(
        {"device": _DEVICE, "drop_rate": Range(0.0, 1.0, "share of events lost")},
        "events of one device are lost before they are logged",
        "rows per device fall; a sample-ratio test by device fails; rates per impression move",
        same=("device",),
    ),
    "unit_change": Kind(
        {"device": _DEVICE},
        "one device sends watched_ms in seconds",
        "the device's play times shrink a thousandfold; long views of it vanish, likes do not",
        same=("device",),
    ),
    "stalled_features": Kind(
        {},
        "the policy's nightly counts stand still",
        "features grow old; new videos are shown less; the true rates hardly move at first",
    ),
    "like_times": Kind(
        {"times": Range(0.01, 100.0, "factor on the odds of a like")},
        "more or fewer likes at equal preference",
        "likes jump for everybody at once; long views, returns and satisfaction stay",
        one_a_day=True,
    ),
    "new_market": Kind(
        {"share": Range(0.0, 1.0, "share of the people who join")},
        "people join from a new country, with other tastes",
        "a country code nobody has seen; more cold starts; error grows in that segment only",
    ),
    "interest_shift": Kind(
        {
            "from_topic": _TOPIC,
            "to_topic": _TOPIC,
            "logits_per_day": Range(0.0, 2.0, "log interest moved from one topic to the other per day"),
        },
        "everybody's interest moves slowly from one topic to another",
        "the two topics' rates drift apart a little a day; calibration by topic decays",
        same=("from_topic", "to_topic"),
    ),
    "spam_wave": Kind(
        {"times": Range(0.0, 1000.0, "factor on spam creators' uploads")},
        "spam creators upload more",
        "uploads and removals rise, concentrated on few creators; reports rise",
    ),
    "traffic": Kind(
        {"times": Range(0.0, 10.0, "factor on sessions; a part of a day counts by its hours")},
        "more or fewer sessions, 0 is an outage",
        "impressions of the day move; rates per impression stay",
    ),
}


@dataclass(frozen=True)
class Dial:
    """One change of the world and when it holds; `dial["times"]` is one of its values."""

    kind: str
    from_us: int
    until_us: int = NEVER
    values: tuple[tuple[str, float], ...] = ()  # by key, in the order of KINDS

    def __getitem__(self, key: str) -> float:
        for name, value in self.values:
            if name == key:
                return value
        raise KeyError(f"{self.kind} has no {key!r}. Its keys: {', '.join(KINDS[self.kind].keys) or 'none'}.")

    def holds_at(self, moments_us: Any) -> Any:
        """Whether it holds, for one moment (bool) or an array of them (mask)."""
        return (self.from_us <= moments_us) & (moments_us < self.until_us)

    def days_held(self, now_us: int) -> float:
        """Days it has held by now, parts of a day included; what a slow shift grows with."""
        return max(0, min(now_us, self.until_us) - self.from_us) / DAY_US

    def overlaps(self, from_us: int, until_us: int) -> bool:
        return self.from_us < until_us and from_us < self.until_us

    def share_of(self, from_us: int, until_us: int) -> float:
        """The share of this stretch of time in which it holds."""
        held = min(until_us, self.until_us) - max(from_us, self.from_us)
        return max(0, held) / (until_us - from_us)


class Dials(NamedTuple):
    """All that a lived day must know of the scenario, as plain numbers; the defaults change nothing."""

    like_odds: float = 1.0  # factor on the odds of a like within [like_from_us, like_until_us)
    like_from_us: int = 0
    like_until_us: int = 0
    viral_topic: int = -1  # -1: none
    viral_logits: float = 0.0  # added to its pull within [viral_from_us, viral_until_us)
    viral_from_us: int = 0
    viral_until_us: int = 0
    traffic: float = 1.0  # factor on sessions, the mean over the day's hours
    stalled: bool = False  # the policy's counts are those of the day before


NEUTRAL = Dials()
