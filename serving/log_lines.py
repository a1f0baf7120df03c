"""The server's log: one JSON object per line, one line per request, and no line that names a secret.

People appear as a keyed hash, so that lines of one person can be joined and nobody can be looked up without
the key; LOG_USERS=raw writes their ids, LOG_USERS=none nothing. Bodies and headers are never written.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

NamesUser = Callable[[int], str | int | None]
"""How a line names a person."""
LOG_USERS = ("hash", "raw", "none")
SELDOM_S = 10.0
"""The same trouble is told with its traceback once in this time, then counted."""

requests = logging.getLogger("serving.requests")


@dataclass(slots=True)
class Telling:
    """What the log will say of one request; its route fills in what it learns."""

    id: str
    """Echoed as x-request-id."""
    trace_id: str
    span_id: str
    parent_id: str | None = None
    user_id: int | None = None
    request_id: int | None = None
    """Of the slate."""
    release_id: str | None = None
    degraded: tuple[str, ...] = ()
    ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of the stages of a slate, in order."""
    route: str | None = None
    """Where it was going, if no route was reached."""
    shed: str | None = None
    """The lane that refused it."""


def tell_request(telling: Telling, route: str, status: int, ms: float, name: NamesUser) -> None:
    """Write the line of one answered request."""
    if not requests.isEnabledFor(logging.INFO):
        return
    told: dict[str, Any] = {"route": route, "status": status, "ms": round(ms, 3), "id": telling.id}
    told["trace_id"] = telling.trace_id
    if telling.user_id is not None:
        told["user"] = name(telling.user_id)
    for name_of in ("request_id", "release_id", "degraded", "shed"):
        if value := getattr(telling, name_of):
            told[name_of] = value
    requests.info("answered", extra={"told": told})


def names_user(how: str, key: bytes) -> NamesUser:
    """One of LOG_USERS; the hash is BLAKE2b of the id under a key only this server's owner has."""
    if how not in LOG_USERS:
        raise ValueError(f"LOG_USERS is {how!r}, must be one of {', '.join(LOG_USERS)}; set LOG_USERS=hash.")
    if how == "raw":
        return lambda user_id: user_id
    if how == "none":
        return lambda _: None
    return lambda user_id: hashlib.blake2b(str(user_id).encode(), key=key, digest_size=8).hexdigest()


class JsonLines(logging.Formatter):
    """A record as one line of JSON: when, how bad, who says it, what, and what was told beside it."""

    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"at": at, "level": record.levelname.lower(), "logger": record.name}
        line["message"] = record.getMessage()
        told: Mapping[str, Any] = getattr(record, "told", {})
        if record.exc_info:
            line["trouble"] = self.formatException(record.exc_info)
        return orjson.dumps({**line, **told}, default=str).decode()


class Seldom(logging.Filter):
    """Lets the same trouble through once in a while, and then says how often it was silent.

    A dependency that is gone fails every request: its tracebacks would cost more than it did.
    """

    def __init__(self, every_s: float = SELDOM_S, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s, self._monotonic = every_s, monotonic
        self._told_s: dict[str, float] = {}
        self._silent: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.exc_info:
            return True
        what, now_s = f"{record.name} {record.msg}", self._monotonic()
        if now_s - self._told_s.get(what, -self._every_s) < self._every_s:
            self._silent[what] = self._silent.get(what, 0) + 1
            return False
        self._told_s[what] = now_s
        if silent := self._silent.pop(what, 0):
            record.told = {"silent_since": silent}
        return True
