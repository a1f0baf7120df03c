"""How the server is doing, counted once and told twice: on /metrics and in server/health.json."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client import Counter as Count

from feature_repo.breakers import Breaker
from feature_repo.contracts import Violations, violations
from feature_repo.matrix import COLUMNS

BUCKETS_MS = (0.1, 0.2, 0.5, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 500, 1000)
SHED = 429
WINDOW = 4_096
"""The newest requests that percentiles in health.json are taken over."""


class Meters:
    """Counts and durations of one server, in a Prometheus registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._ms: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))
        self._counts: Counter[str] = Counter()
        self._components: Counter[str] = Counter()
        self._released: set[tuple[str, str]] = set()
        self._contract = violations(np.zeros((0, len(COLUMNS)), np.float32))
        of: dict[str, Any] = {"registry": self.registry}
        self._requests = Count(
            "fourplanes_requests", "Answers by route and status", ["route", "status"], **of
        )
        self._stages = Histogram(
            "fourplanes_stage_ms", "Milliseconds per stage", ["stage"], buckets=BUCKETS_MS, **of
        )
        self._degraded = Count(
            "fourplanes_degraded", "Served without a component that failed", ["component"], **of
        )
        self._events = Count("fourplanes_events", "Events by what became of them", ["outcome"], **of)
        self._shed = Count("fourplanes_shed", "Requests refused because their lane was full", ["lane"], **of)
        self._working = Gauge("fourplanes_lane_in_work", "Requests in work", ["lane"], **of)
        self._waiting = Gauge("fourplanes_lane_waiting", "Requests waiting to be let in", ["lane"], **of)
        self._open = Gauge("fourplanes_breaker_open", "1 while it is left alone", ["breaker"], **of)
        self._opened = Gauge("fourplanes_breaker_opened", "Times it went to rest", ["breaker"], **of)
        self._cold = Count("fourplanes_cold_starts", "Feeds for people never seen", **of)
        self._unscored = Count("fourplanes_unscored_candidates", "Candidates whose value was unknown", **of)
        self._journal = Gauge(
            "fourplanes_journal_events", "Rows in the journal: events, and whole slates", **of
        )
        self._mirror = Gauge("fourplanes_mirror_age_seconds", "Age of the mirrored video features", **of)
        self._outside = Count(
            "fourplanes_features_out_of_range", "Feature values outside their contract", ["feature"], **of
        )
        self._failures = Gauge("fourplanes_online_write_failures", "Writes the online store refused", **of)
        self._foreign = Gauge("fourplanes_online_foreign_rows", "Online rows of another schema met", **of)
        self._swaps = Gauge("fourplanes_release_swaps", "Releases or worlds taken up since the start", **of)
        self._refused = Gauge("fourplanes_releases_refused", "Champions refused since the start", **of)
        self._release = Gauge(
            "fourplanes_release",
            "1 for the release being served, 0 for those before it",
            ["release_id", "version"],
            **of,
        )

    def described(self, found: Violations) -> None:
        """The features of one feed's candidates, held to what the catalogue promises of them."""
        with self._lock:
            self._contract = self._contract + found
        for place in np.flatnonzero(found.outside):
            self._outside.labels(found.features[place].name).inc(int(found.outside[place]))

    def stored(self, failures: int, foreign: int) -> None:
        """What the online store did not take, and rows in it of another schema."""
        self._failures.set(failures)
        self._foreign.set(foreign)

    def lane(self, name: str, in_work: int, waiting: int) -> None:
        """How full a lane is."""
        self._working.labels(name).set(in_work)
        self._waiting.labels(name).set(waiting)

    def shed(self, lane: str) -> None:
        """One request was refused because its lane was full."""
        self._shed.labels(lane).inc()

    def guarded(self, breakers: Iterable[Breaker]) -> None:
        """Which of the things others can do without are being left alone."""
        for each in breakers:
            self._open.labels(each.name).set(each.is_open)
            self._opened.labels(each.name).set(each.opened)

    def answered(self, route: str, status: int, ms: float) -> None:
        """One answer, with what it took; the time of a refusal says nothing of those who were let in."""
        self._requests.labels(route, str(status)).inc()
        if status != SHED:
            self._stages.labels(f"http {route}").observe(ms)
        if not route.startswith("/v1"):
            return  # probes say nothing about how people are served
        with self._lock:
            self._counts["requests"] += 1
            self._counts["errors"] += status >= 500
            self._counts["refused"] += 400 <= status < 500
            if status != SHED:
                self._ms[f"http {route}"].append(ms)

    def ranked(self, ms: Mapping[str, float], degraded: tuple[str, ...], unscored: int, cold: bool) -> None:
        """One feed: where its time went, and what it had to do without."""
        for stage, spent in ms.items():
            self._stages.labels(stage).observe(spent)
        for component in degraded:
            self._degraded.labels(component).inc()
        self._unscored.inc(unscored)
        self._cold.inc(cold)
        with self._lock:
            self._counts.update(feeds=1, fallbacks=bool(degraded), unscored=unscored, cold_starts=cold)
            self._components.update(degraded)
            for stage, spent in ms.items():
                self._ms[stage].append(spent)

    def journaled(self, outcome: str, events: int) -> None:
        """Events stored, repeated or refused."""
        self._events.labels(outcome).inc(events)
        with self._lock:
            self._counts[f"events_{outcome}"] += events

    def serving(self, release_id: str, version: int, mirror_age_s: float, swaps: int, refusals: int) -> None:
        for labels in self._released - {(release_id, str(version))}:
            self._release.labels(*labels).set(0)
        self._released.add((release_id, str(version)))
        self._release.labels(release_id, str(version)).set(1)
        self._mirror.set(mirror_age_s)
        self._swaps.set(swaps)
        self._refused.set(refusals)

    def journal(self, events: int) -> None:
        self._journal.set(events)

    def text(self) -> bytes:
        """The page Prometheus reads."""
        return generate_latest(self.registry)

    def figures(self) -> dict[str, object]:
        """Counts since the start and percentiles over the newest requests."""
        with self._lock:
            spent = {stage: np.array(values) for stage, values in self._ms.items() if values}
            counts, components = dict(self._counts), dict(self._components)
            contract = self._contract.as_figure()
        names = ("requests", "errors", "refused", "feeds", "fallbacks", "unscored", "cold_starts")
        return {
            **{name: int(counts.get(name, 0)) for name in names},
            "events": {
                o: int(counts.get(f"events_{o}", 0)) for o in ("stored", "repeated", "refused", "unstored")
            },
            "degraded": components,
            "contracts": contract,
            "ms": {stage: _percentiles(values) for stage, values in spent.items()},
        }


def _percentiles(values: npt.NDArray[np.float64]) -> dict[str, float]:
    low, high = np.percentile(values, [50, 99])
    return {"p50": round(float(low), 3), "p99": round(float(high), 3), "n": len(values)}
