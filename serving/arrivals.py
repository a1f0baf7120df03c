"""What arrived in the journal since the log ended: read on at once, taken in when somebody needs it.

Taking in many rows together costs far less than one after the other. Nobody's slate depends on what others
did but through the videos' features, and those are renewed together; so a row waits until whom it is about
asks, until many wait, or until features are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feature_repo.journal import Journal

Row = Mapping[str, Any]

MANY = 32
"""So many rows wait no longer: some eight slates and what became of them."""
EVERYBODY = -1
"""Whom a row is about that names nobody."""


class Arrivals:
    """Rows of the journal that the log has not absorbed, each handed out once, in order of arrival. Whoever
    uses it holds a lock.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.upto = journal.drained()
        """The number of the last row that was read."""
        self.waiting: list[Row] = []
        self._about: set[int] = set()
        self.last_us = 0
        """The latest moment at which a row became known."""
        self.read()

    def hear(self) -> None:
        """Read on if another process wrote; our own rows move nothing that could be noticed."""
        if self._journal.moved():
            self.read()

    def read(self) -> None:
        """Read on to the end of the journal."""
        arrived = self._journal.heard(after=self.upto)
        if not arrived:
            return
        rows = [entry.event for entry in arrived]
        self.waiting += rows
        self._about.update(row.get("user_id", EVERYBODY) for row in rows)
        self.last_us = max(self.last_us, *(row["known_time_us"] for row in rows))
        self.upto = arrived[-1].number

    def concern(self, user_id: int) -> bool:
        """Whether something that waits is about this person."""
        return user_id in self._about or EVERYBODY in self._about

    @property
    def are_many(self) -> bool:
        return len(self.waiting) >= MANY

    def take(self) -> list[Row]:
        """What waits, which is no longer ours."""
        waiting, self.waiting = self.waiting, []
        self._about = set()
        return waiting
