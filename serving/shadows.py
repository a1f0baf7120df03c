"""What the challenger would have shown: it ranks the champion's requests again, off their path.

Law: a request is never delayed. It is put on a short queue, or, when that is full, skipped and counted. One
thread ranks what waits, from the same query and the same luck, and rests three times as long as it worked.
Nobody sees it, and nothing of it is logged or remembered; only comparisons are kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Count

from serving.candidates import Column, Query
from serving.champions import Serving
from serving.feed import Funnel

log = logging.getLogger("serving.shadows")

WAITING = 16
"""Requests that may wait; each holds its funnel, some hundred KiB."""
CORE_SHARE = 0.25
"""Most of one core the shadow may take."""
NEWEST = 2_000
"""Comparisons that means and percentiles are taken over."""
Luck = Callable[[], np.random.Generator]
"""The chance of a request, from its beginning."""


@dataclass(frozen=True)
class Asked:
    """A request as the champion answered it."""

    query: Query
    luck: Luck
    funnel: Funnel
    ms: float


@dataclass(frozen=True)
class Comparison:
    """One request, ranked by both. Values are the champion's own predictions of what each would show."""

    overlap: float
    """Share of the champion's slate that the challenger would show too."""
    same_first: bool
    rank_correlation: float
    """Spearman's, of the values of the videos both scored; NaN when they are fewer than two."""
    value: float
    """Mean value of the champion's slate, by the champion."""
    challenger_value: float
    """Mean value of the challenger's slate, by the champion; of the videos it scored, NaN without any."""
    ms: float
    challenger_ms: float


def comparison(asked: Asked, funnel: Funnel, ms: float) -> Comparison:
    """What the challenger's funnel is beside the champion's."""
    ours, theirs = asked.funnel.slate, funnel.slate
    scored = asked.funnel.scored
    _, mine, other = np.intersect1d(scored.ids, funnel.scored.ids, assume_unique=True, return_indices=True)
    return Comparison(
        overlap=float(np.isin(ours.ids, theirs.ids).mean()) if len(ours) else 1.0,
        same_first=ours.ids[:1].tolist() == theirs.ids[:1].tolist(),
        rank_correlation=_rank_correlation(scored["value"][mine], funnel.scored["value"][other]),
        value=_mean(ours["value"]),
        challenger_value=_mean(scored["value"][np.isin(scored.ids, theirs.ids)]),
        ms=asked.ms,
        challenger_ms=ms,
    )


class Shadow:
    """Compares a challenger with the champion; `challenger` says whom, at each request anew."""

    def __init__(
        self,
        challenger: Callable[[], Serving | None],
        told: CollectorRegistry,
        core_share: float = CORE_SHARE,
    ) -> None:
        self._challenger, self._rest = challenger, 1 / core_share - 1
        self._waiting: Queue[Asked] = Queue(WAITING)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._of: int | None = None
        self._counts: Counter[str] = Counter()
        self._compared: deque[Comparison] = deque(maxlen=NEWEST)
        self._outcomes = Count(
            "fourplanes_shadow_requests", "Requests for the challenger by outcome", ["outcome"], registry=told
        )

    def offer(self, query: Query, luck: Luck, funnel: Funnel, ms: float) -> None:
        """Let the challenger have a request the champion answered, if there is one and it has time."""
        challenger = self._challenger()
        if challenger is None:
            return
        self._follow(challenger.version)
        try:
            self._waiting.put_nowait(Asked(query, luck, funnel, ms))
        except Full:
            self._count("skipped")
        if self._thread is None:
            self._start()

    def figures(self) -> dict[str, object] | None:
        """Counts since this challenger began, means and percentiles of its newest comparisons."""
        with self._lock:
            counts, compared, version = dict(self._counts), list(self._compared), self._of
        if version is None:
            return None
        told = {name: counts.get(name, 0) for name in ("compared", "skipped", "failed", "degraded")}
        return {"version": version, **told, **_means(compared)}

    def close(self) -> None:
        """Stop; what still waits is dropped."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def drain(self) -> None:
        """Rank what waits now, in the thread that asks."""
        while not self._stopping.is_set():
            try:
                asked = self._waiting.get_nowait()
            except Empty:
                return
            self._rank(asked)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with suppress(Empty):
                asked = self._waiting.get(timeout=0.5)
                started = time.perf_counter()
                self._rank(asked)
                self._stopping.wait(self._rest * (time.perf_counter() - started))

    def _rank(self, asked: Asked) -> None:
        challenger = self._challenger()
        if challenger is None:
            return
        self._follow(challenger.version)
        started = time.perf_counter()
        try:
            funnel = challenger.feed.rank(asked.query, asked.luck())
        except Exception:  # what a challenger does wrong is counted, and concerns nobody else
            log.exception("the challenger failed at request %d", asked.query.request_id)
            self._count("failed")
            return
        compared = comparison(asked, funnel, (time.perf_counter() - started) * 1000)
        self._count("compared")
        if funnel.degraded:
            self._count("degraded")
        with self._lock:
            self._compared.append(compared)

    def _follow(self, version: int) -> None:
        """Another challenger begins with nothing."""
        with self._lock:
            if self._of != version:
                self._of = version
                self._counts.clear()
                self._compared.clear()

    def _count(self, outcome: str) -> None:
        self._outcomes.labels(outcome).inc()
        with self._lock:
            self._counts[outcome] += 1


def _means(compared: list[Comparison]) -> dict[str, object]:
    if not compared:
        return {}
    names = ("overlap", "same_first", "rank_correlation", "value", "challenger_value")
    means = {name: _mean(np.array([getattr(each, name) for each in compared], np.float64)) for name in names}
    ms = {name: [getattr(each, name) for each in compared] for name in ("ms", "challenger_ms")}
    percentiles = {name: np.quantile(spent, [0.5, 0.99]).round(3).tolist() for name, spent in ms.items()}
    spent = {name: {"p50": low, "p99": high} for name, (low, high) in percentiles.items()}
    return {**{name: None if mean != mean else round(mean, 4) for name, mean in means.items()}, **spent}


def _mean(values: Column) -> float:
    """The mean of what is known, NaN if nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _rank_correlation(ours: Column, theirs: Column) -> float:
    """Spearman's, ties in the order of the ids; NaN rows are left out."""
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    if both.sum() < 2:
        return float("nan")
    mine, other = (np.argsort(np.argsort(each[both], kind="stable")) for each in (ours, theirs))
    return float(np.corrcoef(mine.astype(np.float64), other.astype(np.float64))[0, 1])
