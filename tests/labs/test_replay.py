"""`make replay`: 0 for the bytes that were sent, 1 where they differ, 2 where there is nothing to go by."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from feature_repo.clock import HOUR_US
from feature_repo.journal import frame_of
from feature_repo.log import EventLog
from feature_repo.places import Places
from feature_repo.reports import read_report
from labs.replay import main
from tests.serving.builders import NOW_US, a_watch
from tests.serving.served_days import Day, a_day, a_run

Asks = Callable[..., int]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return a_day(a_run(tmp_path_factory.mktemp("replay")), requests=5)


@pytest.fixture
def places(day: Day, tmp_path: Path) -> Places:
    """A copy of the day's run for this test alone."""
    shutil.copytree(day.places.root, tmp_path / day.places.root.name)
    return Places(tmp_path / day.places.root.name)


@pytest.fixture
def asks(places: Places, monkeypatch: pytest.MonkeyPatch) -> Asks:
    """The command over that run."""
    for name, value in {"VAR": str(places.root.parent), "SCALE": "tiny", "LOGS": "simulated"}.items():
        monkeypatch.setenv(name, value)
    return lambda *argv: main([str(each) for each in argv])


def test_the_newest_request_is_replayed_unless_one_is_named(
    asks: Asks, day: Day, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asks("--body") == 0

    printed = capsys.readouterr().out
    assert f"request {max(day.sent)}" in printed
    assert "equal in sha256" in printed
    assert day.sent[max(day.sent)].decode() in printed
    assert read_report(places, "replay")["figures"]["equal"]


def test_the_journey_is_printed_and_reported_with_every_feature(
    asks: Asks, day: Day, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    longest = max(day.sent, key=lambda request_id: len(day.sent[request_id]))

    assert asks(longest, "--explain") == 0

    printed = capsys.readouterr().out
    slate = read_report(places, "replay")["figures"]["journey"]["slate"]
    sent = json.loads(day.sent[longest])["items"]
    assert all(word in printed for word in ("two_tower", "distinct", "video_stats", "predictions"))
    assert [item["video_id"] for item in slate] == [item["video_id"] for item in sent]
    assert len(slate[0]["features"]) > 50


def test_a_log_that_was_added_to_gives_another_response_and_says_where(
    asks: Asks, day: Day, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    late = [{**a_watch(user, 59, NOW_US - HOUR_US), "known_time_us": NOW_US - HOUR_US} for user in range(30)]
    EventLog(places.log).append("watched", frame_of("watched", late), "late")

    assert asks(max(day.sent, key=lambda request_id: len(day.sent[request_id]))) == 1

    assert "DIFFERS: items." in capsys.readouterr().out


def test_a_request_not_on_record_is_refused_with_a_reason(
    asks: Asks, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asks(5) == 2

    assert "request 5 is neither in" in capsys.readouterr().err
