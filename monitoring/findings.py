"""What a check says: one value against one bound, a verdict, and a sentence a person can act on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check came out. What could not be judged is said, never counted as fine."""

    OK = "ok"
    FAILED = "failed"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Finding:
    """One line of the table. `check` is the family (freshness, volume, …), `subject` what was looked at."""

    check: str
    subject: str
    value: str
    bound: str
    verdict: Verdict
    says: str = ""

    @property
    def failed(self) -> bool:
        return self.verdict is Verdict.FAILED

    def as_figure(self) -> dict[str, str]:
        """The finding as reports keep it."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.check} of {self.subject}: {self.value}, must be {self.bound}"


def judged(check: str, subject: str, value: str, bound: str, is_fine: bool, says: str = "") -> Finding:
    """A finding with a verdict; what it says is kept only when there is something to do."""
    verdict = Verdict.OK if is_fine else Verdict.FAILED
    return Finding(check, subject, value, bound, verdict, "" if is_fine else says)


def not_judged(check: str, subject: str, why: str) -> Finding:
    """A check that had nothing to look at, and why."""
    return Finding(check, subject, "-", "-", Verdict.NOT_JUDGED, why)


def failed(findings: Iterable[Finding], *checks: str) -> tuple[Finding, ...]:
    """The failed findings of these checks, in order."""
    return tuple(finding for finding in findings if finding.failed and finding.check in checks)
