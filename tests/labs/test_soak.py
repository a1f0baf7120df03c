"""Does a soak notice what grows, what slows down and what goes wrong?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from feature_repo.places import Run
from labs.bench.mixes import Sent
from labs.soak import MINUTES, Sample, Soak, plotted, soaked, weighed

SECONDS = 100.0


def a_soak(growth: float = 0.0, drift: float = 0.0, status: int = 200) -> Soak:
    """A hundred seconds, ten feeds each; memory and latency rise at the middle by these shares."""
    late = [at >= SECONDS / 2 for at in range(100)]
    samples = [Sample(float(at), 500.0 * (1 + growth * late[at]), 1.0) for at in range(100)]
    feeds = [
        Sent("feed", at + part / 10, 8.0 * (1 + drift * late[at]), 200, True)
        for at in range(100)
        for part in range(10)
    ]
    return Soak(SECONDS, [*feeds, Sent("events", 1.0, 3.0, status, status == 200)], samples)


def missed(found: Soak) -> list[str]:
    return [verdict.what.split(",")[0] for verdict in found.verdicts() if not verdict.met]


def test_a_server_that_stays_as_it_was_passes() -> None:
    assert missed(a_soak(growth=0.04, drift=0.19)) == []


def test_memory_that_grows_and_a_tail_that_drifts_are_noticed() -> None:
    assert missed(a_soak(growth=0.06)) == ["growth of memory after the warm-up"]
    assert missed(a_soak(drift=0.25)) == ["drift of p99 after the warm-up"]
    assert a_soak(growth=0.06).growth == pytest.approx(0.06)
    assert a_soak(drift=0.25).drift == pytest.approx(0.25)


def test_what_happens_during_the_warm_up_is_nobodys_fault() -> None:
    warm = [Sample(float(at), 900.0 if at < 15 else 500.0, 1.0) for at in range(100)]

    assert Soak(SECONDS, a_soak().sent, warm).growth == 0.0


def test_one_wrong_answer_is_an_error_and_one_turned_away_is_not() -> None:
    assert missed(a_soak(status=500)) == ["answers that were not the right ones"]
    assert missed(a_soak(status=0)) == ["answers that were not the right ones"]
    assert missed(a_soak(status=429)) == []


def test_our_own_process_can_be_weighed(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"x" * 2_000_000)

    found = weighed(os.getpid(), tmp_path / "journal.db", 3.0)

    assert 10 < found.rss_mb < 100_000
    assert (found.at_s, found.journal_mb) == (3.0, 2.0)


def test_minutes_are_told_and_plotted(tmp_path: Path) -> None:
    minutes = a_soak().minutes()

    assert [(minute, feeds.requests) for minute, feeds, _ in minutes] == [(0, 600), (1, 400)]
    assert plotted(a_soak(), tmp_path / "soak.png").stat().st_size > 1_000
    assert MINUTES == 30


@pytest.mark.slow
def test_a_few_seconds_of_the_mix_have_no_wrong_answer(trained: Run) -> None:
    found = soaked(trained, 4.0, rate=40.0)

    assert found.errors == 0
    assert {each.kind for each in found.sent} >= {"feed", "events", "explain", "wrong"}
    assert not trained.places.journal.exists()
