"""What goes over the wire: every field with its unit, bounds and example. The server trusts nothing else.

Integers are integers: `true`, `"7"` and `7.5` are refused, `7.0` is 7 as in JSON. Unknown fields are
refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

MOST_ITEMS = 50
MOST_EVENTS = 500
LARGEST_ID = 2**53 - 1
"""The largest integer every JSON reader keeps exact."""
LONGEST_WATCH_MS = 86_400_000


def _integer(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("must be an integer")
    return value


Id = Annotated[int, Field(ge=0, le=LARGEST_ID), BeforeValidator(_integer)]
Limit = Annotated[int, Field(ge=1, le=MOST_ITEMS), BeforeValidator(_integer)]
Surface = Annotated[int, Field(ge=0, le=15), BeforeValidator(_integer)]
WatchedMs = Annotated[int, Field(ge=0, le=LONGEST_WATCH_MS), BeforeValidator(_integer)]
DurationMs = Annotated[int, Field(ge=1, le=LONGEST_WATCH_MS), BeforeValidator(_integer)]
Answer = Annotated[int, Field(ge=1, le=5), BeforeValidator(_integer)]
EventId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$", examples=["phone-7-000001"])]


class Asked(BaseModel):
    """What a client may send: exactly these fields."""

    model_config = ConfigDict(extra="forbid")


class FeedRequest(Asked):
    user_id: Id = Field(
        description="Who is asking. Somebody never seen gets a slate for strangers.", examples=[7]
    )
    limit: Limit = Field(default=10, description=f"How many items, at most {MOST_ITEMS}.", examples=[10])
    surface: Surface = Field(
        default=0, description="Where the slate is shown; 0 is the swipe feed, 1 the grid.", examples=[0]
    )
    explore: StrictBool = Field(
        default=True,
        description="False: the deterministic best slate; every propensity is 1.",
        examples=[True],
    )


class FeedItem(BaseModel):
    position: int = Field(description="0 is the top.")
    impression_id: int = Field(description="Names this item in this slate; send it back with events.")
    video_id: int
    creator_id: int
    topic: int = Field(description="-1 if unknown.")
    value: float | None = Field(description="Expected value; null if it could not be computed.")
    source: str = Field(description="The first source that found it.")
    propensity: float = Field(description="Probability of this item here, given the items above it.")
    explored: bool = Field(description="Drawn uniformly, not by value.")


class FeedResponse(BaseModel):
    request_id: int
    release_id: str
    served_at_us: int = Field(description="World time of the slate, microseconds since 1970 UTC.")
    cold_start: bool = Field(description="The person was never seen.")
    degraded: list[str] = Field(description="Components that failed; the slate was made without them.")
    items: list[FeedItem]


class Event(Asked):
    event_id: EventId = Field(
        description="One id is one event: sent again with the same body it is stored once."
    )
    event_time_us: Id = Field(
        description="When it happened, world time in microseconds; at most 5 minutes after the server's now.",
        examples=[1_781_481_600_000_000],
    )
    user_id: Id


class Watched(Event):
    """The item reached the screen; sent even at 0 ms."""

    kind: Literal["watched"]
    impression_id: Id
    video_id: Id
    watched_ms: WatchedMs
    duration_ms: DurationMs | None = Field(default=None, description="Left out: the catalogue's duration.")


class Reacted(Event):
    kind: Literal["reacted"]
    impression_id: Id
    video_id: Id
    reaction: Literal["like", "comment", "share", "profile", "hide", "report"]


class Followed(Event):
    kind: Literal["followed"]
    creator_id: Id
    impression_id: Id | None = Field(
        default=None, description="Left out: the follow did not come from an impression."
    )


class Surveyed(Event):
    """The person was asked how they liked it, 1 (regretted) to 5 (loved)."""

    kind: Literal["surveyed"]
    impression_id: Id
    video_id: Id
    answer: Answer | None = Field(default=None, description="Null or left out: shown, and not answered.")


class EventBatch(Asked):
    """Stored whole or not at all."""

    events: Annotated[
        list[Annotated[Watched | Reacted | Followed | Surveyed, Field(discriminator="kind")]],
        Field(min_length=1, max_length=MOST_EVENTS),
    ]


class EventsAcknowledged(BaseModel):
    stored: int = Field(description="Durable for the first time.")
    repeated: int = Field(description="Were stored already, with the same body.")


class Problem(BaseModel):
    """Why a request was refused."""

    problem: str = Field(description="What was found, in words.")
    field: str | None = Field(default=None, description="The field that broke a rule, as a path.")
    rule: str | None = Field(default=None, description="What must hold.")
    remedy: str | None = Field(default=None, description="What to do about it.")


class Health(BaseModel):
    status: Literal["ok"]
    ready: bool
    now_us: int
    clock_speed: float = Field(default=1.0, description="Seconds of world time per second.")
    release_id: str | None = None
    version: int | None = None
    mirror_age_s: float | None = None
    refused_release: str | None = Field(default=None, description="A champion that was refused, and why.")


class ScoredCandidate(BaseModel):
    video_id: int
    creator_id: int
    topic: int
    found_by: list[str]
    tower_score: float | None
    predictions: dict[str, float | None]
    value: float | None
    position: int | None = Field(description="In the slate; null if it was not chosen.")


class ChosenItem(FeedItem):
    features: dict[str, float | None] = Field(description="As served, and as logged.")


class RemovedBy(BaseModel):
    count: int
    video_ids: list[int]


class ExplainedRequest(BaseModel):
    """The whole funnel of one request."""

    request_id: int
    user_id: int
    release_id: str
    served_at_us: int
    found: dict[str, int] = Field(description="Candidates per source, duplicates included.")
    distinct: int
    removed: dict[str, RemovedBy] = Field(description="By the first filter that objected.")
    unscored: int
    scored: list[ScoredCandidate] = Field(description="Best value first.")
    slate: list[ChosenItem]
    ms: dict[str, float] = Field(description="Milliseconds per stage, in order.")
    degraded: list[str]
