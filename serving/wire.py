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


class FoundBy(BaseModel):
    source: str
    rank: int = Field(description="In the source's own order; 0 is its best.")
    score: float | None = Field(description="The source's own score; comparable within the source alone.")


class ExplainedSource(BaseModel):
    quota: int = Field(description="Most candidates it may bring.")
    found: int = Field(description="Candidates it brought, duplicates included.")
    first: int = Field(description="Of those that were scored: how many it was the first to find.")
    chosen: int = Field(description="Of those: how many are in the slate.")


class ExplainedHead(BaseModel):
    raw: float | None = Field(description="The booster's raw score.")
    calibrated: float | None = Field(description="The probability the value is made of.")
    weight: float = Field(description="What the act is worth.")
    part: float | None = Field(description="weight x calibrated: its part of the value.")


class ExplainedMove(BaseModel):
    """How a slot was filled. Worths are in standard deviations of the candidates' values."""

    worth: float | None = Field(description="The item's, before anything above it cost it.")
    paid: float | None = Field(description="What the items above cost it: same topic, creator or likeness.")
    rank: int = Field(description="How many open candidates had more left; 0 is the greedy choice.")
    runner_up: int | None = Field(description="The best other video that was open; null if there was none.")
    runner_up_left: float | None = Field(description="What the runner-up had left.")
    drawn_from: str = Field(description="The part of the policy that drew it.")


class ExplainedRelease(BaseModel):
    release_id: str
    matrix_hash: str
    snapshot_hash: str = Field(description="Of the training snapshot.")
    feature_service: str


class Moved(BaseModel):
    """A champion alias that was moved back."""

    from_version: int
    to_version: int
    took_ms: float


class Promotions(BaseModel):
    """The promotion log."""

    moves: list[dict[str, Any]] = Field(description="alias, from, to, reason, and when.")


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
    found_by: list[FoundBy] = Field(description="Every source that found it.")
    heads: dict[str, ExplainedHead]
    move: ExplainedMove
    features: dict[str, float | None] = Field(description="As served, and as logged.")


class RemovedBy(BaseModel):
    count: int
    video_ids: list[int]
    because: dict[str, list[int]] = Field(description="The videos by reason; unchecked: the filter failed.")


class ExplainedRequest(BaseModel):
    """The whole journey of one request."""

    request_id: int
    user_id: int
    release_id: str
    served_at_us: int
    limit: int
    surface: int
    explore: bool
    seed: int = Field(description="Chance was drawn from [seed, request_id].")
    release: ExplainedRelease
    policy: dict[str, Any] = Field(description="Every setting of retrieval, selection and visibility.")
    weights: dict[str, float] = Field(description="What each predicted act is worth.")
    remembered: dict[str, int] = Field(description="How much was known of the person, counted.")
    feature_ages_s: dict[str, float] = Field(
        description="Age of the values of each view: the mirror's for videos and creators; 0: read just then."
    )
    sources: dict[str, ExplainedSource]
    found: dict[str, int] = Field(description="Candidates per source, duplicates included.")
    distinct: int
    removed: dict[str, RemovedBy] = Field(description="By the first filter that objected.")
    cut: int = Field(description="Passed every filter and came too late: more than most_candidates.")
    unscored: int = Field(description="Of the scored: those whose value is unknown; they sort last.")
    scored: list[ScoredCandidate] = Field(description="Best value first.")
    slate: list[ChosenItem]
    ms: dict[str, float] = Field(description="Milliseconds per stage, in order.")
    degraded: list[str]
