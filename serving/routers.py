"""The routes: parse, ask the live server, reply. Nothing is decided here.

Work is done by the threads of a request's lane; what only looks at what is there is answered at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

from feature_repo.journal import Acknowledged
from feature_repo.places import Places
from serving import registry
from serving.admins import Admins
from serving.champions import NO_RELEASE
from serving.journeys import explained
from serving.lanes import ADMIN, EVENTS, EXPLANATIONS, FEEDS, Lanes
from serving.live import Live
from serving.log_lines import Telling
from serving.replies import Answer
from serving.wire import (
    LARGEST_ID,
    EventBatch,
    EventsAcknowledged,
    ExplainedRequest,
    FeedRequest,
    FeedResponse,
    Health,
    Moved,
    Problem,
    Promotions,
)

feeds = APIRouter(prefix="/v1", tags=["feed"])
probes = APIRouter(tags=["operations"])
admin = APIRouter(prefix="/admin", tags=["admin"])

COME_AGAIN = {"headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Statuses that are answered with a `Problem`, for the API page."""
    return {each: {"model": Problem, **(COME_AGAIN if each in (429, 507) else {})} for each in statuses}


BODIES = (400, 408, 413, 414, 422, 429)
"""What may be wrong with a body, or with too many of them."""
PRIVATE = (401, 403, 414, 429)


async def live_of(request: Request) -> Live:
    live: Live = request.app.state.live
    return live


async def lanes_of(request: Request) -> Lanes:
    lanes: Lanes = request.app.state.lanes
    return lanes


async def only_admins(request: Request) -> None:
    """Refuses whoever does not know the token; where there is none, everybody."""
    admins: Admins = request.app.state.admins
    if not admins.exist:
        raise HTTPException(
            403, "no admin token is set: start the server with ADMIN_TOKEN or ADMIN_TOKEN_FILE."
        )
    if not admins.admit(request.headers.get("authorization", "")):
        raise HTTPException(401, "the admin token is missing or wrong.", {"WWW-Authenticate": "Bearer"})


async def only_admins_if_any(request: Request) -> None:
    """What is private where there is an admin, and open where the server is one person's toy."""
    if request.app.state.admins.exist:
        await only_admins(request)


Server = Annotated[Live, Depends(live_of)]
Threads = Annotated[Lanes, Depends(lanes_of)]
RequestId = Annotated[int, Path(ge=0, le=LARGEST_ID, description="From the response of /v1/feed.")]


@feeds.post("/feed", response_model=FeedResponse, responses=refusals(*BODIES, 503))
async def feed(asked: FeedRequest, request: Request, live: Server, threads: Threads) -> Response:
    """A ranked slate for one person. What they just watched is already counted."""
    telling: Telling = request.scope["telling"]
    telling.user_id = asked.user_id
    call = partial(live.answer, asked.user_id, asked.limit, asked.surface, asked.explore)
    answer = await threads.run(FEEDS, call)
    tell(telling, answer)
    counted = BackgroundTask(threads.run, FEEDS, partial(live.count, answer))
    return Response(answer.body, media_type="application/json", background=counted)


@feeds.post("/events", response_model=EventsAcknowledged, responses=refusals(*BODIES, 409, 503, 507))
async def events(batch: EventBatch, live: Server, threads: Threads) -> Any:
    """Tell what happened. Answers once the whole batch is durable; repeating a batch changes nothing."""
    told = await threads.run(EVENTS, partial(acknowledged, live, batch))
    return EventsAcknowledged(stored=told.stored, repeated=told.repeated)


@feeds.get(
    "/explain/{request_id}",
    response_model=ExplainedRequest,
    responses=refusals(401, 404, 414, 422, 429),
    dependencies=[Depends(only_admins_if_any)],
)
async def explain(request_id: RequestId, live: Server, threads: Threads) -> Response:
    """The whole funnel of a recent request: found, removed and by whom, scored, chosen. Where the server has
    an admin token, only for who knows it.
    """
    body = await threads.run(EXPLANATIONS, partial(explanation, live, request_id))
    return Response(body, media_type="application/json")


@probes.get("/healthz", response_model=Health)
async def healthz(live: Server) -> Any:
    """The process is alive."""
    return Health(status="ok", **_about(live))


@probes.get("/readyz", response_model=Health, responses=refusals(503))
async def readyz(live: Server) -> Any:
    """A release is being served; 503 with the command to run while there is none, or when about to stop."""
    found = _about(live)
    if live.draining:
        return _unready("the server is about to stop.", "Ask another, or again after it was started.")
    if not found["ready"]:
        return _unready(found["refused_release"] or NO_RELEASE, "make train")
    return Health(status="ok", **found)


@probes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(live: Server, threads: Threads) -> Response:
    """Figures for Prometheus."""
    for name, lane in threads.by_name.items():
        live.meters.lane(name, lane.in_work, lane.waiting)
    return Response(await asyncio.to_thread(measured, live), media_type="text/plain; version=0.0.4")


@admin.get("/health", responses=refusals(*PRIVATE), dependencies=[Depends(only_admins)])
async def health(live: Server, threads: Threads) -> dict[str, Any]:
    """Everything of health.json, as of now."""
    return await threads.run(ADMIN, live.health)


@admin.get(
    "/promotions",
    response_model=Promotions,
    responses=refusals(*PRIVATE),
    dependencies=[Depends(only_admins)],
)
async def promotions(request: Request, threads: Threads) -> Any:
    """Every move of an alias ever made, oldest first."""
    places: Places = request.app.state.places
    moves: Sequence[Any] = await threads.run(ADMIN, partial(registry.promotions, places))
    return Promotions(moves=list(moves))


@admin.post(
    "/rollback",
    response_model=Moved,
    responses=refusals(*PRIVATE, 409),
    dependencies=[Depends(only_admins)],
)
async def rollback(request: Request, threads: Threads) -> Any:
    """Move the champion alias back to the release before it; this server follows within a second."""
    places: Places = request.app.state.places
    moved = await threads.run(ADMIN, partial(registry.rollback, places, "asked for over HTTP"))
    return Moved(from_version=moved.from_version, to_version=moved.to_version, took_ms=moved.took_ms)


def tell(telling: Telling, answer: Answer) -> None:
    """What the log line and the spans of a slate say of it."""
    funnel = answer.funnel
    telling.request_id, telling.release_id = funnel.query.request_id, answer.serving.release.release_id
    telling.degraded, telling.ms = funnel.degraded, funnel.ms


def acknowledged(live: Live, batch: EventBatch) -> Acknowledged:
    return live.acknowledge([event.model_dump(exclude_none=True) for event in batch.events])


def explanation(live: Live, request_id: int) -> bytes:
    told: str = explained(live.explanations.of(request_id)).model_dump_json()
    return told.encode()


def measured(live: Live) -> bytes:
    live.health()
    return live.meters.text()


def _unready(problem: str, remedy: str) -> JSONResponse:
    return JSONResponse(Problem(problem=problem, remedy=remedy).model_dump(), 503)


def _about(live: Live) -> dict[str, Any]:
    return {name: value for name, value in live.about().items() if name in Health.model_fields}
