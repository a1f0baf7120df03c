"""Requests nobody sane would send: what hypothesis draws around the two bodies the server takes.

Some are right, so that what lies behind the checks is reached too; most are a little wrong, some are noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

Json = Any
FEED, EVENTS = "/v1/feed", "/v1/events"
IDS = st.one_of(st.integers(0, 5_000), st.integers(-(2**70), 2**70))
SCALARS = st.one_of(st.none(), st.booleans(), IDS, st.floats(), st.text(max_size=20))
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "",
    "application/json,x",
)
ODD_PATHS = ("/v1/feed/", "/v1/../v1/feed", "/v1/explain/%00", "/v1/explain/1e3", "/etc/passwd", "//v1/feed")
ODD_METHODS = ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "POST")


@dataclass(frozen=True)
class Hostile:
    """One request as it goes over the wire."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def requests(videos: Sequence[int], now_us: int) -> st.SearchStrategy[Hostile]:
    """Bodies for the two routes that take one, and other methods and paths now and then."""
    told = st.one_of(_sent(FEED, _feeds()), _sent(FEED, _feeds()), _sent(EVENTS, _batches(videos, now_us)))
    elsewhere = st.sampled_from([FEED, EVENTS, "/readyz", "/metrics", "/docs", *ODD_PATHS])
    odd = st.builds(Hostile, st.sampled_from(ODD_METHODS), elsewhere, st.binary(max_size=20))
    return st.one_of(told, told, told, odd)


def _sent(path: str, valid: st.SearchStrategy[Json]) -> st.SearchStrategy[Hostile]:
    """A right body, one with a fault, or none; under a content type that is right as a rule."""
    right = valid.map(_encoded)
    bodies = st.one_of(
        right, right, _faulty(valid).map(_encoded), _cut(valid), ANY_JSON.map(_encoded), _noise()
    )
    kinds = st.one_of(st.just(CONTENT_TYPES[0]), st.sampled_from(CONTENT_TYPES))
    headers = kinds.map(lambda kind: {"content-type": kind} if kind else {})
    return st.builds(Hostile, st.just("POST"), st.just(path), bodies, headers)


def _encoded(value: Json) -> bytes:
    """As a careless client would: NaN, lone surrogates and integers of any length included."""
    return json.dumps(value, ensure_ascii=True).encode()


def _feeds() -> st.SearchStrategy[Json]:
    right = {"user_id": st.integers(0, 5_000)}
    more = {"limit": st.integers(1, 50), "surface": st.integers(0, 1), "explore": st.booleans()}
    return st.fixed_dictionaries(right, optional=more)


def _batches(videos: Sequence[int], now_us: int) -> st.SearchStrategy[Json]:
    same = {
        "event_id": st.from_regex(r"[A-Za-z0-9_.:-]{1,12}", fullmatch=True),
        "event_time_us": st.integers(now_us - 10**9, now_us + 10**9),
        "user_id": st.integers(0, 5_000),
        "impression_id": st.integers(0, 2**53 - 1),
        "video_id": st.sampled_from(list(videos)),
    }
    watched = {**same, "kind": st.just("watched"), "watched_ms": st.integers(0, 60_000)}
    reacted = {**same, "kind": st.just("reacted"), "reaction": st.sampled_from(["like", "hide", "report"])}
    events = st.one_of(st.fixed_dictionaries(watched), st.fixed_dictionaries(reacted))
    return st.fixed_dictionaries({"events": st.lists(events, min_size=1, max_size=4)})


@st.composite
def _faulty(draw: st.DrawFn, valid: st.SearchStrategy[Json]) -> Json:
    """One field replaced, removed or added, of the body or of its first event."""
    body = draw(valid)
    part = body["events"][0] if "events" in body and draw(st.booleans()) else body
    name = draw(st.sampled_from(sorted(part)))
    fault = draw(st.sampled_from(["replaced", "removed", "added"]))
    if fault == "removed":
        del part[name]
    else:
        part[name if fault == "replaced" else draw(st.text(max_size=8))] = draw(ANY_JSON)
    return body


@st.composite
def _cut(draw: st.DrawFn, valid: st.SearchStrategy[Json]) -> bytes:
    """A right body that ends too early, or has a byte too many."""
    body = _encoded(draw(valid))
    place = draw(st.integers(0, len(body)))
    return body[:place] + draw(st.sampled_from([b"", b"\x00", b"\xff", b"}", b","])) + body[place + 1 :]


def _noise() -> st.SearchStrategy[bytes]:
    nested = st.tuples(st.sampled_from([b"[", b'{"a":']), st.integers(1, 3_000)).map(lambda of: of[0] * of[1])
    digits = st.integers(1, 5_000).map(lambda n: b'{"user_id": ' + b"9" * n + b"}")
    strange = st.sampled_from([b"", b"null", b"NaN", b'{"user_id": 1e999}', b'\xef\xbb\xbf{"user_id": 1}'])
    return st.one_of(st.binary(max_size=200), nested, digits, strange)
