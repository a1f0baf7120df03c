"""A slate as the journal keeps it: one row for what was asked and all that was served, item by item.

Law: `events_of` gives the `requested` event and the `served` events that the row stands for, in order, as if
each had been stored by itself. What they share stands there once; ids follow from request and position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from feature_repo.events import impression_id
from feature_repo.schemas import refuse_bad_columns, refuse_bad_event

Event = Mapping[str, Any]

SLATE = "slate"
"""The `kind` of such a row; no event has it."""
SHARED = (
    "event_time_us",
    "known_time_us",
    "request_id",
    "user_id",
    "surface",
    "release_id",
    "features_time_us",
)
"""What a `served` event has of its `requested` one."""
OF_ITEMS = ("video_id", "propensity", "explored", "source", "features")
_IS_SLATE, _FEATURES = f'"kind":"{SLATE}"', ',"features":'
"""As `Slate.body` writes them. No text looks like a key: its quotes are escaped."""


@dataclass(frozen=True)
class Slate:
    """A request that was answered, and its items, best first."""

    requested: Event
    video_ids: Sequence[int]
    propensities: Sequence[float]
    explored: Sequence[bool]
    sources: Sequence[str]
    features: NDArray[np.float32] | None
    """[items, features], NaN where unknown; None where no matrix could be made."""

    def body(self) -> bytes:
        """The row as JSON; BadLog if one of its events would break a rule."""
        told = {
            "video_id": self.video_ids,
            "propensity": self.propensities,
            "explored": self.explored,
            "source": self.sources,
        }
        refuse_bad_event(self.requested)
        refuse_bad_columns("served", told)
        # As doubles: whoever reads JSON numbers as such finds every float32 again. Last: see `heard`.
        features = None if self.features is None else self.features.astype(np.float64, order="C")
        row = {**self.requested, "kind": SLATE, **told, "features": features}
        return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)


def heard(body: str) -> dict[str, Any]:
    """A row of the journal from its text but for a slate's features, most of it: only the log needs them."""
    told = body.partition(_FEATURES)[0] + "}" if _IS_SLATE in body else body
    row: dict[str, Any] = orjson.loads(told)
    return row


def events_of(row: Event) -> list[dict[str, Any]]:
    """The events that a row of the journal stands for; an event stands for itself."""
    if row["kind"] != SLATE:
        return [dict(row)]
    requested = {**{key: row[key] for key in row if key not in OF_ITEMS}, "kind": "requested"}
    shared = {"kind": "served", **{key: row[key] for key in SHARED}}
    features = row["features"] or [None] * len(row["video_id"])
    items = zip(*(row[key] for key in OF_ITEMS[:-1]), features, strict=True)
    served = [
        {**shared, **ids, **dict(zip(OF_ITEMS, item, strict=True))}
        for ids, item in zip(_ids(row), items, strict=True)
    ]
    return [requested, *served]


def shown_by(row: Event) -> list[dict[str, Any]]:
    """Which impression showed which video: as much of its `served` events as later events refer to."""
    return [
        {"kind": "served", "impression_id": ids["impression_id"], "video_id": video_id}
        for ids, video_id in zip(_ids(row), row["video_id"], strict=True)
    ]


def _ids(row: Event) -> list[dict[str, Any]]:
    """What names each item."""
    named = [impression_id(row["request_id"], place) for place in range(len(row["video_id"]))]
    return [
        {"event_id": f"served/{name}", "impression_id": name, "position": place}
        for place, name in enumerate(named)
    ]
