"""A client thin enough to measure a server with: one keep-alive connection, JSON in, JSON out."""

from __future__ import annotations

import http.client
import socket
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import orjson


class Refused(Exception):
    """The server answered with an error status; the message carries the status and the body."""


IDLE_S = 3.0
"""Uvicorn closes a connection idle for 5 s; after this long we open another, before the clock starts."""


JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Answered:
    """Status and body of one answer, and the milliseconds from the first byte sent to the last byte read."""

    status: int
    body: bytes
    ms: float


class Client:
    """One connection to one loopback port. Not for two threads at once."""

    def __init__(self, port: int, timeout_s: float = 30.0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        self._used = 0.0

    def __enter__(self) -> Client:
        self._connect_if_idle()
        return self

    def _connect_if_idle(self) -> None:
        idle_s = time.monotonic() - self._used
        self._used = time.monotonic()
        if idle_s < IDLE_S:
            return
        self._connection.close()
        self._connection.connect()
        # Headers and body leave in two writes; without this the second waits for an acknowledgement.
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def fetch(self, path: str) -> bytes:
        """The body of a GET."""
        return whole(path, self.answer("GET", path))

    def timed_post(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """The decoded answer, and the milliseconds from the first byte sent to the last byte read."""
        told = self.answer("POST", path, orjson.dumps(body))
        return orjson.loads(whole(path, told)), told.ms

    def answer(self, method: str, path: str, payload: bytes | None = None) -> Answered:
        """What came back, whatever its status."""
        self._connect_if_idle()
        began = time.perf_counter()
        self._connection.request(method, path, payload, JSON if payload is not None else {})
        response = self._connection.getresponse()
        body = response.read()
        return Answered(response.status, body, (time.perf_counter() - began) * 1e3)


def whole(path: str, told: Answered) -> bytes:
    """The body of a 200; `Refused` for every other answer."""
    if told.status != 200:
        raise Refused(
            f"{path} answered {told.status}, must be 200: {told.body[:300].decode(errors='replace')}"
        )
    return told.body
