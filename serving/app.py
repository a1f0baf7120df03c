"""The server over HTTP. Only this file, its routers and its problems know FastAPI."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feature_repo.places import Places
from feature_repo.reports import write_text_atomically
from serving.live import Live
from serving.problems import answer_problems
from serving.routers import feeds, probes
from serving.wire import Problem

log = logging.getLogger("serving.app")

LARGEST_BODY = 1 << 20
THREADS = 4
"""Requests worked on at once, one thread each; more would only wait for the interpreter's lock."""
FOLLOW_EVERY_S = 0.5
TELL_EVERY_S = 5.0


def create_app(live: Live, places: Places, announce: Callable[[], None] = lambda: None) -> FastAPI:
    """The application over a live server; it follows the champion and announces what it takes up."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        stopping = asyncio.Event()
        following = asyncio.create_task(_follow(live, places, announce, stopping))
        yield
        stopping.set()
        await following  # a thread cannot be cancelled: what it is doing ends before the journal is closed
        tell_health(live, places)
        live.close()

    app = FastAPI(title="fourplanes", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.live = live
    app.include_router(feeds)
    app.include_router(probes)
    app.add_api_route("/docs", _page, include_in_schema=False)
    app.add_api_route("/", _page, include_in_schema=False)
    app.add_middleware(Measured, live=live)
    app.add_middleware(BoundedBody)
    answer_problems(app)
    return app


def tell_health(live: Live, places: Places) -> None:
    """Write server/health.json, what monitors read of a server that may have stopped."""
    write_text_atomically(places.server / "health.json", json.dumps(live.health(), indent=2) + "\n")


async def _follow(live: Live, places: Places, announce: Callable[[], None], stopping: asyncio.Event) -> None:
    """Twice a second: is another release champion, and which features changed? Every few seconds: tell our
    health. No failure ends it.
    """
    told, first = 0.0, True
    while not stopping.is_set():
        swapped = await asyncio.to_thread(_survived, live.follow)
        if swapped or first:
            _settle()
            announce()
        first = False
        await asyncio.to_thread(_survived, live.freshen)
        if time.monotonic() - told > TELL_EVERY_S:
            await asyncio.to_thread(_survived, partial(tell_health, live, places))
            told = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), FOLLOW_EVERY_S)


def _survived(step: Callable[[], bool | None]) -> bool:
    """What a step of the loop answers; a step that fails is logged and tried again the next time."""
    try:
        return bool(step())
    except Exception:  # a registry being written, a full disk: people are still being served
        log.exception("following the champion failed; trying again")
        return False


def _settle() -> None:
    """A full collection walks all that libraries and log left behind: take it out of every later one."""
    gc.enable()
    gc.collect()
    gc.freeze()


async def _page() -> HTMLResponse:
    return HTMLResponse((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))


class Measured:
    """Counts every answer by route and status, and how long it took."""

    def __init__(self, app: ASGIApp, live: Live) -> None:
        self.app, self.live = app, live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            self.live.meters.answered(route, status, (time.perf_counter() - started) * 1000)


class BoundedBody:
    """Refuses a body over LARGEST_BODY, announced or not, before anybody holds it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body, more = b"", scope["method"] in {"POST", "PUT", "PATCH"}
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False) and message["type"] == "http.request"
            if len(body) > LARGEST_BODY:
                await _too_large(scope, receive, send)
                return
        await self.app(scope, _replayed(body, receive), send)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then whatever the client sends next."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    told = Problem(problem="the body is too large.", field="body", rule=f"at most {LARGEST_BODY} bytes")
    await JSONResponse(told.model_dump(), 413)(scope, receive, send)
