"""What a client sent, what it was told, and what the journal holds of it: the books of a crash drill.

Law: a batch that was acknowledged is in the journal whole, as it was sent, exactly once; one that was not may
be there or not, but whole or not at all, and sent again it is stored once. What was acknowledged as watched
is in no later slate of that person.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feature_repo.events import KINDS
from feature_repo.journal import Journal
from feature_repo.log import EventLog

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Batch:
    """Events of one person, sent in one request."""

    person: int
    events: tuple[Event, ...]

    @property
    def name(self) -> str:
        """The id of its first event: a retry has the same."""
        return str(self.events[0]["event_id"])

    @property
    def videos(self) -> set[int]:
        """What the person watched in it."""
        return {event["video_id"] for event in self.events if event["kind"] == "watched"}


@dataclass
class Ledger:
    """Safe to share between threads."""

    acknowledged: dict[str, Batch] = field(default_factory=dict)
    """By the id of the first event, in the order of the answers."""
    waiting: list[Batch] = field(default_factory=list)
    """Sent, and never answered: to be sent again."""
    feeds: int = 0
    degraded: int = 0
    """Feeds that were made without a component, and said so."""
    returned: int = 0
    """Videos in a slate of somebody who had been told that this watch is stored."""
    forgotten: int = 0
    """Acknowledged events that were new to the server when they were sent once more."""
    torn: int = 0
    """Batches of which a retry found a part stored."""
    repeated: int = 0
    """Batches whose first answer was lost, and which a retry found stored."""
    _seen: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, batch: Batch, stored: int, repeated: int) -> None:
        """The server answered 200, and how many events of the batch were new to it, and how many not."""
        with self._lock:
            if batch.name in self.acknowledged:
                self.forgotten += stored
                return
            self.torn += stored > 0 and repeated > 0
            self.repeated += stored == 0
            self.acknowledged[batch.name] = batch
            self._seen[batch.person] |= batch.videos

    def wait_for(self, batch: Batch) -> None:
        """No answer came: nobody knows whether it is stored. What was acknowledged before stays so."""
        with self._lock:
            if batch.name not in self.acknowledged:
                self.waiting.append(batch)

    def retries(self) -> list[Batch]:
        """What has to be sent again; whoever takes it sends it."""
        with self._lock:
            taken, self.waiting = self.waiting, []
            return taken

    def latest(self, n: int) -> list[Batch]:
        """The last acknowledged: those a server that forgets would forget."""
        with self._lock:
            return list(self.acknowledged.values())[-n:]

    def watched_by(self, person: int) -> frozenset[int]:
        """What this person was told is stored as watched: none of it may be in a slate asked for now."""
        with self._lock:
            return frozenset(self._seen[person])

    def shown(self, slate: Mapping[str, Any], watched: frozenset[int]) -> None:
        """A slate arrived, for somebody who had watched these when asking."""
        with self._lock:
            self.feeds += 1
            self.degraded += bool(slate["degraded"])
            self.returned += len(watched.intersection(item["video_id"] for item in slate["items"]))

    def people(self) -> list[int]:
        """Whoever was acknowledged to have watched something."""
        with self._lock:
            return [person for person, videos in self._seen.items() if videos]


@dataclass(frozen=True)
class Books:
    """The ledger held against the journal, and against the log the journal was drained into."""

    acknowledged: int
    """Events."""
    lost: int
    """Acknowledged events that are not there as they were sent, or were forgotten for a while."""
    doubled: int
    """Events that are there more than once."""
    torn: int
    """Batches that are there in part."""
    unanswered: int
    """Batches that were never acknowledged, not even on a retry."""
    repeated: int
    returned: int
    journaled: int
    """Everything the journal holds, slates included."""


def books(ledger: Ledger, journal: Path, drained: Path) -> Books:
    """Held against the journal of a server that has ended, and a log in the empty folder `drained`."""
    stored = _stored(journal, EventLog(drained))
    times = Counter(event_id for kind in KINDS for event_id in _ids(EventLog(drained), kind))
    batches = list(ledger.acknowledged.values())
    sent = [event for batch in batches for event in batch.events]
    kept = sum(_is_kept(event, stored) and times[event["event_id"]] > 0 for event in sent)
    return Books(
        acknowledged=len(sent),
        lost=len(sent) - kept + ledger.forgotten,
        doubled=sum(n > 1 for n in times.values()),
        torn=ledger.torn + sum(_is_torn(batch, stored) for batch in [*batches, *ledger.waiting]),
        unanswered=len(ledger.waiting),
        repeated=ledger.repeated,
        returned=ledger.returned,
        journaled=len(stored),
    )


def _stored(journal: Path, log: EventLog) -> dict[str, Event]:
    """Every event of the journal by its id; the log gets them too, twice asked as a retried ingest would."""
    held = Journal(journal)
    try:
        held.drain_into(log)
        held.drain_into(log)
        return {entry.event["event_id"]: entry.event for entry in held.events()}
    finally:
        held.close()


def _is_kept(event: Event, stored: Mapping[str, Event]) -> bool:
    """The server may add to an event and must change nothing of it."""
    return event.items() <= stored.get(event["event_id"], {}).items()


def _is_torn(batch: Batch, stored: Mapping[str, Event]) -> bool:
    return 0 < sum(event["event_id"] in stored for event in batch.events) < len(batch.events)


def _ids(log: EventLog, kind: str) -> list[str]:
    return log.scan(kind).select("event_id").collect()["event_id"].to_list()
