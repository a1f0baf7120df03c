"""Does a soak notice what grows, what slows down and what goes wrong?"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from feature_repo.places import Run
from labs.bench.ageing import Span, early_and_late
from labs.bench.bench_serving import people_of
from labs.bench.mixes import Sent, Talk
from labs.soak import MINUTES, Sample, Soak, Traffic, newcomer, plotted, soaked, weighed
from serving.cores import usable_cores

SECONDS = 100.0


def feeds(drift: float) -> list[Sent]:
    """Ten a second; from the middle on they take longer by this share."""
    times = [8.0 if at < SECONDS / 2 else 8.0 * (1 + drift) for at in range(100)]
    return [Sent("feed", at + part / 10, times[at], 200, True) for at in range(100) for part in range(10)]


def a_soak(growth: float = 0.0, drift: float = 0.0, status: int = 200, machine: float = 0.0) -> Soak:
    """A hundred seconds; memory, latency and the newcomers' latency rise at the middle by these shares."""
    samples = [Sample(float(at), 500.0 * (1 + growth * (at >= SECONDS / 2)), 1.0) for at in range(100)]
    events = Sent("events", 1.0, 3.0, status, status == 200)
    return Soak(SECONDS, [*feeds(drift), events], samples, feeds(machine))


def missed(found: Soak) -> list[str]:
    return [verdict.what.split(",")[0] for verdict in found.verdicts() if not verdict.met]


def test_a_server_that_stays_as_it_was_passes() -> None:
    assert missed(a_soak(growth=0.04, drift=0.19)) == []


def test_memory_that_grows_and_a_tail_that_drifts_are_noticed() -> None:
    assert missed(a_soak(growth=0.06)) == ["growth of memory after the warm-up"]
    assert missed(a_soak(drift=0.25)) == ["p99 beyond that of a server just started"]
    assert a_soak(growth=0.06).growth == pytest.approx(0.06)
    assert a_soak(drift=0.25).ageing.drift == pytest.approx(0.25)


def test_a_machine_that_slows_down_is_told_and_is_not_the_age_of_the_server() -> None:
    found = a_soak(drift=0.5, machine=0.5)

    assert missed(found) == []
    assert found.ageing.with_the_machine == pytest.approx(0.5)
    assert found.ageing.of_the_machine == pytest.approx(0.5)


def test_a_newcomer_that_warms_up_is_not_held_against_anybody() -> None:
    _, late = early_and_late(SECONDS)
    warming = [
        replace(each, ms=90.0) if each.at_s < late.after_warm_up().from_s else each for each in feeds(0.0)
    ]

    assert Soak(SECONDS, feeds(0.0), a_soak().samples, warming).ageing.late.value == pytest.approx(1.0)


def test_an_unasked_newcomer_meets_no_bar() -> None:
    assert missed(Soak(SECONDS, feeds(0.0), a_soak().samples)) == ["p99 beyond that of a server just started"]


def test_a_wrong_answer_of_a_newcomer_is_an_error() -> None:
    wrong = Sent("feed", 60.0, 3.0, 500, False)

    assert missed(Soak(SECONDS, feeds(0.0), a_soak().samples, [*feeds(0.0), wrong])) == [
        "answers that were not the right ones"
    ]


def test_what_happens_during_the_warm_up_is_nobodys_fault() -> None:
    warm = [Sample(float(at), 900.0 if at < 15 else 500.0, 1.0) for at in range(100)]

    assert Soak(SECONDS, feeds(0.0), warm).growth == 0.0


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

    assert [(each.minute, each.feeds.requests) for each in minutes] == [(0, 600), (1, 400)]
    assert plotted(a_soak(), tmp_path / "soak.png").stat().st_size > 1_000
    assert MINUTES == 30


@pytest.mark.slow
def test_a_few_seconds_of_the_mix_have_no_wrong_answer(trained: Run) -> None:
    found = soaked(trained, 4.0, rate=40.0)

    assert found.errors == 0
    assert {each.kind for each in found.sent} >= {"feed", "events", "explain", "wrong"}
    assert found.awake == len(usable_cores())
    assert not trained.places.journal.exists()


@pytest.mark.slow
def test_a_soak_has_a_newcomer_early_and_another_late(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(_traffic: Traffic, which: int, span: Span, *_: object) -> list[Sent]:
        return [Sent("feed", span.from_s, float(which), 200, True)]

    monkeypatch.setattr("labs.soak.newcomer", answered)
    early, late = early_and_late(1.0)

    assert [(each.at_s, each.ms) for each in soaked(trained, 1.0, rate=40.0).newcomers] == [
        (early.from_s, 1.0),
        (late.from_s, 2.0),
    ]


@pytest.mark.slow
def test_a_newcomer_is_asked_until_its_time_is_over(trained: Run) -> None:
    over, talks = threading.Event(), list[Talk]()

    class Noted(Traffic):
        def talks(self, port: int, which: int) -> list[Talk]:
            talks.extend(super().talks(port, which))
            return talks

    traffic = Noted(trained, people_of(trained, 20), 40.0)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(newcomer, traffic, 1, Span(0.0, 1e6), time.monotonic(), over)
        while sum(len(talk.sent) for talk in talks) < 20 and not asked.done():
            over.wait(0.05)
        over.set()

    assert len(asked.result()) >= 20
    assert all(each.is_right for each in asked.result())
    assert not trained.places.journal.exists()


@pytest.mark.slow
def test_a_soak_that_is_given_up_starts_no_newcomer(trained: Run) -> None:
    over = threading.Event()
    over.set()

    assert newcomer(Traffic(trained, [1], 40.0), 1, Span(1e6, 2e6), time.monotonic(), over) == []
