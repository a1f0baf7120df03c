"""The world clock: where it starts, how fast it runs, and that it never goes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_repo.places import BadSetting
from serving.clocks import SharedClock, WorldClock
from tests.serving.builders import NOW_US, ManualTime


@pytest.mark.parametrize("speed", [1.0, 60.0, 3600.0])
def test_the_world_goes_on_from_its_start_at_the_speed_asked_for(speed: float) -> None:
    time = ManualTime()
    time.pass_us(123)
    clock = WorldClock(NOW_US, time, speed)

    time.pass_us(1_000_000)

    assert clock() == NOW_US + speed * 1_000_000


def test_a_log_that_appeared_meanwhile_moves_it_forward_and_never_back() -> None:
    time = ManualTime()
    clock = WorldClock(NOW_US, time, 60)

    clock.advance_to(NOW_US + 10**9)
    clock.advance_to(NOW_US)
    time.pass_us(1)

    assert clock() == NOW_US + 10**9 + 60


@pytest.mark.parametrize("speed", [0.0, 0.9, 3600.1, float("nan")])
def test_another_speed_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="must be 1 to 3600"):
        WorldClock(NOW_US, ManualTime(), speed)


def test_servers_that_run_together_keep_one_time(tmp_path: Path) -> None:
    first = SharedClock(tmp_path, NOW_US)
    second = SharedClock(tmp_path, NOW_US - 5_000_000)

    before, between, after = first(), second(), first()

    assert before <= between <= after


def test_whoever_comes_after_all_have_stopped_starts_anew(tmp_path: Path) -> None:
    SharedClock(tmp_path, NOW_US + 10**12).close()

    assert SharedClock(tmp_path, NOW_US)() < NOW_US + 10**12


def test_two_speeds_on_one_run_are_refused(tmp_path: Path) -> None:
    running = SharedClock(tmp_path, NOW_US, speed=60)

    with pytest.raises(BadSetting, match="SPEED is 1, must be 60"):
        SharedClock(tmp_path, NOW_US)
    running.close()
