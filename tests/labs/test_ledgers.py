"""Do the books of a crash drill notice what a server lost, tore, doubled or showed again?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from feature_repo.journal import Journal
from labs.bench.ledgers import Batch, Books, Ledger, books


def a_watch(number: int, person: int = 7) -> dict[str, Any]:
    told = {"kind": "watched", "event_id": f"w{number}", "event_time_us": 10**15 + number, "user_id": person}
    return {**told, "impression_id": number, "video_id": 100 + number, "watched_ms": 5_000}


def a_batch(*numbers: int) -> Batch:
    return Batch(7, tuple(a_watch(number) for number in numbers))


def held(folder: Path, ledger: Ledger, *stored: dict[str, Any]) -> Books:
    """The books of a ledger against a journal that holds just these events, as a server completes them."""
    journal = Journal(folder / "journal.db")
    if stored:
        journal.append([{**event, "known_time_us": 10**15 + 50, "duration_ms": 9_000} for event in stored])
    journal.close()
    return books(ledger, folder / "journal.db", folder / "drained")


def an_acknowledged(batch: Batch, stored: int | None = None, repeated: int = 0) -> Ledger:
    ledger = Ledger()
    ledger.acknowledge(batch, len(batch.events) if stored is None else stored, repeated)
    return ledger


def test_what_was_acknowledged_and_is_stored_balances(tmp_path: Path) -> None:
    found = held(tmp_path, an_acknowledged(a_batch(1, 2)), a_watch(1), a_watch(2))

    assert (found.acknowledged, found.journaled) == (2, 2)
    assert (found.lost, found.doubled, found.torn, found.unanswered, found.returned) == (0, 0, 0, 0, 0)


def test_an_acknowledged_event_that_is_not_there_is_lost_and_its_batch_torn(tmp_path: Path) -> None:
    found = held(tmp_path, an_acknowledged(a_batch(1, 2)), a_watch(1))

    assert (found.lost, found.torn) == (1, 1)


def test_an_event_that_is_there_with_another_body_is_lost(tmp_path: Path) -> None:
    found = held(tmp_path, an_acknowledged(a_batch(1)), {**a_watch(1), "watched_ms": 1})

    assert found.lost == 1


def test_a_batch_nobody_answered_may_be_missing_but_not_in_part(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.wait_for(a_batch(1, 2))
    ledger.wait_for(a_batch(3, 4))

    found = held(tmp_path, ledger, a_watch(3))

    assert (found.lost, found.torn, found.unanswered) == (0, 1, 2)


def test_an_acknowledged_batch_that_is_new_again_was_forgotten(tmp_path: Path) -> None:
    ledger = an_acknowledged(a_batch(1, 2))
    ledger.acknowledge(a_batch(1, 2), stored=2, repeated=0)

    assert held(tmp_path, ledger, a_watch(1), a_watch(2)).lost == 2


@pytest.mark.parametrize(("stored", "repeated", "torn", "saved"), [(2, 0, 0, 0), (0, 2, 0, 1), (1, 1, 1, 0)])
def test_a_retry_tells_what_the_first_try_left(stored: int, repeated: int, torn: int, saved: int) -> None:
    ledger = an_acknowledged(a_batch(1, 2), stored, repeated)

    assert (ledger.torn, ledger.repeated) == (torn, saved)


def test_what_is_sent_again_is_taken_by_one_and_what_was_acknowledged_by_nobody() -> None:
    ledger = an_acknowledged(a_batch(1))
    ledger.wait_for(a_batch(1))
    ledger.wait_for(a_batch(2))

    assert [batch.name for batch in ledger.retries()] == ["w2"]
    assert ledger.retries() == []


def test_a_watched_video_in_a_later_slate_has_returned() -> None:
    ledger = an_acknowledged(a_batch(1))
    slate = {"degraded": ["users"], "items": [{"video_id": 101}, {"video_id": 5}]}

    ledger.shown(slate, ledger.watched_by(7))
    ledger.shown(slate, ledger.watched_by(8))

    assert (ledger.returned, ledger.feeds, ledger.degraded) == (1, 2, 2)
