"""How a refusal reads: what was found, which field, which rule, what to do. One shape for every status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from feature_repo.journal import ConflictingEvent
from feature_repo.schemas import BadLog
from serving.champions import NoRelease
from serving.completions import RefusedEvent
from serving.explanations import NotExplained
from serving.refusals import COME_AGAIN_S, NotDurable
from serving.registry import NothingToRollBackTo
from serving.wire import Problem

_JSON = "must be application/json"
_PARSED = "must be JSON in UTF-8, nested less than 100 deep, with integers of 16 digits at most"
_SEND_LESS = "See /docs for the fields."
_SEND = "Send the header content-type: application/json."


def answer_problems(app: FastAPI) -> None:
    """Turn everything that can be wrong into a `Problem`."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


def problem(status: int, **told: str | None) -> JSONResponse:
    return JSONResponse(Problem(**told).model_dump(), status)  # type: ignore[arg-type]


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """The first broken rule of a body or path; a body that is no JSON is 400, anything else 422."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        place = first["loc"][-1]
        return problem(
            400, problem=f"the body is not JSON: {_reason(first)} at character {place}.", field="body"
        )
    if isinstance(first.get("input"), bytes):
        return problem(
            422, problem="the body is not announced as JSON.", field="content-type", rule=_JSON, remedy=_SEND
        )
    return problem(
        422, problem=_told(first), field=_path(first), rule=_rule(first), remedy="See /docs for the fields."
    )


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # FastAPI's one word for a body no parser gets through
        return problem(
            400, problem="the body cannot be parsed.", field="body", rule=_PARSED, remedy=_SEND_LESS
        )
    remedy = "See /docs for the routes." if error.status_code in (404, 405) else None
    reply = problem(error.status_code, problem=str(error.detail), remedy=remedy)
    reply.headers.update(error.headers or {})
    return reply


async def _refused_event(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedEvent)
    remedy = "Nothing of the batch was stored. Correct the event, or send the others without it."
    return problem(
        422, problem=str(error), field=f"events.{error.place}.{error.field}", rule=error.rule, remedy=remedy
    )


async def _bad_log(_: Request, error: Exception) -> JSONResponse:
    return problem(422, problem=str(error), field="events", remedy="Nothing of the batch was stored.")


async def _conflict(_: Request, error: Exception) -> JSONResponse:
    return problem(
        409, problem=str(error), field="event_id", rule="one id is one event", remedy="Use a new id."
    )


async def _not_explained(_: Request, error: Exception) -> JSONResponse:
    return problem(404, problem=str(error), field="request_id")


async def _no_release(_: Request, error: Exception) -> JSONResponse:
    return problem(503, problem=str(error), remedy="make train")


async def _not_durable(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NotDurable)
    remedy = "Nothing of the batch was stored. Send the same batch again after Retry-After seconds."
    reply = problem(507 if error.full else 503, problem=str(error), remedy=remedy)
    reply.headers["retry-after"] = str(COME_AGAIN_S)
    return reply


async def _nothing_before(_: Request, error: Exception) -> JSONResponse:
    return problem(409, problem=str(error.args[0]), remedy="make train")


_HANDLERS: Mapping[type[Exception], Any] = {
    RequestValidationError: _invalid,
    HTTPException: _http,
    RefusedEvent: _refused_event,
    BadLog: _bad_log,
    ConflictingEvent: _conflict,
    NotExplained: _not_explained,
    NoRelease: _no_release,
    NotDurable: _not_durable,
    NothingToRollBackTo: _nothing_before,
}


def _path(error: Mapping[str, Any]) -> str:
    """events.3.watched_ms: the place of a field, without the names of the union's members."""
    kinds = {"watched", "reacted", "followed", "surveyed"}
    return ".".join(str(part) for part in error["loc"] if part not in {"body", "path", *kinds}) or "body"


def _told(error: Mapping[str, Any]) -> str:
    found = repr(error.get("input"))
    return f"{_path(error)}: {_rule(error)}, found {found if len(found) <= 80 else found[:77] + '...'}."


def _rule(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _reason(error: Mapping[str, Any]) -> str:
    return str((error.get("ctx") or {}).get("error", error["msg"]))
