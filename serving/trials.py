"""Which release answers whom, and whether the one on trial may go on.

Two things are trials: a canary, beside the champion at the same time; and a new champion for its first hour,
beside what the one before did last. A trial that breaks a rail ends by itself, with the reason in the
promotion log. Nothing begins by itself: a stopped canary stays stopped, a release rolled back stays back, and
the one it was rolled back to is on no trial.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from prometheus_client import CollectorRegistry, Gauge

from feature_repo.events import POSITIONS_PER_REQUEST
from feature_repo.labels import LONG_WATCH_MS
from feature_repo.places import Places
from serving import canaries, registry
from serving.canaries import NO_CANARY, Canary
from serving.candidates import Query
from serving.challengers import Challenger
from serving.champions import Champion, Serving
from serving.feed import Funnel
from serving.guardrails import Rails, Shown, breach
from serving.shadows import Luck, Shadow
from serving.state import PeopleState
from serving.tallies import Tally

log = logging.getLogger("serving.trials")

REQUESTS = 50_000
"""The newest requests whose watches are counted for the release that answered them."""
NOT_ITS_DOING = {"reader:online_features", "reader:spare_features"}
"""A store that is lost, lost for every release; a new champion must not be blamed for it."""
RAILS: Mapping[str, Rails] = {
    "canary": Rails(),
    # Before and after are other hours: moods and load may differ too, so only what is gross counts.
    "promotion": Rails(more_failures=0.05, slower=3.0, value_loss=0.15),
}
PROMOTION_S = 3_600.0
"""How long a new champion is on trial."""


@dataclass(frozen=True)
class Trial:
    """A release on trial and its control, each with what it did since."""

    kind: Literal["canary", "promotion"]
    version: int
    control_version: int
    tried: Tally
    control: Tally
    share: float
    began_s: float

    def breach(self) -> str | None:
        return breach(self.tried.shown(), self.control.shown(), RAILS[self.kind])

    def figures(self) -> dict[str, object]:
        told = {"kind": self.kind, "share": self.share, "version": self.version}
        shown = {"tried": _shown(self.tried.shown()), "control": _shown(self.control.shown())}
        return {**told, "control_version": self.control_version, **shown}


Arms = tuple[Serving, Serving | None]
"""The champion, and the challenger if it is to answer."""


class Trials:
    """Chooses who answers, counts what they do, and judges. `follow` is called by one thread."""

    def __init__(
        self,
        places: Places,
        champion: Champion,
        state: PeopleState,
        told: CollectorRegistry,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places, self._champion, self._monotonic = places, champion, monotonic
        self.challenger = Challenger(places, state)
        self.shadowing = Shadow(lambda: self.challenger.now, told)
        self._canary = NO_CANARY
        self._standing = (0, Tally())
        """The champion's version and what it did since it was taken up."""
        self._trial: Trial | None = None
        self._answered: OrderedDict[int, Tally] = OrderedDict()
        self._ended: str | None = None
        self._share = Gauge("fourplanes_canary_share", "Share of people the challenger serves", registry=told)
        self._stops = Gauge(
            "fourplanes_trials_stopped", "Trials a guardrail ended since the start", registry=told
        )

    def arms(self, user_id: int) -> Arms:
        """Champion and, for somebody of the canary, challenger; chosen before the moment of a request, whose
        features are then never of the future.
        """
        return self._champion.now, self._challenger_of(user_id)

    def ranked(self, arms: Arms, query: Query, luck: Luck) -> tuple[Serving, Funnel]:
        """The release that answers this person, and its answer; where a challenger fails, the champion's."""
        champion, challenger = arms
        if challenger is not None:
            try:
                return challenger, self._ranked(challenger, query, luck)[0]
            except Exception:  # a canary may fail; the request must not
                log.exception("challenger version %d failed; the champion answers", challenger.version)
        funnel, ms = self._ranked(champion, query, luck)
        self.shadowing.offer(query, luck, funnel, ms)
        return champion, funnel

    def absorb(self, events: Iterable[Mapping[str, Any]]) -> None:
        """What people watched of the slates answered here, by the release that answered."""
        for event in events:
            if event["kind"] != "watched":
                continue
            tally = self._answered.get(event["impression_id"] // POSITIONS_PER_REQUEST)
            if tally is not None:
                enough_ms = min(LONG_WATCH_MS, event.get("duration_ms") or LONG_WATCH_MS)
                tally.watched(event["user_id"], event["watched_ms"] >= enough_ms)

    def follow(self) -> None:
        """Look at challenger, canary and promotions once, and end a trial that broke a rail."""
        if not self._champion.is_ready:
            return
        champion = self._champion.now
        self.challenger.follow(champion)
        canary, challenger = canaries.running(self._places), self.challenger.now
        if challenger is None or challenger.version != canary.version:
            canary = NO_CANARY
        self._begin(champion.version, canary)
        self._share.set(canary.share)
        reason = self._trial.breach() if self._trial else None
        if self._trial and reason:
            self._end(self._trial, reason)

    def figures(self) -> dict[str, object]:
        """What health.json says of challenger, canary and trial."""
        challenger, refusal = self.challenger.now, self.challenger.refusal
        return {
            "challenger": challenger.version if challenger else None,
            "refused_challenger": refusal.reason if refusal else None,
            "shadow": self.shadowing.figures(),
            "trial": self._trial.figures() if self._trial else None,
            "trial_stopped": self._ended,
        }

    def close(self) -> None:
        self.shadowing.close()

    def _challenger_of(self, user_id: int) -> Serving | None:
        challenger, canary = self.challenger.now, self._canary
        if challenger is None or challenger.version != canary.version:
            return None
        return challenger if canary.holds(user_id) else None

    def _ranked(self, serving: Serving, query: Query, luck: Luck) -> tuple[Funnel, float]:
        """The funnel of a release and its milliseconds, both counted for it."""
        tally, started, failed = self._tally_of(serving.version), time.perf_counter(), True
        try:
            funnel = serving.feed.rank(query, luck())
            failed = bool(set(funnel.degraded) - NOT_ITS_DOING)
        finally:
            ms = (time.perf_counter() - started) * 1000
            if tally is not None:
                tally.requested(ms, failed)
        if tally is not None:
            self._answered[query.request_id] = tally
            if len(self._answered) > REQUESTS:
                self._answered.popitem(last=False)
        return funnel, ms

    def _tally_of(self, version: int) -> Tally | None:
        """Where requests of a release are counted; None for one that was taken up this very moment."""
        trial, (standing, tally) = self._trial, self._standing
        if standing == version:
            return tally
        return trial.tried if trial is not None and trial.version == version else None

    def _begin(self, champion: int, canary: Canary) -> None:
        """Put on trial what is new since the last look; every trial begins with nothing counted."""
        before, control = self._standing
        if champion != before:
            self._standing = (champion, Tally())
        if (champion, canary) == (before, self._canary):
            self._expire()
            return
        self._trial, self._canary = None, canary
        if canary.share > 0:
            self._standing = (champion, Tally())
            tallies = Tally(), self._standing[1]
            self._trial = Trial("canary", canary.version, champion, *tallies, canary.share, self._monotonic())
        elif champion != before and self._was_promoted(champion, before):
            tallies = self._standing[1], control
            self._trial = Trial("promotion", champion, before, *tallies, 1.0, self._monotonic())

    def _was_promoted(self, version: int, before: int) -> bool:
        """Whether the champion's last move was forward, from `before`; who was moved back to is trusted."""
        moves = [m for m in registry.promotions(self._places) if m.get("alias") == registry.CHAMPION]
        last = moves[-1] if moves else {}
        return (last.get("from"), last.get("to")) == (before, version) and last["reason"] != registry.ROLLBACK

    def _expire(self) -> None:
        """A promotion that held for an hour is no trial any more."""
        trial = self._trial
        if trial and trial.kind == "promotion" and self._monotonic() - trial.began_s > PROMOTION_S:
            self._trial = None

    def _end(self, trial: Trial, reason: str) -> None:
        """Stop the canary, or move the champion back; somebody else may have been faster."""
        why = f"guardrail: {reason}"
        if trial.kind == "canary":
            canaries.stop(self._places, trial.version, why)
        else:
            with suppress(registry.MovedMeanwhile):
                registry.rollback(self._places, why, trial.version)
        self._trial, self._canary = None, NO_CANARY
        self._ended = f"{trial.kind} of version {trial.version}: {reason}"
        self._stops.inc()
        log.error("stopped the %s", self._ended)


def _shown(shown: Shown) -> dict[str, object]:
    """A tally as health.json tells it; percentiles and shares are null before the first request."""
    asked = len(shown.ms)
    return {
        "requests": asked,
        "failed": round(float(shown.failed.mean()), 4) if asked else None,
        "p99_ms": round(float(np.quantile(shown.ms, 0.99)), 3) if asked else None,
        "people": shown.people,
        "yes_rate": round(shown.yes_rate, 4) if shown.people else None,
    }
