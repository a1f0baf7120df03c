"""Which people the challenger serves: a share of them, the same people for as long as the canary runs.

A person's place in [0, 1) is a hash of who they are and of the version, so a larger share only adds people,
and the people of one canary are no guide to those of the next. The setting is a file in the registry: one
version and its share. When the challenger alias moves on, it speaks of nobody any more.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from hashlib import blake2b

from feature_repo.places import Places
from feature_repo.reports import write_text_atomically
from serving import registry

CANARY = "canary"


class NoChallenger(LookupError):
    """There is nothing to try on anybody."""


class NoCanary(LookupError):
    """Nothing is on trial now, so nothing has proved itself."""


@dataclass(frozen=True)
class Canary:
    """A version on trial and the share of people it serves; a share of 0 serves nobody."""

    version: int
    share: float

    def holds(self, user_id: int) -> bool:
        """Whether this person is served by the version on trial."""
        return place_of(user_id, self.version) < self.share


NO_CANARY = Canary(0, 0.0)


def place_of(user_id: int, version: int) -> float:
    """Where in [0, 1) this person stands in the canary of this version."""
    digest = blake2b(f"{CANARY}/{version}/{user_id}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2.0**53


def running(places: Places) -> Canary:
    """The canary that runs now; `NO_CANARY` without one, or when another version is challenger since."""
    written = places.registry / "canary.json"
    if not written.exists():
        return NO_CANARY
    set_to = Canary(**json.loads(written.read_text(encoding="utf-8")))
    found = registry.aliased(places, registry.CHALLENGER)
    return set_to if set_to.share > 0 and found and found[0] == set_to.version else NO_CANARY


def start(places: Places, share: float, why: str = "asked for") -> Canary:
    """Let the challenger serve a share of the people; running servers follow. 0 stops it."""
    if not (math.isfinite(share) and 0 <= share <= 1):
        raise ValueError(f"share is {share}, must be within 0 and 1; .05 is one person in twenty.")
    with registry.moving(places):
        found = registry.aliased(places, registry.CHALLENGER)
        if found is None:
            raise NoChallenger("there is no challenger. `make promote` names one, or --version does.")
        return _set(places, Canary(found[0], share), why)


def stop(places: Places, version: int, why: str) -> bool:
    """End the canary of this version, if it still runs; whether it did."""
    with registry.moving(places):
        if running(places).version != version:
            return False
        _set(places, Canary(version, 0.0), why)
        return True


def promote(places: Places) -> Canary:
    """Make the version on trial champion, and end its trial; running servers follow."""
    with registry.moving(places):
        tried = running(places)
        if tried == NO_CANARY:
            raise NoCanary(
                "no canary runs: none was started, or it was stopped, perhaps by a guardrail; champion "
                "stays. `make canary SHARE=.05` tries the challenger."
            )
        registry.move_champion(places, tried.version, f"promoted after a canary of {tried.share:.1%}")
        return _set(places, Canary(tried.version, 0.0), "promoted")


def _set(places: Places, canary: Canary, why: str) -> Canary:
    write_text_atomically(places.registry / "canary.json", json.dumps(asdict(canary)) + "\n")
    registry.tell(places, {CANARY: canary.version, "share": canary.share, "why": why})
    return canary
