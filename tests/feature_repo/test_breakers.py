"""A circuit breaker under a clock that is moved by hand."""

from __future__ import annotations

import pytest

from feature_repo.breakers import Breaker, Resting


class Told:
    """A clock in seconds, and a store that fails or is slow when told to."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.takes_s = 0.0
        self.fails = False
        self.called = 0

    def __call__(self) -> float:
        return self.now_s

    def read(self) -> str:
        self.called += 1
        self.now_s += self.takes_s
        if self.fails:
            raise OSError("gone")
        return "row"


def a_breaker(told: Told) -> Breaker:
    return Breaker("store", budget_ms=50, failures=3, rest_s=1.0, monotonic=told)


def failed(breaker: Breaker, told: Told, times: int) -> None:
    told.fails = True
    for _ in range(times):
        with pytest.raises(OSError, match="gone"):
            breaker.call(told.read)


def test_what_works_is_called_every_time() -> None:
    told = Told()
    breaker = a_breaker(told)

    assert [breaker.call(told.read) for _ in range(5)] == ["row"] * 5
    assert (told.called, breaker.opened) == (5, 0)


def test_what_failed_three_times_in_a_row_is_not_called_while_it_rests() -> None:
    told = Told()
    breaker = a_breaker(told)
    failed(breaker, told, 3)

    with pytest.raises(Resting, match="store failed 3 times"):
        breaker.call(told.read)

    assert (told.called, breaker.opened, breaker.is_open) == (3, 1, True)


def test_two_failures_and_a_success_are_forgotten() -> None:
    told = Told()
    breaker = a_breaker(told)
    failed(breaker, told, 2)
    told.fails = False
    breaker.call(told.read)
    failed(breaker, told, 2)

    assert not breaker.is_open


def test_answers_that_come_too_late_are_used_and_count_as_failures() -> None:
    told = Told()
    told.takes_s = 0.051
    breaker = a_breaker(told)

    assert [breaker.call(told.read) for _ in range(3)] == ["row"] * 3
    assert breaker.is_open


def test_after_its_rest_one_call_tries_and_the_others_go_on_without() -> None:
    told = Told()
    breaker = a_breaker(told)
    failed(breaker, told, 3)
    told.now_s += 1.0

    def tries() -> str:
        with pytest.raises(Resting):
            breaker.call(told.read)
        return "row"

    assert breaker.call(tries) == "row"


def test_one_success_after_the_rest_and_everybody_calls_again() -> None:
    told = Told()
    breaker = a_breaker(told)
    failed(breaker, told, 3)
    told.now_s, told.fails = 1.0, False

    assert [breaker.call(told.read) for _ in range(3)] == ["row"] * 3
    assert not breaker.is_open


def test_a_failed_try_begins_another_rest() -> None:
    told = Told()
    breaker = a_breaker(told)
    failed(breaker, told, 3)
    told.now_s += 1.0
    failed(breaker, told, 1)

    with pytest.raises(Resting):
        breaker.call(told.read)
    assert breaker.opened == 1


def test_every_try_that_fails_doubles_the_rest_up_to_a_bound() -> None:
    told = Told()
    breaker = a_breaker(told)
    failed(breaker, told, 3)

    for rest_s in (1.0, 2.0, 4.0, 4.0):
        told.now_s += rest_s - 0.01
        with pytest.raises(Resting):
            breaker.call(told.read)
        told.now_s += 0.01
        failed(breaker, told, 1)


def test_a_call_with_more_to_do_may_take_longer() -> None:
    told = Told()
    told.takes_s = 0.051
    breaker = a_breaker(told)

    assert [breaker.call(told.read, more_ms=2.0) for _ in range(5)] == ["row"] * 5
    assert not breaker.is_open


def test_what_its_caller_did_wrong_is_not_held_against_it() -> None:
    told = Told()
    breaker = Breaker("store", 50, ours=(OSError,), monotonic=told)
    failed(breaker, told, 5)

    assert not breaker.is_open


def test_who_is_sent_away_is_told_the_last_failure() -> None:
    told = Told()
    breaker = a_breaker(told)
    failed(breaker, told, 3)

    with pytest.raises(Resting) as sent_away:
        breaker.call(told.read)
    assert str(sent_away.value.__cause__) == "gone"
