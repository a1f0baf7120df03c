"""Everything that can happen, once: nine kinds of event, each with an id and two clocks.

`event_time` is when it happened, `known_time` when we knew it; nothing may be used before it was known.
A swipe is told by three events: `Served` (an item of a slate), `Watched` (it reached the screen, sent even at
0 ms) and what the person did (`Reacted`, `Followed`) or said when asked (`Surveyed`). On the grid, only a
cover that was tapped is watched. `Uploaded` and `Joined` bring videos and people in, `Removed` takes a video
down. Served without watched is unseen, never a negative. `Requested` is what a server was asked, what it knew
then and the hash of what it answered, an empty slate included: all that a replay needs beside the rest of the
log and the release.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from feature_repo.clock import INSTANT

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

REACTIONS = ("like", "comment", "share", "profile", "hide", "report")

SWIPE, GRID = 0, 1
"""Surfaces: a feed of one video at a time; a page of covers in two columns. Foreign logs keep their codes."""

POSITIONS_PER_REQUEST = 64
"""impression_id = request_id * 64 + position: visible arithmetic instead of a second id to keep."""


def impression_id(request_id: int, position: int) -> int:
    """What names an item of a slate."""
    return request_id * POSITIONS_PER_REQUEST + position


_CLOCKS: Schema = {"event_id": pl.String, "event_time": INSTANT, "known_time": INSTANT}

KINDS: Mapping[str, Schema] = {
    "served": {
        **_CLOCKS,
        "request_id": pl.Int64,
        "impression_id": pl.Int64,
        "user_id": pl.Int64,
        "video_id": pl.Int64,
        "position": pl.Int16,  # 0 is the top of the slate
        "propensity": pl.Float64,  # of this item at this position given the items above it; null if unknown
        "explored": pl.Boolean,
        "source": pl.String,  # which candidate source found it; null if unknown
        "surface": pl.Int16,  # 0 is the swipe feed, 1 the grid; foreign logs keep their own codes
        "release_id": pl.String,
        "features": pl.List(pl.Float32),  # as served, in matrix order; null where the policy had none
        "features_time": INSTANT,  # when the mirrored features were read; null where there were none
    },
    "requested": {
        **_CLOCKS,
        "request_id": pl.Int64,
        "user_id": pl.Int64,
        "surface": pl.Int16,
        "limit": pl.Int16,  # how many items were asked for
        "explore": pl.Boolean,
        "seed": pl.Int64,  # chance was drawn from [seed, request_id]
        "release_id": pl.String,
        "features_time": INSTANT,  # when the mirrored features were read
        "catalogue_time": INSTANT,  # the videos known were those known before it; null if unknown
        "loaded_time": INSTANT,  # profiles were those known before it; null if the store was never loaded
        "degraded": pl.String,  # components that failed, as kind:name, with commas between; usually ""
        "response_sha256": pl.String,  # of the bytes that were answered
    },
    "watched": {
        **_CLOCKS,
        "impression_id": pl.Int64,
        "user_id": pl.Int64,
        "video_id": pl.Int64,
        "watched_ms": pl.Int64,
        "duration_ms": pl.Int64,  # null if unknown
    },
    "reacted": {
        **_CLOCKS,
        "impression_id": pl.Int64,
        "user_id": pl.Int64,
        "video_id": pl.Int64,
        "reaction": pl.String,
    },
    "followed": {
        **_CLOCKS,
        "impression_id": pl.Int64,  # null when it did not come from one
        "user_id": pl.Int64,
        "creator_id": pl.Int64,
    },
    "surveyed": {
        **_CLOCKS,
        "impression_id": pl.Int64,
        "user_id": pl.Int64,
        "video_id": pl.Int64,
        "answer": pl.Int16,  # 1 (regretted) to 5 (loved); null when it was shown and not answered
    },
    "uploaded": {
        **_CLOCKS,
        "video_id": pl.Int64,
        "creator_id": pl.Int64,
        "topic": pl.Int16,  # null if unknown
        "duration_ms": pl.Int64,  # null if unknown
        "content": pl.List(pl.Float32),  # what a content encoder saw, CONTENT_SIZE numbers; null if none
        "headline_score": pl.Float32,  # what a headline classifier saw: how much it promises; null if none
        "production_score": pl.Float32,  # what a quality classifier saw: how well it is made; null if none
    },
    "removed": {
        **_CLOCKS,
        "video_id": pl.Int64,  # moderation took it down
    },
    "joined": {
        **_CLOCKS,
        "user_id": pl.Int64,
        "country": pl.Int16,
        "device": pl.Int16,
        "age_band": pl.Int16,
        "activity_band": pl.Int16,
        "fans_band": pl.Int16,
        "follows_band": pl.Int16,
    },
}

CONTENT_SIZE = 16
TOPICS = 64
"""Topic codes are 0..63; the simulated world uses 24, KuaiRand's tags are mapped into them."""


def empty(kind: str) -> pl.DataFrame:
    """A table of this kind without rows."""
    return pl.DataFrame(schema=dict(KINDS[kind]))
