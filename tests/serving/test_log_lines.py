"""The log: one JSON object a line, people under a keyed hash, the same trouble told seldom."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from serving.log_lines import JsonLines, NamesUser, Seldom, Telling, names_user, requests, tell_request

KEY = b"0" * 32


class Kept(logging.Handler):
    """Keeps what it is told, as the lines a file would have."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, level = Kept(), requests.level
    requests.addHandler(handler)
    requests.setLevel(logging.INFO)
    yield handler
    requests.setLevel(level)
    requests.removeHandler(handler)


def a_line(kept: Kept, name: NamesUser, **told: object) -> dict[str, object]:
    telling = Telling("id-1", "a" * 32, "b" * 16, user_id=7)
    for field, value in told.items():
        setattr(telling, field, value)
    tell_request(telling, "/v1/feed", 200, 3.14159, name)
    found: dict[str, object] = json.loads(kept.lines[-1])
    return found


def test_a_line_says_route_status_time_and_ids(kept: Kept) -> None:
    line = a_line(kept, names_user("hash", KEY), request_id=5, degraded=("source:two_tower",))

    assert (line["route"], line["status"], line["ms"]) == ("/v1/feed", 200, 3.142)
    assert (line["id"], line["trace_id"], line["request_id"]) == ("id-1", "a" * 32, 5)
    assert line["degraded"] == ["source:two_tower"]
    assert "shed" not in line


def test_people_are_hashed_under_the_key(kept: Kept) -> None:
    first, again, other = (a_line(kept, names_user("hash", key))["user"] for key in (KEY, KEY, b"1" * 32))

    assert first == again != other
    assert len(str(first)) == 16


def test_people_are_named_or_left_out_if_asked(kept: Kept) -> None:
    assert a_line(kept, names_user("raw", b""))["user"] == 7
    assert a_line(kept, names_user("none", b""))["user"] is None


def test_another_way_to_name_people_is_refused() -> None:
    with pytest.raises(ValueError, match="LOG_USERS is 'plain', must be one of hash, raw, none"):
        names_user("plain", b"")


def trouble() -> logging.LogRecord:
    try:
        raise OSError("gone")
    except OSError:
        return logging.LogRecord("serving.feed", logging.ERROR, "", 0, "%s failed", ("it",), sys.exc_info())


def test_a_line_break_in_a_message_is_still_one_line() -> None:
    line = JsonLines().format(trouble())

    assert "\n" not in line
    assert json.loads(line)["message"] == "it failed"
    assert "OSError: gone" in json.loads(line)["trouble"]


def test_the_same_trouble_is_told_once_and_then_counted() -> None:
    now_s = [0.0]
    seldom = Seldom(10.0, lambda: now_s[0])

    told = [seldom.filter(trouble()) for _ in range(4)]
    now_s[0] = 10.0
    last = trouble()

    assert told == [True, False, False, False]
    assert seldom.filter(last)
    assert json.loads(JsonLines().format(last))["silent_since"] == 3


def test_lines_without_trouble_are_never_held_back() -> None:
    seldom, line = Seldom(), logging.LogRecord("a", logging.INFO, "", 0, "answered", (), None)

    assert [seldom.filter(line) for _ in range(3)] == [True] * 3
