"""The server over HTTP. Only this file, its routers and its problems know FastAPI."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from feature_repo.places import Places
from feature_repo.reports import write_text_atomically
from serving.admins import Admins
from serving.cores import Cores, stay_on
from serving.guards import Admitted, Bounded, Observed
from serving.lanes import Lanes
from serving.live import Live
from serving.log_lines import NamesUser, names_user
from serving.problems import answer_problems
from serving.routers import admin, feeds, probes
from serving.traces import Traces

log = logging.getLogger("serving.app")

FOLLOW_EVERY_S = 0.5
TELL_EVERY_S = 5.0
RENEWING_SHARE = 0.1
"""Of the time may go into renewing the videos' features: where much happens they are a little older."""


@dataclass(frozen=True)
class Edge:
    """How the server meets the world: who is admin, how people are named in the log, where spans go."""

    admins: Admins = field(default_factory=Admins)
    name_user: NamesUser = field(default_factory=lambda: names_user("none", b""))
    traces: Traces = field(default_factory=Traces)
    lanes: Lanes = field(default_factory=Lanes)
    cores: Cores = field(default_factory=Cores)


def create_app(
    live: Live, places: Places, announce: Callable[[], None] = lambda: None, edge: Edge | None = None
) -> FastAPI:
    """The application over a live server; it follows the champion and announces what it takes up."""
    edge = edge or Edge()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        _at_home(edge.cores)
        stopping = asyncio.Event()
        following = asyncio.create_task(_follow(live, places, announce, stopping))
        yield
        stopping.set()
        await following  # a thread cannot be cancelled: what it is doing ends before the journal is closed
        edge.lanes.close()
        for last in (live.write, partial(tell_health, live, places)):
            await asyncio.to_thread(_survived, last)
        live.close()

    app = FastAPI(title="fourplanes", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.live, app.state.lanes, app.state.admins = live, edge.lanes, edge.admins
    app.state.places = places
    for router in (feeds, probes, admin):
        app.include_router(router)
    page = _page()
    for path in ("/docs", "/"):
        app.add_api_route(path, page, include_in_schema=False)
    app.add_middleware(Admitted, lanes=edge.lanes)
    app.add_middleware(Bounded)
    app.add_middleware(Observed, meters=live.meters, traces=edge.traces, name_user=edge.name_user)
    answer_problems(app)
    return app


def _at_home(cores: Cores) -> None:
    """The loop stays on its core, and so do the lanes, whose threads it starts; those aside need not."""
    aside = ThreadPoolExecutor(thread_name_prefix="aside", initializer=partial(stay_on, cores.every))
    asyncio.get_running_loop().set_default_executor(aside)
    stay_on(cores.home)


def tell_health(live: Live, places: Places) -> None:
    """Write server/health.json, what monitors read of a server that may have stopped."""
    write_text_atomically(
        places.server / live.worker.named("health.json"), json.dumps(live.health(), indent=2) + "\n"
    )


async def _follow(live: Live, places: Places, announce: Callable[[], None], stopping: asyncio.Event) -> None:
    """Twice a second: is another release champion? As often: write which features changed, and renew those of
    the videos, but that for at most a tenth of the time. Every few seconds: tell our health. No failure ends
    it.
    """
    told, renew_at_s, first = 0.0, 0.0, True
    while not stopping.is_set():
        swapped = await asyncio.to_thread(_survived, live.follow)
        if swapped or first:
            _settle(first)
            announce()
        first = False
        if (began_s := time.monotonic()) < renew_at_s:
            await asyncio.to_thread(_survived, live.write)
        else:
            await asyncio.to_thread(_survived, live.freshen)
            renew_at_s = rests_until_s(began_s, time.monotonic())
        if time.monotonic() - told > TELL_EVERY_S:
            await asyncio.to_thread(_survived, partial(tell_health, live, places))
            told = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), FOLLOW_EVERY_S)


def rests_until_s(began_s: float, ended_s: float) -> float:
    """When a renewal may begin after one that took from here to there."""
    return began_s + (ended_s - began_s) / RENEWING_SHARE


def _survived(step: Callable[[], bool | None]) -> bool:
    """What a step of the loop answers; a step that fails is logged and tried again the next time."""
    try:
        return bool(step())
    except Exception:  # a registry being written, a full disk: people are still being served
        log.exception("following the champion failed; trying again")
        return False


def _settle(first: bool) -> None:
    """A full collection walks all that libraries and log left behind: take it out of every later one. At the
    start there is next to nothing to collect, and the first feed would wait for it.
    """
    if not first:
        gc.collect()
    gc.freeze()
    gc.enable()


def _page() -> Callable[[], Awaitable[HTMLResponse]]:
    """The page with a policy under which only its own script and style run, and only we are asked."""
    text = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    script, style = (_hashes(text, tag) for tag in ("script", "style"))
    policy = f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'"
    headers = {"content-security-policy": f"{policy}; base-uri 'none'; frame-ancestors 'none'"}

    async def page() -> HTMLResponse:
        return HTMLResponse(text, headers=headers)

    return page


def _hashes(page: str, tag: str) -> str:
    """The content-security hashes of what stands between these tags."""
    inside = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in inside]
    return " ".join(f"'sha256-{digest}'" for digest in digests)
