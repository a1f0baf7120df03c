"""What the log keeps of a request: its items as they were served, and all that decided the answer besides.

Law: a `requested` event, the log before its moment and the release it names give the answer again, byte for
byte (`make replay ID=`). A slate without items has one too.
"""

from __future__ import annotations

import hashlib
from typing import Any

from feature_repo.slates import Slate
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


def slate_of(funnel: Funnel, serving: Serving, seed: int, body: bytes) -> Slate:
    """What the journal keeps of one request that was answered with `body`."""
    choice, scored, names = funnel.choice, funnel.scored, list(funnel.found)
    matrix = scored["features"]
    return Slate(
        requested_event(funnel, serving, seed, body),
        video_ids=scored["video_id"][choice.rows].tolist(),
        propensities=choice.propensities.tolist(),
        explored=choice.explored.tolist(),
        sources=[names[source] for source in scored["source"][choice.rows].tolist()],
        features=matrix[choice.rows] if matrix.ndim == 2 else None,
    )


def sha256_of(body: bytes) -> str:
    """The hash a response is known by."""
    return hashlib.sha256(body).hexdigest()
