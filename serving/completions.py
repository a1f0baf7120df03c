"""What clients say happened, completed by what they left out, or the rule that an event of them breaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from feature_repo.clock import MINUTE_US
from feature_repo.videos import VideoCatalog

FUTURE_US = 5 * MINUTE_US
"""How far an event may lie ahead of the world clock: clients' clocks are that bad, not worse."""


class RefusedEvent(ValueError):
    """An event that breaks a rule: which event of the batch, which field, which rule, and what was found."""

    def __init__(self, place: int, field: str, rule: str, found: object) -> None:
        super().__init__(f"events.{place}.{field} {rule}, found {found!r}.")
        self.place, self.field, self.rule, self.found = place, field, rule, found


def completed(
    place: int, event: Mapping[str, Any], catalog: VideoCatalog, clock_us: int, known_us: int
) -> dict[str, Any]:
    """The event as the log wants it, heard of at `known_us`; RefusedEvent if it breaks a rule. `place` is its
    place in the batch.
    """
    if event["event_time_us"] > clock_us + FUTURE_US:
        rule = f"must not lie more than 5 minutes after the server's now, {clock_us}"
        raise RefusedEvent(place, "event_time_us", rule, event["event_time_us"])
    if "creator_id" in event and event["creator_id"] not in catalog.creator_ids:
        raise RefusedEvent(place, "creator_id", "must be a creator who uploaded", event["creator_id"])
    video = _video_of(place, event, catalog) if "video_id" in event else {}
    return {**event, **video, "known_time_us": known_us}


def _video_of(place: int, event: Mapping[str, Any], catalog: VideoCatalog) -> dict[str, Any]:
    """What the catalogue knows of the video and the client did not say."""
    row = int(catalog.rows_of([event["video_id"]])[0])
    if row < 0:
        raise RefusedEvent(place, "video_id", "must be a video that was uploaded", event["video_id"])
    if event["kind"] != "watched" or np.isnan(catalog.duration_s[row]):
        return {}
    return {"duration_ms": event.get("duration_ms") or round(float(catalog.duration_s[row]) * 1000)}
