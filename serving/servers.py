"""Uvicorn as we run it: a head that is too long or too slow is cut off, and SIGTERM drains before it stops.

Law: after SIGTERM /readyz answers 503 while requests are still taken, for as long as a proxy needs to notice;
then no connection is accepted, what is in work is answered, and only then the journal is closed.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 16_384
HEAD_WITHIN_S = 10.0
"""From the connection, or the first byte of a request, to the end of its headers."""
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
)


class Limited(HttpToolsProtocol):
    """HTTP/1.1 with bounds on a request's head: what comes after it, the application bounds itself."""

    _head = 0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        before = self._late
        super().data_received(data)
        if self._late is None or self._late is not before:
            return  # a head was completed, or has just begun
        self._head += len(data)
        if self._head > LARGEST_HEAD and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._expect_nothing()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._expect_nothing()
        self._head, self._late = 0, self.loop.call_later(HEAD_WITHIN_S, self._give_up)

    def _expect_nothing(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class Draining(uvicorn.Server):
    """Tells everybody that it will stop before it does."""

    def __init__(self, config: uvicorn.Config, tell: Callable[[], None], drain_s: float) -> None:
        super().__init__(config)
        self._tell, self._drain_s = tell, drain_s
        self._stops_s = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first SIGTERM drains; a second one, or Ctrl-C, stops at once."""
        if sig != signal.SIGTERM or self._stops_s < float("inf"):
            super().handle_exit(sig, frame)
            return
        self._tell()
        self._stops_s = time.monotonic() + self._drain_s

    async def on_tick(self, counter: int) -> bool:
        self.should_exit |= time.monotonic() >= self._stops_s
        return await super().on_tick(counter)
