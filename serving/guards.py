"""What stands before the routes, outermost first: who is told about, how much may be sent, who is let in.

Plain ASGI, no framework: a refusal here costs microseconds, and refusing is what these are for. Law: every
answer leaves through `Observed`, so each has a request id, safe headers, one count and one line in the log.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from serving.lanes import Lanes
from serving.log_lines import NamesUser, Telling, tell_request
from serving.meters import Meters
from serving.traces import Traces
from serving.wire import Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
log = logging.getLogger("serving.guards")
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 1 << 20
LONGEST_URL = 2_048
BODY_WITHIN_S = 10.0
"""A body takes at most this long from its first byte to its last: a slow sender holds nothing for long."""
MOST_READING = 256
"""Bodies being received at once: with LARGEST_BODY it bounds what strangers can make us hold."""
SAFE_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
NOTHING_MAY_LOAD = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
REQUEST_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")
TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class Observed:
    """Counts every answer, names it, gives it safe headers, and tells the log one line of it. Its time ends
    with the last byte sent: what is done after that nobody waits for.
    """

    def __init__(self, app: App, meters: Meters, traces: Traces, name_user: NamesUser) -> None:
        self.app, self.meters, self.traces, self.name_user = app, meters, traces, name_user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        telling = telling_of(scope)
        scope["telling"] = telling
        started, began_ns = time.perf_counter(), time.time_ns()
        status: int | None = None
        answered: float | None = None

        async def noted(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_added(message, telling)]
            await send(message)
            answered = time.perf_counter()

        try:
            await self.app(scope, receive, noted)
        except Exception as error:  # whatever it is, the client gets a sentence and the log the rest
            log.exception("%s failed", scope["path"])
            if status is None:
                await refuse(noted, 500, _failed(error))
        finally:
            status = status or 500
            ms = ((answered or time.perf_counter()) - started) * 1000
            route = getattr(scope.get("route"), "path", telling.route or "unknown")
            self.meters.answered(route, status, ms)
            if telling.shed:
                self.meters.shed(telling.shed)
            tell_request(telling, route, status, ms, self.name_user)
            self.traces.answered(telling, route, status, began_ns, ms)


def telling_of(scope: Scope) -> Telling:
    """What is known of a request before anybody worked on it: its ids, ours or the sender's."""
    headers = dict(scope["headers"])
    parent = TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    trace_id = parent[1].decode() if parent else os.urandom(16).hex()
    own = headers.get(b"x-request-id", b"")
    name = own.decode() if REQUEST_ID.fullmatch(own) else trace_id
    return Telling(name, trace_id, os.urandom(8).hex(), parent[2].decode() if parent else None)


def _added(message: Message, telling: Telling) -> list[tuple[bytes, bytes]]:
    own = any(name == b"content-security-policy" for name, _ in message.get("headers", ()))
    traced = f"00-{telling.trace_id}-{telling.span_id}-01".encode()
    names = [(b"x-request-id", telling.id.encode()), (b"traceparent", traced)]
    return [*SAFE_HEADERS, *names] if own else [*SAFE_HEADERS, NOTHING_MAY_LOAD, *names]


class Bounded:
    """Refuses a URL or body that is too long, announced or not, and a body that does not come."""

    def __init__(self, app: App, within_s: float = BODY_WITHIN_S, most_reading: int = MOST_READING) -> None:
        self.app, self.within_s, self.most_reading = app, within_s, most_reading
        self.reading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > LONGEST_URL:
            rule = f"at most {LONGEST_URL} bytes"
            await refuse(send, 414, Problem(problem="the address is too long.", field="path", rule=rule))
        elif scope["method"] not in {"POST", "PUT", "PATCH"}:
            await self.app(scope, receive, send)
        elif self.reading >= self.most_reading:
            await refuse(send, 429, _too_many("bodies being received"), 1)
        else:
            await self._read(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reading += 1
        try:
            async with asyncio.timeout(self.within_s):
                body = await _body_of(receive)
        except TimeoutError:
            rule = f"within {self.within_s:.0f} s"
            await refuse(send, 408, Problem(problem="the body did not come.", field="body", rule=rule))
            return
        finally:
            self.reading -= 1
        if body is None:
            rule = f"at most {LARGEST_BODY} bytes"
            await refuse(send, 413, Problem(problem="the body is too large.", field="body", rule=rule))
            return
        await self.app(scope, _replayed(body, receive), send)


class Admitted:
    """Lets in as many requests as can be worked on in time; the rest are told when to come again."""

    def __init__(self, app: App, lanes: Lanes) -> None:
        self.app, self.lanes = app, lanes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lane = self.lanes.lane_of(scope["path"]) if scope["type"] == "http" else None
        if lane is None:
            await self.app(scope, receive, send)
            return
        place = await self.lanes.enter(lane)
        if place is None:
            telling: Telling = scope["telling"]
            telling.shed, telling.route = lane.name, scope["path"]
            await refuse(send, 429, _too_many(lane.name), lane.retry_after_s())
            return
        try:
            await self.app(scope, receive, send)
        finally:
            self.lanes.leave(lane, place)


async def refuse(send: Send, status: int, problem: Problem, retry_after_s: int | None = None) -> None:
    """Answer with a problem, without asking anybody behind us."""
    body = problem.model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    with suppress(ConnectionError):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _failed(error: Exception) -> Problem:
    return Problem(problem=f"the server failed: {type(error).__name__}.", remedy="Its log says why.")


def _too_many(what: str) -> Problem:
    return Problem(problem=f"too many {what} at once.", remedy="Come again after Retry-After seconds.")


async def _body_of(receive: Receive) -> bytes | None:
    """The whole body, None if it is too large."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False) and message["type"] == "http.request"
        if len(body) > LARGEST_BODY:
            return None
    return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then whatever the client sends next."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
