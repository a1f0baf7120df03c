"""A client thin enough to measure a server with: one keep-alive connection, JSON in, JSON out.

A request leaves in one write and an answer is taken apart in C: on a machine where client and server share
the cores, what the client computes is taken from the server.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httptools
import orjson


class Refused(Exception):
    """The server answered with an error status; the message carries the status and the body."""


IDLE_S = 3.0
"""Uvicorn closes a connection idle for 5 s; after this long we open another, before the clock starts."""
READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Answered:
    """Status and body of one answer, and the milliseconds from the first byte sent to the last byte read."""

    status: int
    body: bytes
    ms: float


def as_sent(method: str, path: str, payload: bytes | None = None) -> bytes:
    """A request as bytes, over a connection that stays open; a payload is JSON."""
    head = f"{method} {path} HTTP/1.1\r\nhost: loopback\r\n"
    if payload is None:
        return f"{head}\r\n".encode()
    about = f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n"
    return f"{head}{about}\r\n".encode() + payload


class _Reply:
    """What the parser tells of one answer."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.is_whole = False

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        self.is_whole = True


class Client:
    """One connection to one loopback port. Not for two threads at once."""

    def __init__(self, port: int, timeout_s: float = 30.0) -> None:
        self._port, self._timeout_s = port, timeout_s
        self._line: socket.socket | None = None
        self._used = 0.0

    def __enter__(self) -> Client:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def fetch(self, path: str) -> bytes:
        """The body of a GET."""
        return whole(path, self.answer("GET", path))

    def timed_post(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """The decoded answer, and the milliseconds from the first byte sent to the last byte read."""
        told = self.answer("POST", path, orjson.dumps(body))
        return orjson.loads(whole(path, told)), told.ms

    def answer(self, method: str, path: str, payload: bytes | None = None) -> Answered:
        """What came back, whatever its status; OSError if nothing whole did, and then the next request opens
        another connection.
        """
        line = self._open()
        request = as_sent(method, path, payload)
        began = time.perf_counter()
        try:
            line.sendall(request)
            status, body, stays = _received(line)
        except BaseException:
            self.close()
            raise
        ms = (time.perf_counter() - began) * 1e3
        if not stays:
            self.close()
        return Answered(status, body, ms)

    def _open(self) -> socket.socket:
        """The connection, a new one where there is none or it was idle for too long."""
        now = time.monotonic()
        if now - self._used >= IDLE_S:
            self.close()
        self._used = now
        if self._line is None:
            self._line = socket.create_connection(("127.0.0.1", self._port), self._timeout_s)
            self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._line


def _received(line: socket.socket) -> tuple[int, bytes, bool]:
    """Status and body of one answer, and whether more may be asked over this connection."""
    reply = _Reply()
    parser = httptools.HttpResponseParser(reply)
    while not reply.is_whole:
        some = line.recv(READ_BYTES)
        if not some:
            raise ConnectionResetError("the server closed the connection before its answer was whole.")
        parser.feed_data(some)
    return parser.get_status_code(), b"".join(reply.parts), parser.should_keep_alive()


def whole(path: str, told: Answered) -> bytes:
    """The body of a 200; `Refused` for every other answer."""
    if told.status != 200:
        raise Refused(
            f"{path} answered {told.status}, must be 200: {told.body[:300].decode(errors='replace')}"
        )
    return told.body
