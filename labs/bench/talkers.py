"""People who use a server that may be gone the next moment, as a real client must: what was not answered is
sent again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import orjson

from labs.bench.clients import Client, Refused
from labs.bench.ledgers import Batch, Event, Ledger

LATER = {429, 503, 507}
"""Answers that ask for another try."""
SENT_AGAIN = 4
"""Acknowledged batches that are told once more after a restart, as a client whose memory was older would."""
MOST_TOLD = 8
PATIENCE_S = 20.0


def talk(
    port: int, people: Sequence[int], ledger: Ledger, rng: np.random.Generator, over: threading.Event
) -> None:
    """First what has to be sent again, then slates and what became of them, until it is over or all gone."""
    with suppress(OSError), Client(port, PATIENCE_S) as client:  # being left alone is the drill
        _deliver_all(client, [*ledger.latest(SENT_AGAIN), *ledger.retries()], ledger)
        while not over.is_set():
            person = int(rng.choice(people))
            slate = shown(client, person, ledger, limit=10)
            if slate is not None and slate["items"]:
                _deliver_all(client, [told_of(slate, person, rng)], ledger)


def shown(client: Client, person: int, ledger: Ledger, limit: int) -> dict[str, Any] | None:
    """A slate, entered in the ledger; None if the server asks for another try."""
    watched = ledger.watched_by(person)
    told = client.answer("POST", "/v1/feed", orjson.dumps({"user_id": person, "limit": limit}))
    if told.status in LATER:
        return None
    _refuse_other("/v1/feed", told.status, told.body)
    slate: dict[str, Any] = orjson.loads(told.body)
    ledger.shown(slate, watched)
    return slate


def _deliver_all(client: Client, batches: Sequence[Batch], ledger: Ledger) -> None:
    """One after the other; those that nobody answers wait in the ledger."""
    left = list(batches)
    try:
        while left:
            _deliver(client, left[0], ledger)
            left.pop(0)
    finally:
        for batch in left:
            ledger.wait_for(batch)


def _deliver(client: Client, batch: Batch, ledger: Ledger) -> None:
    told = client.answer("POST", "/v1/events", orjson.dumps({"events": batch.events}))
    if told.status in LATER:
        ledger.wait_for(batch)
        return
    _refuse_other("/v1/events", told.status, told.body)
    said = orjson.loads(told.body)
    ledger.acknowledge(batch, said["stored"], said["repeated"])


def _refuse_other(path: str, status: int, body: bytes) -> None:
    if status != 200:
        raise Refused(f"{path} answered {status}, must be 200: {body[:300].decode(errors='replace')}")


def told_of(slate: Mapping[str, Any], person: int, rng: np.random.Generator) -> Batch:
    """What became of the first items: all watched, some liked, now and then a creator followed."""
    items = slate["items"][: rng.integers(1, MOST_TOLD + 1)]
    watches = [_event("watched", slate, person, item, watched_ms=int(rng.integers(30_000))) for item in items]
    likes = [_event("reacted", slate, person, item, reaction="like") for item in items if rng.random() < 0.2]
    follows = [_followed(slate, person, item) for item in items if rng.random() < 0.05]
    return Batch(person, (*watches, *likes, *follows))


def _event(kind: str, slate: Mapping[str, Any], person: int, item: Mapping[str, Any], **more: Any) -> Event:
    return {
        "kind": kind,
        "event_id": f"drill:{kind}:{item['impression_id']}",
        "event_time_us": slate["served_at_us"],
        "user_id": person,
        "impression_id": item["impression_id"],
        "video_id": item["video_id"],
        **more,
    }


def _followed(slate: Mapping[str, Any], person: int, item: Mapping[str, Any]) -> Event:
    told = {**_event("followed", slate, person, item), "creator_id": item["creator_id"]}
    del told["video_id"]
    return told
