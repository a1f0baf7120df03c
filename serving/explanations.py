"""Why a slate looked as it did: the last requests, kept for a bounded time, number and size.

What is kept is what cannot be made again (the funnel, and the features of what was chosen); raw scores and
the selector's moves are worked out when somebody asks. A funnel is made slim after its slate was sent, or by
whoever asks for it before. A request that is kept no more is in the log, and `make replay ID=` tells the same
of it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from feature_repo.videos import among
from serving.candidates import NO_IDS, NOBODY, Candidates, Column, Ids, Query
from serving.feed import KEPT, Funnel
from serving.models import Models
from serving.releases import Release

MOST = 1_000
"""Requests remembered."""
MOST_BYTES = 64 << 20
"""Arrays remembered; a request with 500 candidates takes about 60 KiB."""
MOST_MODELS = 4
"""Releases whose requests are remembered; their models stay in memory with them."""
MOST_WHOLE = 16
"""Funnels that may wait to be made slim: the bytes of whole ones are not counted."""
KEPT_FOR_S = 3_600.0

REMOVED_COLUMNS = ("video_id", "catalog_row", "creator_id", "uploaded_us", "removed_us")
KEPT_COLUMNS = (
    "video_id",
    "source",
    "found_by",
    "catalog_row",
    "creator_id",
    "topic",
    "limited",
    "tower_score",
    "value",
)
"""Columns of scored rows that are kept, where there are such, beside the prediction of every weighed act."""


class NotExplained(KeyError):
    """The funnel of a request is not here, and the message says why."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Origin:
    """What a slate was made with, beside the query."""

    release: Release
    models: Models
    seed: int
    features_time_us: int
    """The moment of the mirror."""


@dataclass(frozen=True)
class Explanation:
    """A funnel without the columns nobody asks about: the features of rows that were not chosen."""

    funnel: Funnel
    origin: Origin
    removed: Candidates
    """The rows a filter removed, with what decided it."""
    remembered: Mapping[str, int]
    """How much was known of the person: videos seen, creators followed and so on."""
    features: Column
    """As served, one row per chosen item, in matrix order."""

    @cached_property
    def nbytes(self) -> int:
        """Bytes of the arrays that only this holds."""
        tables = (self.funnel.union, self.funnel.scored, self.removed)
        columns = [column for table in tables for column in table.columns.values()]
        found = [array for each in self.funnel.found.values() for array in (each.video_ids, each.scores)]
        return sum(array.nbytes for array in (*columns, *found, self.features))


def explanation_of(funnel: Funnel, origin: Origin) -> Explanation:
    """What is kept of a request."""
    acts = [weight.act for weight in origin.models.values.weights]
    scored, union = funnel.scored.only((*KEPT_COLUMNS, *acts)), funnel.union.only(("video_id",))
    removed = funnel.union.only(REMOVED_COLUMNS).take(np.flatnonzero(funnel.removed_by != KEPT))
    query = _slim(funnel.query, removed.ids)
    slim = replace(funnel, query=query, union=union, scored=scored)
    features = funnel.scored["features"][funnel.choice.rows]
    return Explanation(slim, origin, removed, _remembered(funnel.query), features)


class Explanations:
    """The newest explanations by request id."""

    def __init__(
        self,
        most: int = MOST,
        kept_for_s: float = KEPT_FOR_S,
        monotonic: Callable[[], float] = time.monotonic,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._most, self._kept_for_s, self._monotonic = most, kept_for_s, monotonic
        self._most_bytes, self.nbytes = most_bytes, 0
        self._lock = threading.Lock()
        self._whole: deque[tuple[float, Funnel, Origin]] = deque()
        """As they came; appended to without the lock."""
        self._kept: OrderedDict[int, tuple[float, Explanation]] = OrderedDict()
        self._models: Counter[int] = Counter()
        self._dropped_upto = -1

    def keep(self, funnel: Funnel, origin: Origin) -> None:
        """Remember a funnel; the person waits for it, so it is made slim later."""
        self._whole.append((self._monotonic(), funnel, origin))
        if len(self._whole) > MOST_WHOLE:
            self.settle()

    def settle(self) -> None:
        """Make slim what waits for it; the oldest may be dropped."""
        with self._lock:
            self._settle()

    def of(self, request_id: int) -> Explanation:
        """The explanation of a request; `NotExplained` says whether it was dropped or never here."""
        with self._lock:
            self._settle()
            if request_id in self._kept:
                return self._kept[request_id][1]
        bounds = f"the last {self._most} requests are kept, for {self._kept_for_s / 60:.0f} minutes"
        told = f"`make replay ID={request_id}` tells it from the log"
        if request_id <= self._dropped_upto:
            raise NotExplained(f"request {request_id} is no longer kept: {bounds}. {told}.")
        raise NotExplained(
            f"request {request_id} was not served by this server since it started; {bounds}. "
            f"If it was served before, {told}."
        )

    def __len__(self) -> int:
        self.settle()
        return len(self._kept)

    def _settle(self) -> None:
        """With the lock."""
        while self._whole:
            kept_at_s, funnel, origin = self._whole.popleft()
            told = explanation_of(funnel, origin)
            self._kept[funnel.query.request_id] = (kept_at_s, told)
            self.nbytes += told.nbytes
            self._models[id(origin.models)] += 1
        self._drop()

    def _drop(self) -> None:
        oldest = self._monotonic() - self._kept_for_s
        while self._kept and (self._is_too_much() or next(iter(self._kept.values()))[0] < oldest):
            request_id, (_, told) = self._kept.popitem(last=False)
            self._dropped_upto = max(self._dropped_upto, request_id)
            self.nbytes -= told.nbytes
            self._models -= Counter([id(told.origin.models)])

    def _is_too_much(self) -> bool:
        too_many = len(self._kept) > self._most or len(self._models) > MOST_MODELS
        return too_many or self.nbytes > self._most_bytes


def _slim(query: Query, removed: Ids) -> Query:
    """The query without what may be large; of what was seen, only what was found again."""
    seen = np.sort(removed[among(removed, query.seen)])
    return replace(query, person=NOBODY, history=NO_IDS, follows=NO_IDS, seen=seen)


def _remembered(query: Query) -> dict[str, int]:
    told = {name: len(getattr(query, name)) for name in ("seen", "follows", "hidden", "blocked")}
    return {"history": int((query.history >= 0).sum()), **told}
