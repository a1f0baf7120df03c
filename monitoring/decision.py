"""One decision in words: nothing, investigate, retrain or roll back. A pure function of findings and a few
facts.

The rules are a list, the first that speaks decides. Their order is the argument: a model that hurts people
now is taken back before anything is understood; nothing is learned from a log that is broken; and drift alone
is no reason to train, only drift with enough new labels to learn the change from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from monitoring.findings import Finding, failed

BROKEN_LOG = ("log", "freshness", "volume", "missing")
"""Checks whose failure means that what we measure is not what happened."""

JUST_PROMOTED_HOURS = 24.0
"""A server that fails within a day of a promotion most likely fails because of it."""

NEW_LABELS_SHARE = 0.10
"""Retrain once the labels that matured since the snapshot are a tenth of its own: fewer move little."""

OLD_DAYS = 7.0
"""A champion is retrained weekly even when nothing drifted, if there are labels to learn from."""


class Action(StrEnum):
    NOTHING = "nothing"
    INVESTIGATE = "investigate"
    RETRAIN = "retrain"
    ROLL_BACK = "roll back"


NEXT_COMMAND = {
    Action.NOTHING: "make evaluate",
    Action.INVESTIGATE: "make evaluate",
    Action.RETRAIN: "make train",
    Action.ROLL_BACK: "make rollback",
}


@dataclass(frozen=True)
class Facts:
    """What the decision needs beside the findings."""

    new_labels: int
    """Impressions whose labels have matured since the champion's snapshot was taken."""
    snapshot_labels: int
    """Rows of that snapshot; 0 when unknown."""
    champion_age_days: float | None = None
    """World days from the end of the snapshot to now."""
    hours_since_promotion: float | None = None
    """Wall hours since the champion alias last moved forward; None if it never did, or moved back last."""
    has_predecessor: bool = False
    """Whether there is a champion to go back to."""

    @property
    def enough_new_labels(self) -> bool:
        return self.new_labels >= max(1, NEW_LABELS_SHARE * self.snapshot_labels)

    @property
    def just_promoted(self) -> bool:
        return self.hours_since_promotion is not None and self.hours_since_promotion <= JUST_PROMOTED_HOURS

    @property
    def is_old(self) -> bool:
        return self.champion_age_days is not None and self.champion_age_days >= OLD_DAYS


@dataclass(frozen=True)
class Decision:
    """What to do, why, and with which command."""

    action: Action
    reasons: tuple[str, ...]

    @property
    def next_command(self) -> str:
        return NEXT_COMMAND[self.action]

    def __str__(self) -> str:
        return f"{self.action}: {'; '.join(self.reasons)}"


@dataclass(frozen=True)
class Situation:
    """What every rule looks at."""

    findings: tuple[Finding, ...]
    facts: Facts

    def because(self, checks: Sequence[str], also: str) -> tuple[str, ...]:
        """The failed findings of these checks as reasons, and what makes them one; nothing if none failed."""
        found = failed(self.findings, *checks)
        return (*(_told(finding) for finding in found), also) if found else ()


Rule = tuple[Action, Callable[[Situation], tuple[str, ...]]]
"""An action, and the reasons for it; no reasons, no action."""


def server_fails_after_promotion(now: Situation) -> tuple[str, ...]:
    if not (now.facts.just_promoted and now.facts.has_predecessor):
        return ()
    return now.because(("server",), f"the champion was promoted {now.facts.hours_since_promotion:.1f} h ago")


def log_is_broken(now: Situation) -> tuple[str, ...]:
    return now.because(BROKEN_LOG, "nothing may be learned from a broken log")


def served_differs_from_trained(now: Situation) -> tuple[str, ...]:
    return now.because(("skew",), "a new model would learn from features that are not the ones served")


def server_fails(now: Situation) -> tuple[str, ...]:
    return now.because(("server",), "no promotion explains it, or there is no champion to go back to")


def drifted_with_labels(now: Situation) -> tuple[str, ...]:
    return now.because(("drift",), _labels(now.facts)) if now.facts.enough_new_labels else ()


def drifted_without_labels(now: Situation) -> tuple[str, ...]:
    return now.because(("drift",), f"too few labels to learn it from: {_labels(now.facts)}")


def champion_is_old(now: Situation) -> tuple[str, ...]:
    if not (now.facts.is_old and now.facts.enough_new_labels):
        return ()
    return (f"the champion learned {now.facts.champion_age_days:.1f} days ago", _labels(now.facts))


RULES: tuple[Rule, ...] = (
    (Action.ROLL_BACK, server_fails_after_promotion),
    (Action.INVESTIGATE, log_is_broken),
    (Action.INVESTIGATE, served_differs_from_trained),
    (Action.INVESTIGATE, server_fails),
    (Action.RETRAIN, drifted_with_labels),
    (Action.INVESTIGATE, drifted_without_labels),
    (Action.RETRAIN, champion_is_old),
)


def decide(findings: Sequence[Finding], facts: Facts, rules: Sequence[Rule] = RULES) -> Decision:
    """The action of the first rule that has a reason; nothing when none has."""
    now = Situation(tuple(findings), facts)
    for action, reasons_for in rules:
        reasons = reasons_for(now)
        if reasons:
            return Decision(action, reasons)
    return Decision(Action.NOTHING, ("every check that could be judged is within its bound",))


def _told(finding: Finding) -> str:
    return f"{finding} ({finding.says})" if finding.says else str(finding)


def _labels(facts: Facts) -> str:
    return f"{facts.new_labels:,} mature labels since a snapshot of {facts.snapshot_labels:,}"
