"""From a funnel to the bytes that are sent. One encoder: what is hashed and replayed is what was sent."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson

from feature_repo.events import impression_id
from serving.champions import Serving
from serving.feed import Funnel
from serving.wire import FeedResponse


@dataclass(frozen=True)
class Answer:
    """A slate and what it came from."""

    funnel: Funnel
    serving: Serving
    cold_start: bool
    """The person was never seen: the slate is for a stranger."""

    @cached_property
    def body(self) -> bytes:
        """The bytes that are sent; encoded once, for the log keeps their hash."""
        return encoded(self.funnel, self.serving.release.release_id, self.cold_start)

    def after(self, stage: str, ms: float) -> Answer:
        """The same answer with the time of one more stage, of which its body says nothing."""
        later = replace(self, funnel=replace(self.funnel, ms={**self.funnel.ms, stage: ms}))
        later.__dict__["body"] = self.body
        return later


def encoded(funnel: Funnel, release_id: str, cold_start: bool) -> bytes:
    """The response in bytes: the one encoder of the route, of the hash in the log and of a replay."""
    return orjson.dumps(_fields(funnel, release_id, cold_start))


def feed_response(answer: Answer) -> FeedResponse:
    """The slate as a client needs it."""
    return FeedResponse(**_fields(answer.funnel, answer.serving.release.release_id, answer.cold_start))


def items_of(funnel: Funnel) -> list[dict[str, Any]]:
    """What is told of every item, in a response and in an explanation alike."""
    rows, choice, scored, sources = funnel.choice.rows, funnel.choice, funnel.scored, list(funnel.found)
    taken = (scored[name][rows].tolist() for name in ("video_id", "creator_id", "topic", "value", "source"))
    columns = zip(*taken, choice.propensities.tolist(), choice.explored.tolist(), strict=True)
    return [
        {
            "position": place,
            "impression_id": impression_id(funnel.query.request_id, place),
            "video_id": video_id,
            "creator_id": int(creator_id),
            "topic": int(topic),
            "value": known(value),
            "source": sources[source],
            "propensity": propensity,
            "explored": explored,
        }
        for place, (video_id, creator_id, topic, value, source, propensity, explored) in enumerate(columns)
    ]


def _fields(funnel: Funnel, release_id: str, cold_start: bool) -> dict[str, Any]:
    """In the order of `FeedResponse`; a test holds the two together."""
    return {
        "request_id": funnel.query.request_id,
        "release_id": release_id,
        "served_at_us": funnel.query.now_us,
        "cold_start": cold_start,
        "degraded": funnel.degraded,
        "items": items_of(funnel),
    }


def known(number: float) -> float | None:
    """NaN is null on the wire: JSON has no NaN."""
    return float(number) if math.isfinite(number) else None
