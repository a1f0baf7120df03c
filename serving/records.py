"""What the log keeps of a request: its items as they were served, and all that decided the answer besides.

Law: a `requested` event, the log before its moment and the release it names give the answer again, byte for
byte (`make replay ID=`). A slate without items has one too.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from feature_repo.events import impression_id
from serving.candidates import Column
from serving.champions import Serving
from serving.feed import Funnel


def requested_event(funnel: Funnel, serving: Serving, seed: int, body: bytes) -> dict[str, Any]:
    """The event of one request that was answered with `body`."""
    query, world = funnel.query, serving.world
    return {
        "kind": "requested",
        "event_id": f"requested/{query.request_id}",
        "event_time_us": query.now_us,
        "known_time_us": query.now_us,
        "request_id": query.request_id,
        "user_id": query.user_id,
        "surface": query.surface,
        "limit": query.limit,
        "explore": query.explore,
        "seed": seed,
        "release_id": serving.release.release_id,
        "features_time_us": world.mirror.read_at_us,
        "catalogue_time_us": world.known_us,
        "loaded_time_us": world.loaded_us,
        "degraded": ",".join(funnel.degraded),
        "response_sha256": sha256_of(body),
    }


def served_events(funnel: Funnel, serving: Serving) -> list[dict[str, Any]]:
    """One `served` event per item of the slate, as the log keeps it."""
    query, choice, scored, sources = funnel.query, funnel.choice, funnel.scored, list(funnel.found)
    same = {
        "kind": "served",
        "event_time_us": query.now_us,
        "known_time_us": query.now_us,
        "request_id": query.request_id,
        "user_id": query.user_id,
        "surface": query.surface,
        "release_id": serving.release.release_id,
        "features_time_us": serving.world.mirror.read_at_us,
    }
    of_scored = (scored[name][choice.rows].tolist() for name in ("video_id", "source"))
    features = logged_features(scored["features"][choice.rows])
    columns = zip(*of_scored, features, choice.propensities.tolist(), choice.explored.tolist(), strict=True)
    return [
        {
            **same,
            "event_id": f"served/{impression_id(query.request_id, place)}",
            "impression_id": impression_id(query.request_id, place),
            "video_id": video_id,
            "position": place,
            "propensity": propensity,
            "explored": explored,
            "source": sources[source],
            "features": row,
        }
        for place, (video_id, source, row, propensity, explored) in enumerate(columns)
    ]


def logged_features(matrix: Column) -> list[list[float | None] | None]:
    """Row by row, null for NaN; nothing where no matrix could be made."""
    if matrix.ndim < 2:
        return [None] * len(matrix)
    told: list[list[float | None] | None] = matrix.tolist()
    for row, place in np.argwhere(np.isnan(matrix)).tolist():
        told[row][place] = None  # type: ignore[index]
    return told


def sha256_of(body: bytes) -> str:
    """The hash a response is known by."""
    return hashlib.sha256(body).hexdigest()
