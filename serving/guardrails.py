"""Whether a release on trial may go on: what it did, beside what its control did, against three rails.

Asked twice a second, so a rule of fixed sample size would sooner or later sound an alarm at nothing. Every
bound here is of an asymptotic confidence sequence (Waudby-Smith et al., Time-uniform central limit theory,
2021, theorem 2.2): it holds at all moments at once. Nothing here acts; `trials` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SHARPEST_AT = 500
"""The sample size at which the sequences are narrowest; everywhere else they hold too, a little wider."""


@dataclass(frozen=True)
class Rails:
    """Every number of the decision."""

    alpha: float = 0.001
    """Chance that one rail of one trial stops a release that is no worse, however often one looks."""
    least: int = 50
    """Requests, or people, below which nothing is judged."""
    more_failures: float = 0.01
    """Share of requests, above the control's, that may be degraded or fail."""
    slower: float = 1.5
    """How many times the control's p99 a release's own may be."""
    slow_ms: float = 25.0
    """No p99 below this is too slow, whatever the control's."""
    value_loss: float = 0.03
    """Share of the control's yes-rate that may be lost."""


@dataclass(frozen=True)
class Bounds:
    """A mean and what it surely lies between."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Shown:
    """What one release did in a trial; arrays are over its newest requests."""

    ms: npt.NDArray[np.float64]
    """Milliseconds of each request."""
    failed: npt.NDArray[np.bool_]
    """Whether it was degraded or failed."""
    people: int
    """Who told what they watched."""
    yes_rate: float
    """Share of the impressions they saw that were watched long."""
    spread: float
    """Standard deviation of one person's say in `yes_rate`; its standard error is spread / sqrt(people)."""


def breach(tried: Shown, control: Shown, rails: Rails) -> str | None:
    """The rail a release has surely broken, as a sentence; None while it may go on."""
    if min(len(tried.ms), len(control.ms)) < rails.least:
        return None
    return (
        _fails_more(tried, control, rails)
        or _is_slower(tried, control, rails)
        or _is_worth_less(tried, control, rails)
    )


def sequence(mean: float, spread: float, n: int, alpha: float) -> Bounds:
    """Bounds of a mean of n that hold for every n at once, with probability 1 - alpha."""
    tuned = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / SHARPEST_AT
    grown = n * tuned + 1
    width = spread * math.sqrt(2 * grown / (n * n * tuned) * math.log(math.sqrt(grown) / alpha))
    return Bounds(mean, mean - width, mean + width)


def share(hits: npt.NDArray[np.bool_], alpha: float) -> Bounds:
    """Bounds of a share; one hit and one miss more keep its spread above 0."""
    n, count = len(hits), int(hits.sum())
    smoothed = (count + 1) / (n + 2)
    return sequence(count / n, math.sqrt(smoothed * (1 - smoothed)), n, alpha)


def _fails_more(tried: Shown, control: Shown, rails: Rails) -> str | None:
    ours, theirs = share(tried.failed, rails.alpha / 2), share(control.failed, rails.alpha / 2)
    if ours.low <= theirs.high + rails.more_failures:
        return None
    return f"{ours.value:.1%} of its requests failed or were degraded, {theirs.value:.1%} of the control's"


def _is_slower(tried: Shown, control: Shown, rails: Rails) -> str | None:
    """A p99 lies above a limit when surely more than one request in a hundred does."""
    p99_ms = float(np.quantile(control.ms, 0.99))
    limit_ms = max(rails.slow_ms, rails.slower * p99_ms)
    slow = share(tried.ms > limit_ms, rails.alpha)
    if slow.low <= 0.01:
        return None
    return (
        f"p99 is {np.quantile(tried.ms, 0.99):.1f} ms, at most {limit_ms:.1f}; the control's is {p99_ms:.1f}"
    )


def _is_worth_less(tried: Shown, control: Shown, rails: Rails) -> str | None:
    if min(tried.people, control.people) < rails.least:
        return None
    ours, theirs = _yes(tried, rails.alpha / 2), _yes(control, rails.alpha / 2)
    if ours.high >= theirs.low * (1 - rails.value_loss):
        return None
    return f"{ours.value:.1%} of what it showed was watched long, {theirs.value:.1%} of the control's"


def _yes(shown: Shown, alpha: float) -> Bounds:
    return sequence(shown.yes_rate, shown.spread, shown.people, alpha)
