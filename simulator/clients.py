"""Feeds as an app sees them: ask for a slate, tell what happened. One of them is a server over HTTP.

Whoever asks may be answered or not: `Refused` is an answer that says no, `Unreachable` is none.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

Event = Mapping[str, Any]
"""An event as /v1/events takes it: kind, event_id, event_time_us, user_id and the kind's own fields."""

IDLE_S = 3.0
"""Servers close a connection that was idle for some seconds; after this long we open another."""


class FeedFailed(Exception):
    """A call that did not do what it should; the message is one sentence."""


class Refused(FeedFailed):
    """The server answered, and said no."""


class Unreachable(FeedFailed):
    """Nobody answered, or what answered is no feed server."""


class NotReady(FeedFailed):
    """The server is there and has nothing to serve yet."""


@dataclass(frozen=True)
class Asked:
    """One request for a slate."""

    user_id: int
    surface: int
    limit: int


class Item(NamedTuple):
    """One video of a slate."""

    impression_id: int
    video_id: int
    position: int


@dataclass(frozen=True)
class Slate:
    """What was served, best first, and when by the server's clock."""

    items: tuple[Item, ...]
    served_us: int


class Feed(Protocol):
    """What an app needs of a recommender. Both calls may raise FeedFailed."""

    def ask(self, asked: Asked) -> Slate: ...

    def tell(self, events: Sequence[Event]) -> None:
        """Durable when this returns; telling the same event again changes nothing."""
        ...


@dataclass(frozen=True)
class Health:
    """A server's clock (microseconds of world time), its speed in world seconds per second, its release."""

    now_us: int
    clock_speed: float
    release_id: str


class OverHttp:
    """A running server, over one connection that is kept open. Not for two threads at once."""

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        self.url = url.rstrip("/")
        host, port = _address(self.url)
        self._connection = HTTPConnection(host, port, timeout=timeout_s)
        self._used_s = -IDLE_S

    def ask(self, asked: Asked) -> Slate:
        body = {"user_id": asked.user_id, "limit": asked.limit, "surface": asked.surface}
        told = self._answered("POST", "/v1/feed", body)
        items = (Item(each["impression_id"], each["video_id"], each["position"]) for each in told["items"])
        return Slate(tuple(items), told["served_at_us"])

    def tell(self, events: Sequence[Event]) -> None:
        self._answered("POST", "/v1/events", {"events": list(events)})

    def health(self) -> Health:
        """NotReady while the server has no release to serve."""
        status, told = self._call("GET", "/readyz", None)
        if status == 503 and "problem" in told:
            raise NotReady(f"the server at {self.url} is not ready: {told['problem']}")
        if status != 200 or "now_us" not in told:
            raise Unreachable(f"what answers at {self.url} is no feed server ({status} from /readyz).")
        return Health(told["now_us"], float(told.get("clock_speed", 1.0)), str(told["release_id"]))

    def close(self) -> None:
        self._connection.close()

    def _answered(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        status, told = self._call(method, path, body)
        if status != 200:
            raise Refused(f"{path} answered {status}: {told.get('problem', 'no reason given')}")
        return told

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
        payload = None if body is None else json.dumps(body).encode()
        try:
            self._connect_if_idle()
            self._connection.request(method, path, payload, {"content-type": "application/json"})
            response = self._connection.getresponse()
            return response.status, _parsed(response.read())
        except (OSError, HTTPException) as error:
            self._connection.close()
            self._used_s = -IDLE_S
            said = str(error) or type(error).__name__
            raise Unreachable(f"no server answers at {self.url} ({said}).") from error

    def _connect_if_idle(self) -> None:
        idle_s, self._used_s = time.monotonic() - self._used_s, time.monotonic()
        if idle_s < IDLE_S and self._connection.sock is not None:
            return
        self._connection.close()
        self._connection.connect()
        # Headers and body leave in two writes; without this the second waits for an acknowledgement.
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _address(url: str) -> tuple[str, int]:
    """Host and port of http://HOST:PORT."""
    rule = f"the address is {url!r}, must be http://HOST:PORT; the usual one is http://127.0.0.1:8000."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError as error:
        raise ValueError(rule) from error
    if parts.scheme != "http" or not host or parts.path or parts.query:
        raise ValueError(rule)
    return host, port


def _parsed(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body; empty if it is none."""
    try:
        told = json.loads(raw)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
