"""The routes: parse, ask the live server, reply. Nothing is decided here."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import JSONResponse

from serving.champions import NO_RELEASE
from serving.live import Live
from serving.replies import explained, feed_response
from serving.wire import (
    LARGEST_ID,
    EventBatch,
    EventsAcknowledged,
    ExplainedRequest,
    FeedRequest,
    FeedResponse,
    Health,
    Problem,
)

feeds = APIRouter(prefix="/v1", tags=["feed"])
probes = APIRouter(tags=["operations"])

BAD: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (400, 413, 422)}


def live_of(request: Request) -> Live:
    live: Live = request.app.state.live
    return live


Server = Annotated[Live, Depends(live_of)]
RequestId = Annotated[int, Path(ge=0, le=LARGEST_ID, description="From the response of /v1/feed.")]


@feeds.post("/feed", response_model=FeedResponse, responses={**BAD, 503: {"model": Problem}})
def feed(asked: FeedRequest, live: Server) -> Any:
    """A ranked slate for one person. What they just watched is already counted."""
    return feed_response(live.feed(asked.user_id, asked.limit, asked.surface, asked.explore))


@feeds.post("/events", response_model=EventsAcknowledged, responses={**BAD, 409: {"model": Problem}})
def events(batch: EventBatch, live: Server) -> Any:
    """Tell what happened. Answers once the whole batch is durable; repeating a batch changes nothing."""
    told = live.acknowledge([event.model_dump(exclude_none=True) for event in batch.events])
    return EventsAcknowledged(stored=told.stored, repeated=told.repeated)


@feeds.get(
    "/explain/{request_id}",
    response_model=ExplainedRequest,
    responses={404: {"model": Problem}, 422: {"model": Problem}},
)
def explain(request_id: RequestId, live: Server) -> Any:
    """The whole funnel of a recent request: found, removed and by whom, scored, chosen."""
    return explained(live.explanations.of(request_id))


@probes.get("/healthz", response_model=Health)
def healthz(live: Server) -> Any:
    """The process is alive."""
    return Health(status="ok", **_release(live))


@probes.get("/readyz", response_model=Health, responses={503: {"model": Problem}})
def readyz(live: Server) -> Any:
    """A release is being served; 503 with the command to run while there is none."""
    found = _release(live)
    if not found["ready"]:
        why = found["refused_release"] or NO_RELEASE
        return JSONResponse(Problem(problem=why, remedy="make train").model_dump(), 503)
    return Health(status="ok", **found)


@probes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(live: Server) -> Response:
    """Figures for Prometheus."""
    live.health()
    return Response(live.meters.text(), media_type="text/plain; version=0.0.4")


def _release(live: Live) -> dict[str, Any]:
    return {name: value for name, value in live.health().items() if name in Health.model_fields}
