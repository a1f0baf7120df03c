"""Many people ask at once, from one thread: whoever has their slate tells what they watched of it, then the
next one asks over the same connection.

Threads that wait for answers wake one another and take turns at one interpreter. Where clients and servers
share the cores that is taken from the servers; one thread that waits for all takes about half of it.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from labs.bench.clients import Client, whole
from labs.bench.drives import watched

TOO_MANY = 429
Request = tuple[str, dict[str, Any]]
"""A path, and a body to post to it."""
Visit = Generator[Request, dict[str, Any]]
"""The requests of the people who come over one connection; it is sent the answer to each."""


@dataclass(frozen=True)
class Pace:
    """How many requests were answered in how many seconds while everybody was busy."""

    answered: int
    seconds: float
    slates: list[int]
    """The request ids, of those that were answered later too."""
    refused: int
    """Told that there are too many, and asked again."""


def pace_of(clients: Sequence[Client], people: Sequence[int]) -> Pace:
    """All clients ask at once, and whichever is free asks for the next of these people. The clock stops when
    nobody waits: what is under way then is heard and not counted, since some have nothing to do any more.
    """
    crowd, began_s = _Crowd(iter(people)), time.perf_counter()
    with selectors.DefaultSelector() as busy:
        for client in clients[: len(people)]:
            busy.register(client, selectors.EVENT_READ, crowd.first_asked(client))
        while busy.get_map():
            for key, _ in busy.select():
                if not crowd.goes_on(key.fileobj, key.data):
                    busy.unregister(key.fileobj)
    answered, ended_s = crowd.ended or (0, began_s)
    return Pace(answered, ended_s - began_s, crowd.slates, crowd.refused)


class _Crowd:
    """Those who wait, and what was answered so far."""

    def __init__(self, waiting: Iterator[int]) -> None:
        self._waiting = waiting
        self.slates: list[int] = []
        self.answered = self.refused = 0
        self.ended: tuple[int, float] | None = None
        """What was answered when somebody first had nobody to ask for, and when that was."""

    def first_asked(self, client: Client) -> Visit:
        """Those who come over this connection, the first of whom has asked."""
        visit = self._visit()
        _ask(client, next(visit))
        return visit

    def goes_on(self, client: Any, visit: Visit) -> bool:
        """Hear a piece of an answer, ask the next thing if it is whole; whether anything is awaited."""
        if (told := client.receive()) is None:
            return True
        if told.status == TOO_MANY:
            self.refused += 1
            client.send_again()
            return True
        self.answered += 1
        try:
            _ask(client, visit.send(orjson.loads(whole("the server", told))))
        except StopIteration:
            self.ended = self.ended or (self.answered, time.perf_counter())
            return False
        return True

    def _visit(self) -> Visit:
        for person in self._waiting:
            slate = yield "/v1/feed", {"user_id": person, "limit": 10}
            self.slates.append(slate["request_id"])
            if slate["items"]:
                yield "/v1/events", {"events": watched(slate, person)}


def _ask(client: Client, asked: Request) -> None:
    path, body = asked
    client.send("POST", path, orjson.dumps(body))
