"""Did the tail of a server get longer, and was it the server or the machine?

A rented machine has slow quarters of an hour, and a p99 shows them first. So while a server ages, early and
late, another that was just started is asked the same mix at the same pace. The two newcomers are equally
young: they differ by the machine alone. The old server's p99 beside that of the newcomer, in the same
minutes, is its age alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.intervals import Interval, percentiles
from labs.bench.latencies import RESAMPLES, Latency, latency
from labs.bench.mixes import Sent

F64 = npt.NDArray[np.float64]

WARM_UP = 0.2
"""The share of a server's time that is not judged."""
MOMENT_S = 10.0
"""Resampled whole: what slows one request down slows its neighbours, and both servers, too."""
TAIL = 0.99


@dataclass(frozen=True)
class Span:
    """A part of the time, in seconds since the start."""

    from_s: float
    to_s: float

    def after_warm_up(self) -> Span:
        return Span(self.from_s + WARM_UP * (self.to_s - self.from_s), self.to_s)

    def feeds(self, sent: Sequence[Sent]) -> list[Sent]:
        """Those of all requests that were answered in it."""
        return [each for each in sent if each.kind == "feed" and self.from_s <= each.at_s < self.to_s]

    def latency(self, sent: Sequence[Sent]) -> Latency:
        """What those took."""
        return latency([each.ms for each in self.feeds(sent)])


@dataclass(frozen=True)
class Ageing:
    """The p99 of feeds, early and late, of the server that is soaked and of the newcomers beside it."""

    early: Interval
    late: Interval
    """How many times as long as the newcomer's."""
    with_the_machine: float
    of_the_machine: float
    """From early to late, as a share: of the server that is soaked, and of two that are equally young."""

    @property
    def drift(self) -> float:
        """What age adds to the p99, as a share of it."""
        return self.late.value - 1

    def figures(self) -> dict[str, Any]:
        return asdict(self)


def early_and_late(seconds: float) -> tuple[Span, Span]:
    """The first and the last third after the warm-up: a newcomer lives through each."""
    begin_s = WARM_UP * seconds
    third_s = (seconds - begin_s) / 3
    return Span(begin_s, begin_s + third_s), Span(seconds - third_s, seconds)


def ageing(
    old: Sequence[Sent], newcomers: Sequence[Sent], seconds: float, rng: np.random.Generator
) -> Ageing:
    """What so many seconds did to the server that was asked all along; NaN where nobody was asked."""
    early, late = (span.after_warm_up() for span in early_and_late(seconds))
    both, machine = (late.latency(sent).p99_ms / early.latency(sent).p99_ms - 1 for sent in (old, newcomers))
    return Ageing(
        early=_beside(early.feeds(old), early.feeds(newcomers), rng),
        late=_beside(late.feeds(old), late.feeds(newcomers), rng),
        with_the_machine=both,
        of_the_machine=machine,
    )


def _beside(old: Sequence[Sent], young: Sequence[Sent], rng: np.random.Generator) -> Interval:
    """The ratio of their p99, by the moments in which both were asked."""
    mine, theirs = _by_moment(old), _by_moment(young)
    moments = sorted(mine.keys() & theirs.keys())
    if not moments:
        return Interval(np.nan, np.nan, np.nan, 0)
    pairs = [(mine[moment], theirs[moment]) for moment in moments]
    picks = rng.integers(0, len(pairs), (RESAMPLES, len(pairs)))
    found = [_ratio([pairs[place] for place in picked]) for picked in picks]
    return Interval(_ratio(pairs), *percentiles(np.array(found)), len(pairs))


def _by_moment(feeds: Sequence[Sent]) -> dict[int, F64]:
    """What each moment's feeds took, in milliseconds."""
    at = np.array([each.at_s // MOMENT_S for each in feeds], np.int64)
    ms = np.array([each.ms for each in feeds], np.float64)
    return {int(moment): ms[at == moment] for moment in np.unique(at)}


def _ratio(pairs: Sequence[tuple[F64, F64]]) -> float:
    old, young = (np.quantile(np.concatenate(arm), TAIL) for arm in zip(*pairs, strict=True))
    return float(old / young)
