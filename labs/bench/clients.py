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
    """One answer, piece by piece."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self.is_whole = self.stays = False
        """Whether it is all there, and more may be asked over this connection."""

    def take(self, piece: bytes) -> None:
        if not piece:
            raise ConnectionResetError("the server closed the connection before its answer was whole.")
        self._parser.feed_data(piece)

    def answered(self, ms: float) -> Answered:
        return Answered(self._parser.get_status_code(), b"".join(self._parts), ms)

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        self.is_whole = True
        self.stays = self._parser.should_keep_alive()  # it has forgotten a moment later


class Client:
    """One connection to one loopback port. Not for two threads at once."""

    def __init__(self, port: int, timeout_s: float = 30.0) -> None:
        self._port, self._timeout_s = port, timeout_s
        self._line: socket.socket | None = None
        self._used = self._began_s = 0.0
        self._request, self._reply = b"", _Reply()

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
        self.send(method, path, payload)
        while (told := self.receive()) is None:
            continue
        return told

    def send(self, method: str, path: str, payload: bytes | None = None) -> None:
        """Ask, and wait for nothing."""
        self._request = as_sent(method, path, payload)
        self.send_again()

    def send_again(self) -> None:
        """Ask the same once more, once it was answered."""
        line, self._reply = self._open(), _Reply()
        self._began_s = time.perf_counter()
        try:
            line.sendall(self._request)
        except BaseException:
            self.close()
            raise

    def receive(self) -> Answered | None:
        """The answer once it is whole, None after a piece of it; waits for a piece."""
        if self._line is None:
            raise ConnectionError("nothing was asked over this connection.")
        reply = self._reply
        try:
            reply.take(self._line.recv(READ_BYTES))
        except BaseException:
            self.close()
            raise
        if not reply.is_whole:
            return None
        ms = (time.perf_counter() - self._began_s) * 1e3
        if not reply.stays:
            self.close()
        return reply.answered(ms)

    def fileno(self) -> int:
        """Of the connection, for whoever waits for several."""
        return self._open().fileno()

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


def whole(path: str, told: Answered) -> bytes:
    """The body of a 200; `Refused` for every other answer."""
    if told.status != 200:
        raise Refused(
            f"{path} answered {told.status}, must be 200: {told.body[:300].decode(errors='replace')}"
        )
    return told.body
