"""A feed without a server between: the world's people use `serving.live.Live` directly.

What it does is what the routes do, so a run over it is the run over HTTP; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feature_repo.events import impression_id
from feature_repo.journal import ConflictingEvent
from feature_repo.schemas import BadLog
from serving.champions import NoRelease
from serving.completions import RefusedEvent
from serving.live import Answer, Live
from simulator.clients import Asked, Event, Item, Refused, Slate


@dataclass(frozen=True)
class InProcess:
    """The `Feed` of simulator.clients over a live server in this process."""

    live: Live

    def ask(self, asked: Asked) -> Slate:
        try:
            return _slate(self.live.feed(asked.user_id, asked.limit, asked.surface))
        except NoRelease as error:
            raise Refused(str(error)) from error

    def tell(self, events: Sequence[Event]) -> None:
        try:
            self.live.acknowledge(events)
        except (RefusedEvent, ConflictingEvent, BadLog) as error:
            raise Refused(str(error)) from error


def _slate(answer: Answer) -> Slate:
    query, slate = answer.funnel.query, answer.funnel.slate
    items = (
        Item(impression_id(query.request_id, place), int(video_id), place)
        for place, video_id in enumerate(slate.ids)
    )
    return Slate(tuple(items), query.now_us)
