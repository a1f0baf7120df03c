"""A mix of what clients send, at a moderate pace, each waiting for its answer; wrong requests among them.

Every request has the statuses that are right for it, so an answer is right or an error; there is no third.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from labs.bench.clients import Client
from labs.bench.talkers import told_of

SHARES = {"feed": 0.55, "events": 0.24, "explain": 0.08, "metrics": 0.04, "health": 0.05, "wrong": 0.04}
"""Of all requests; slates that nothing is told about yet are kept, the newest few."""
KEPT = 16
ALONE = {"metrics": "/metrics", "health": "/readyz"}


@dataclass(frozen=True)
class Request:
    """What is sent, and the statuses that are right for it."""

    kind: str
    method: str
    path: str
    payload: bytes | None = None
    right: frozenset[int] = frozenset({200})


def _wrong(method: str, path: str, payload: bytes | None, *right: int) -> Request:
    return Request("wrong", method, path, payload, frozenset(right))


WRONG = (
    _wrong("POST", "/v1/feed", b'{"user_id": -1}', 422),
    _wrong("POST", "/v1/feed", b"{", 400),
    _wrong("POST", "/v1/feed", b'{"user_id": 1, "limit": 51}', 422),
    _wrong("POST", "/v1/events", b'{"events": []}', 422),
    _wrong("POST", "/v1/events", b"[" * 2_000, 400, 422),
    _wrong("GET", "/v1/explain/0", None, 404),
    _wrong("GET", "/v1/nothing", None, 404),
    _wrong("DELETE", "/v1/feed", None, 405),
)
"""Requests that must be refused."""


@dataclass(frozen=True)
class Sent:
    """One request: when it was answered, in seconds since the start, and how."""

    kind: str
    at_s: float
    ms: float
    status: int
    """0 if no answer came."""
    is_right: bool


@dataclass
class Talk:
    """One client of the mix; its people are nobody else's."""

    port: int
    people: Sequence[int]
    rng: np.random.Generator
    gap_s: float
    """From the beginning of a request to that of the next, if the answer comes in time."""
    sent: list[Sent] = field(default_factory=list)
    _shown: deque[tuple[int, Mapping[str, Any]]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def until(self, over: threading.Event, began_s: float) -> None:
        """Send until it is over; an answer that does not come is an error and not the end."""
        while not over.is_set():
            try:
                with Client(self.port, timeout_s=10.0) as client:
                    self._paced(client, over, began_s)
            except OSError:
                self.sent.append(Sent("none", time.monotonic() - began_s, np.nan, 0, False))
                over.wait(1.0)

    def _paced(self, client: Client, over: threading.Event, began_s: float) -> None:
        while not over.is_set():
            due_s = time.monotonic() + self.gap_s
            person = int(self.rng.choice(self.people))
            request = self._next(person)
            told = client.answer(request.method, request.path, request.payload)
            is_right, at_s = told.status in request.right, time.monotonic() - began_s
            self.sent.append(Sent(request.kind, at_s, told.ms, told.status, is_right))
            if request.kind == "feed" and is_right:
                self._shown.append((person, orjson.loads(told.body)))
            over.wait(max(0.0, due_s - time.monotonic()))

    def _next(self, person: int) -> Request:
        kind = str(self.rng.choice(list(SHARES), p=list(SHARES.values())))
        if kind in ALONE:
            return Request(kind, "GET", ALONE[kind])
        if kind == "wrong":
            return WRONG[self.rng.integers(len(WRONG))]
        if kind == "explain" and self._shown:
            return Request(kind, "GET", f"/v1/explain/{self._shown[-1][1]['request_id']}")
        if kind == "events" and self._shown and self._shown[0][1]["items"]:
            batch = told_of(self._shown[0][1], self._shown.popleft()[0], self.rng)
            return Request(kind, "POST", "/v1/events", orjson.dumps({"events": batch.events}))
        return Request("feed", "POST", "/v1/feed", orjson.dumps({"user_id": person, "limit": 10}))
