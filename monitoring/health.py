"""Is the server well? Its own figures, health.json, which a running server rewrites every few seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.intervals import wilson
from feature_repo.places import Places
from monitoring.findings import Finding, judged, not_judged

FILE = "health.json"
ALIVE_S = 60.0
"""Figures older than this are of a server that has stopped; they are judged, and its clock is not used."""

ERRORS_SHARE = 0.01
FALLBACKS_SHARE = 0.05
"""Feeds served without a component; a share is too high when the low end of its Wilson interval is."""

SLOWEST_P99_MS = 100.0
"""Three times the bar of `make bench-serving` (30 ms): a laptop does other things too."""

LEAST_REQUESTS = 100
"""Feeds needed before their 99th percentile means something."""

MIRROR_HOURS = 1.0
"""A server renews its mirror every second or so: older than this, even by a fast clock, it writes nothing."""

LEAST_ROWS = 10_000
"""Candidates needed before a share of unknown values means something."""


@dataclass(frozen=True)
class Health:
    """The server's figures, and how many wall seconds ago they were written."""

    figures: Mapping[str, Any]
    age_s: float

    @property
    def is_alive(self) -> bool:
        return self.age_s <= ALIVE_S

    @property
    def now_us(self) -> int | None:
        """The server's world clock, while it runs."""
        return int(self.figures["now_us"]) if self.is_alive and "now_us" in self.figures else None

    def count(self, name: str) -> int:
        return int(self.figures.get(name) or 0)


def read_health(places: Places, wall_s: float) -> Health | None:
    """What the server last said; None if it never ran here. A half-read file cannot be: it is renamed into
    place.
    """
    path = places.server / FILE
    if not path.exists():
        return None
    return Health(json.loads(path.read_text()), wall_s - _written_s(path))


def _written_s(path: Path) -> float:
    return path.stat().st_mtime


def health(found: Health | None) -> list[Finding]:
    """Errors, fallbacks, slowness, age of the mirror, a champion the server would not take."""
    if found is None:
        return [not_judged("server", "figures", "no server has run here: `make serve`")]
    rates = [
        rate(
            "errors", found.count("errors"), found.count("requests"), ERRORS_SHARE, "server/*.log says which"
        ),
        rate("fallbacks", found.count("fallbacks"), found.count("feeds"), FALLBACKS_SHARE, _degraded(found)),
    ]
    return [refused(found), *rates, slowness(found), mirror_age(found), contracts(found)]


def rate(subject: str, bad: int, of: int, most: float, says: str) -> Finding:
    """A share of requests, failed when even the low end of its interval is too high."""
    if of == 0:
        return not_judged("server", subject, "no requests yet: ask for feeds")
    found = wilson(bad, of)
    return judged(
        "server", subject, f"{bad} of {of} ({found.value:.1%})", f"<= {most:.0%}", found.low <= most, says
    )


def slowness(found: Health) -> Finding:
    """The 99th percentile of whole feed requests."""
    routes = found.figures.get("ms", {})
    feeds = [spent for route, spent in routes.items() if route.startswith("http") and "feed" in route]
    if not feeds or feeds[0]["n"] < LEAST_REQUESTS:
        return not_judged("server", "p99 of a feed", f"fewer than {LEAST_REQUESTS} feeds")
    p99, bound = float(feeds[0]["p99"]), f"<= {SLOWEST_P99_MS:g} ms"
    return judged(
        "server",
        "p99 of a feed",
        f"{p99:.1f} ms",
        bound,
        p99 <= SLOWEST_P99_MS,
        "GET /metrics has the stages",
    )


def mirror_age(found: Health) -> Finding:
    """How old the in-process video features are."""
    if "mirror_age_s" not in found.figures:
        return not_judged("server", "age of the mirror", "nothing is served yet")
    hours = float(found.figures["mirror_age_s"]) / 3600
    says = "the online store takes no writes: server/server.log says why"
    return judged(
        "server", "age of the mirror", f"{hours:.2f} h", f"<= {MIRROR_HOURS:g} h", hours <= MIRROR_HOURS, says
    )


def contracts(found: Health) -> Finding:
    """Whether the features of the candidates keep what the catalogue promises: ranges, shares unknown."""
    told = found.figures.get("contracts") or {}
    rows, breaches = int(told.get("rows", 0)), told.get("breaches", [])
    if rows < LEAST_ROWS:
        return not_judged("server", "feature contracts", f"fewer than {LEAST_ROWS:,} candidates scored")
    value = f"{len(breaches)} breached over {rows:,} candidates"
    return judged("server", "feature contracts", value, "none", not breaches, "; ".join(breaches))


def refused(found: Health) -> Finding:
    """Whether the server serves the champion."""
    reason = found.figures.get("refused_release")
    value = "refused" if reason else str(found.figures.get("release_id", "none yet"))
    return judged("server", "champion", value, "served", not reason, str(reason or ""))


def _degraded(found: Health) -> str:
    parts = found.figures.get("degraded") or {}
    return "failing: " + ", ".join(f"{name} x{times}" for name, times in sorted(parts.items()))
