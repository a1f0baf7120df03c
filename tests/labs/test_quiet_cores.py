"""Is a request called quiet if, and only if, its core was at its best before it and after it?"""

from __future__ import annotations

import pytest

from labs.bench.quiet_cores import Core, staying_on, were_quiet
from serving.cores import usable_cores

NEEDS_TWO = pytest.mark.skipif(len(usable_cores()) < 2, reason="one core, or none that can be told apart")


def test_quiet_is_at_its_best_before_and_after() -> None:
    looks = [(0.20, 0.21), (0.20, 0.30), (0.31, 0.20), (0.30, 0.31), (0.23, 0.20)] * 20

    assert were_quiet(looks).tolist() == [True, False, False, False, True] * 20


def test_one_look_faster_than_the_core_can_be_makes_the_others_no_less_quiet() -> None:
    assert were_quiet([(0.02, 0.2), *[(0.2, 0.2)] * 99]).all()


def test_where_nobody_looked_nothing_is_quiet() -> None:
    assert were_quiet([]).tolist() == []


def test_a_core_that_is_always_shared_passes_for_quiet() -> None:
    """Which is to the disadvantage of what is measured on it."""
    assert were_quiet([(0.3, 0.31)] * 50).all()


def test_the_client_stays_away_from_the_server_where_it_can() -> None:
    assert Core.of({0}, {0, 1, 2}).elsewhere == {1, 2}
    assert Core.of({0}, {0}).elsewhere == {0}


@NEEDS_TWO
def test_the_work_is_done_on_the_core_and_whoever_did_it_is_elsewhere_after() -> None:
    home, *others = sorted(usable_cores())
    with staying_on(usable_cores()):
        assert Core.of({home}, usable_cores()).work_ms() > 0
        assert usable_cores() == set(others)
    assert usable_cores() >= {home, *others}
