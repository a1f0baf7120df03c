"""May this be shown to this person now? ALLOW, LIMIT or DROP for every row, with the reason.

Visibility has its own owner: it knows no value and no score, so nothing can be bought back. What is dropped
is never shown (the filters of the feed enforce it on every request, and a test holds both to the same rows);
what is limited may be shown, but late in a slate and not often. A rule that fails says its worst of all rows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from feature_repo.clock import HOUR_US
from feature_repo.online import VideoMirror
from feature_repo.videos import among
from serving.candidates import Candidates, Column, Mask, Query
from serving.policies import Policy

NEGATIVE_RATE = "video_negative_rate_7d"

log = logging.getLogger("serving.visibility")


class Verdict(IntEnum):
    """What may happen to a row, mildest first."""

    ALLOW = 0
    LIMIT = 1
    DROP = 2


class Reason(IntEnum):
    """Why. The first rule that objects to a row is its reason."""

    NONE = 0
    UNKNOWN_VIDEO = 1
    NOT_YET_UPLOADED = 2
    REMOVED = 3
    SEEN = 4
    HIDDEN = 5
    BLOCKED_CREATOR = 6
    BORDERLINE = 7
    UNREVIEWED = 8
    UNCHECKED = 9


@dataclass(frozen=True)
class Rule:
    """Which rows something is to be said of, and what."""

    verdict: Verdict
    reason: Reason
    holds: Callable[[Query, Candidates], Mask]


@dataclass(frozen=True)
class Verdicts:
    """One verdict and one reason per row."""

    verdicts: npt.NDArray[np.int8]
    reasons: npt.NDArray[np.int8]

    def of(self, row: int) -> tuple[Verdict, Reason]:
        return Verdict(self.verdicts[row]), Reason(self.reasons[row])

    @property
    def shown(self) -> Mask:
        """Rows that may be shown at all."""
        return np.asarray(self.verdicts < Verdict.DROP)

    @property
    def limited(self) -> Mask:
        return np.asarray(self.verdicts == Verdict.LIMIT)

    def counts(self) -> dict[str, int]:
        """Rows per reason, of those there are."""
        found = np.bincount(self.reasons, minlength=len(Reason))
        return {reason.name.lower(): int(found[reason]) for reason in Reason if found[reason]}


@dataclass(frozen=True)
class Visibility:
    """Our rules over a catalogue as it is: `table` needs the columns of `hydrators.Catalogued`."""

    policy: Policy
    mirror: VideoMirror

    @property
    def rules(self) -> tuple[Rule, ...]:
        """In order; every rule that drops comes before those that limit."""
        return (
            Rule(Verdict.DROP, Reason.UNKNOWN_VIDEO, lambda _, table: table["catalog_row"] < 0),
            Rule(Verdict.DROP, Reason.NOT_YET_UPLOADED, lambda q, table: table["uploaded_us"] >= q.now_us),
            Rule(Verdict.DROP, Reason.REMOVED, lambda q, table: table["removed_us"] < q.now_us),
            Rule(Verdict.DROP, Reason.SEEN, lambda q, table: among(table.ids, q.seen)),
            Rule(Verdict.DROP, Reason.HIDDEN, lambda q, table: among(table.ids, q.hidden)),
            Rule(
                Verdict.DROP, Reason.BLOCKED_CREATOR, lambda q, table: among(table["creator_id"], q.blocked)
            ),
            *self.limits,
        )

    @property
    def limits(self) -> tuple[Rule, ...]:
        """The rules that limit, without those the policy has switched off."""
        rules = []
        if self.policy.borderline_negative_rate < 1:
            rules.append(Rule(Verdict.LIMIT, Reason.BORDERLINE, self._borderline))
        if self.policy.unreviewed_hours > 0:
            rules.append(Rule(Verdict.LIMIT, Reason.UNREVIEWED, self._unreviewed))
        return tuple(rules)

    def verdicts(self, query: Query, table: Candidates) -> Verdicts:
        """What is said of every row."""
        return _judged(self.rules, query, table)

    def limited(self, query: Query, table: Candidates) -> Mask:
        """What is limited among rows that no filter removed."""
        rules = self.limits
        return _judged(rules, query, table).limited if rules else np.zeros(len(table), np.bool_)

    def _borderline(self, _: Query, table: Candidates) -> Mask:
        """Hidden or reported more often than the policy bears; a rate that is not known is not borne."""
        rows = self.mirror.rows_of(table.ids)
        rates = np.where(rows >= 0, self.mirror.columns[NEGATIVE_RATE][rows], np.nan)
        return np.asarray(~(rates <= self.policy.borderline_negative_rate))

    def _unreviewed(self, query: Query, table: Candidates) -> Mask:
        age_us = query.now_us - table["uploaded_us"]
        return np.asarray(age_us < self.policy.unreviewed_hours * HOUR_US)


def _judged(rules: tuple[Rule, ...], query: Query, table: Candidates) -> Verdicts:
    verdicts, reasons = np.zeros(len(table), np.int8), np.zeros(len(table), np.int8)
    for rule in rules:
        holds, reason = _asked(rule, query, table)
        new = holds & (verdicts == Verdict.ALLOW)
        verdicts[new], reasons[new] = rule.verdict, reason
    return Verdicts(verdicts, reasons)


def _asked(rule: Rule, query: Query, table: Candidates) -> tuple[Mask, Reason]:
    """Where the rule holds; everywhere, unchecked, if it cannot say."""
    try:
        return np.asarray(rule.holds(query, table), np.bool_), rule.reason
    except Exception:  # whatever went wrong, the row was not cleared
        log.exception("visibility rule %s failed", rule.reason.name)
        return np.ones(len(table), np.bool_), Reason.UNCHECKED


@dataclass(frozen=True)
class Limits:
    """The column `limited`, for the selector. Where it is missing because this failed, all are limited."""

    visibility: Visibility
    name: str = "limits"
    gives: tuple[str, ...] = ("limited",)

    def describe(self, query: Query, table: Candidates) -> Mapping[str, Column]:
        return {"limited": self.visibility.limited(query, table)}
