"""Does a log that was read ahead answer as the log itself, whatever happens to the log meanwhile?"""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_repo.events import KINDS
from feature_repo.facts import TOLD
from feature_repo.log import EventLog
from feature_repo.read_ahead import CLOCK, NAMELESS, ReadAhead, read_ahead
from feature_repo.schemas import BadLog
from tests.feature_repo.builders import a_story, at

BOUNDS = [
    (None, None, None),
    (None, None, at(days=2)),
    (None, None, at(days=99)),
    (at(days=1), at(days=3), None),
]


def read_to_the_end(folder: Path) -> ReadAhead:
    log = read_ahead(folder)
    for each in log.ahead.values():
        each.exception()
    return log


@pytest.mark.parametrize("bounds", BOUNDS)
def test_it_answers_as_the_log(tmp_path: Path, bounds: tuple[int | None, int | None, int | None]) -> None:
    log, ahead = a_story().log(tmp_path), read_to_the_end(tmp_path)

    for kind in KINDS:
        assert ahead.read(kind, *bounds).equals(log.read(kind, *bounds))
        for columns in (TOLD.get(kind, CLOCK), CLOCK):
            assert ahead.read(kind, *bounds, columns).equals(log.read(kind, *bounds, columns))
    assert all(ahead.shown(at(days=d)).equals(log.shown(at(days=d))) for d in range(12))
    assert ahead.all_known_us() == log.all_known_us()


def test_what_was_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_story().log(tmp_path)
    ahead = read_to_the_end(tmp_path)
    monkeypatch.delattr(EventLog, "scan")

    assert all(len(ahead.read(kind, columns=["event_time"])) for kind in NAMELESS)


def test_what_is_appended_meanwhile_is_known(tmp_path: Path) -> None:
    whole = a_story().frame("watched")
    log = EventLog(tmp_path)
    log.append("watched", whole.head(2), "first")
    ahead = read_to_the_end(tmp_path)

    log.append("watched", whole.tail(4), "second")

    assert ahead.read("watched", columns=["video_id"]).equals(log.read("watched", columns=["video_id"]))
    assert ahead.all_known_us() == log.all_known_us()


def test_a_log_of_nothing_is_empty(tmp_path: Path) -> None:
    ahead = read_to_the_end(tmp_path / "nowhere")

    assert ahead.is_empty()
    assert ahead.all_known_us() == 1
    assert all(not len(ahead.read(kind)) for kind in KINDS)


def test_a_file_that_cannot_be_read_is_refused_by_whoever_asks(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)
    log.parts("watched")[0].write_bytes(b"half a file")
    ahead = read_to_the_end(tmp_path)

    with pytest.raises(BadLog, match="is not a whole parquet file"):
        ahead.read("watched", columns=["video_id"])
