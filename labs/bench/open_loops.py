"""Requests that arrive when they would, whether or not the ones before were answered.

A client that waits for an answer before it asks again slows down with the server, and measures its good
moments. Here every request has its moment beforehand, from a Poisson process, and its latency counts from
that moment: what it waited for a free connection, or for us, is part of it. One thread, raw HTTP/1.1 over
loopback, so that little of the machine goes into asking.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from labs.bench.clients import as_sent

MOST_CONNECTIONS = 256
FAILED = 0
"""The status of a request that no answer came to: refused, cut off, or not answered in time."""
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Asked:
    """One request as bytes, what it is and who asks it."""

    kind: str
    person: int
    payload: bytes


@dataclass(frozen=True)
class Answered:
    """What became of a request, and the milliseconds from its moment to the last byte of the answer."""

    asked: Asked
    status: int
    ms: float
    retry_after_s: float
    """What a 429 said; NaN where nothing was said."""
    body: bytes = b""


def arrivals(rate: float, seconds: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Moments of a Poisson process of `rate` a second, ascending, from 0 to `seconds`."""
    expected = rate * seconds
    gaps = rng.exponential(1 / rate, int(expected + 10 * np.sqrt(expected) + 10))
    moments = np.cumsum(gaps)
    return moments[moments < seconds]


def posted(kind: str, path: str, person: int, body: bytes) -> Asked:
    """A POST of JSON."""
    return Asked(kind, person, as_sent("POST", path, body))


@dataclass
class _Line:
    """One connection and when it was last used."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used_s: float


@dataclass
class OpenLoop:
    """Connections to one loopback port: an idle one is taken, or one is opened while there are few."""

    port: int
    idle_s: float = 3.0
    """The server closes a connection after five idle seconds; an older one is not used again."""
    _idle: deque[_Line] = field(default_factory=deque)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_CONNECTIONS))

    async def offer(
        self, moments: Sequence[float], next_asked: Callable[[], Asked], hear: Callable[[Answered], None]
    ) -> None:
        """Send one request at each of these moments, seconds from now; returns when all have their answer."""
        clock = asyncio.get_running_loop().time
        began, asking = clock(), set[asyncio.Task[None]]()
        for moment in moments:
            await asyncio.sleep(max(0.0, began + moment - clock()))
            task = asyncio.create_task(self._ask(next_asked(), began + moment, hear))
            asking.add(task)
            task.add_done_callback(asking.discard)
        await asyncio.gather(*asking)
        while self._idle:
            self._idle.pop().writer.close()

    async def _ask(self, asked: Asked, due_s: float, hear: Callable[[Answered], None]) -> None:
        clock = asyncio.get_running_loop().time
        status, retry_after_s, body = FAILED, np.nan, b""
        async with self._places:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    status, retry_after_s, body = await self._exchange(asked.payload)
            except (OSError, EOFError, TimeoutError, ValueError, LookupError):
                status = FAILED
        hear(Answered(asked, status, (clock() - due_s) * 1e3, retry_after_s, body))

    async def _exchange(self, payload: bytes) -> tuple[int, float, bytes]:
        line = await self._line()
        try:
            line.writer.write(payload)
            status, retry_after_s, body, stays = await _answer(line.reader)
        except BaseException:
            line.writer.close()
            raise
        line.used_s = asyncio.get_running_loop().time()
        self._idle.append(line) if stays else line.writer.close()
        return status, retry_after_s, body

    async def _line(self) -> _Line:
        """The connection used last, so that few stay in use; a new one if none is idle and young."""
        now_s = asyncio.get_running_loop().time()
        while self._idle:
            line = self._idle.pop()
            if now_s - line.used_s < self.idle_s:
                return line
            line.writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return _Line(reader, writer, now_s)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, float, bytes, bool]:
    """(status, retry-after in seconds, body, whether the connection stays open)."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(":", 1) for line in head[1:] if ":" in line)
    body = await reader.readexactly(int(fields["content-length"]))
    retry_after_s = float(fields.get("retry-after", "nan"))
    return int(head[0].split(" ")[1]), retry_after_s, body, "close" not in fields.get("connection", "")
