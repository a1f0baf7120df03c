"""Why a slate looked as it did: the funnels of the last requests, kept for a bounded time and number."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from serving.candidates import Candidates, Column
from serving.feed import Funnel

MOST = 1_000
"""Requests remembered; one takes about 60 KiB with 500 candidates."""
KEPT_FOR_S = 3_600.0


class NotExplained(KeyError):
    """The funnel of a request is not here, and the message says why."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Explanation:
    """A funnel without the columns nobody asks about: the features of rows that were not chosen."""

    release_id: str
    funnel: Funnel
    features: Column
    """As served, one row per chosen item, in matrix order."""


class Explanations:
    """The newest explanations by request id."""

    def __init__(
        self,
        most: int = MOST,
        kept_for_s: float = KEPT_FOR_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._kept_for_s, self._monotonic = most, kept_for_s, monotonic
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[float, Explanation]] = OrderedDict()
        self._dropped_upto = -1

    def keep(self, funnel: Funnel, release_id: str, more: Mapping[str, Column]) -> None:
        """Remember a funnel, with `more` columns of its scored rows; the oldest may be dropped."""
        features = funnel.slate["features"]
        slim = _with_scored(funnel, more)
        with self._lock:
            self._kept[funnel.query.request_id] = (self._monotonic(), Explanation(release_id, slim, features))
            self._drop()

    def of(self, request_id: int) -> Explanation:
        """The explanation of a request; `NotExplained` says whether it was dropped or never here."""
        with self._lock:
            self._drop()
            if request_id in self._kept:
                return self._kept[request_id][1]
        bounds = f"the last {self._most} requests are kept, for {self._kept_for_s / 60:.0f} minutes"
        if request_id <= self._dropped_upto:
            raise NotExplained(f"request {request_id} is no longer kept: {bounds}. Its slate is in the log.")
        raise NotExplained(f"request {request_id} was not served by this server since it started; {bounds}.")

    def __len__(self) -> int:
        return len(self._kept)

    def _drop(self) -> None:
        oldest = self._monotonic() - self._kept_for_s
        while self._kept and (len(self._kept) > self._most or next(iter(self._kept.values()))[0] < oldest):
            request_id, _ = self._kept.popitem(last=False)
            self._dropped_upto = max(self._dropped_upto, request_id)


KEPT_COLUMNS = ("video_id", "source", "found_by", "creator_id", "topic", "tower_score", "value")


def _with_scored(funnel: Funnel, more: Mapping[str, Column]) -> Funnel:
    columns = {name: funnel.scored[name] for name in KEPT_COLUMNS} | dict(more)
    return replace(funnel, scored=Candidates(columns))
