"""The server over HTTP: what it answers, and how it refuses what it should."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from feature_repo.journal import Journal, frame_of
from feature_repo.places import Places
from serving import app, registry
from serving.app import _survived, create_app, rests_until_s
from serving.guards import LARGEST_BODY
from serving.live import Live
from serving.wire import MOST_EVENTS
from tests.serving.builders import NOW_US, a_live, a_watch

JSON = {"content-type": "application/json"}


def a_batch(*events: dict[str, Any]) -> dict[str, Any]:
    return {"events": list(events)}


def ok(reply: Any) -> Any:
    assert reply.status_code == 200, reply.text
    return reply.json()


def refused(reply: Any, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    told: dict[str, Any] = reply.json()
    assert told["problem"]
    return told


def feed(client: TestClient, **asked: Any) -> Any:
    return client.post("/v1/feed", json={"user_id": 3, **asked})


def stored_events(places: Places) -> list[str]:
    return [entry.event["kind"] for entry in Journal(places.journal).events()]


def test_a_slate_names_its_request_release_and_every_item(client: TestClient) -> None:
    slate = ok(feed(client, limit=4))

    assert [item["position"] for item in slate["items"]] == [0, 1, 2, 3]
    assert slate["release_id"].startswith("r-")
    assert all(0 < item["propensity"] <= 1 for item in slate["items"])
    assert [item["impression_id"] - 64 * slate["request_id"] for item in slate["items"]] == [0, 1, 2, 3]


def test_a_watched_video_does_not_come_back(client: TestClient) -> None:
    slate = ok(feed(client, limit=50, explore=False))
    first = slate["items"][0]
    event = a_watch(3, first["video_id"], slate["served_at_us"], impression_id=first["impression_id"])

    assert ok(client.post("/v1/events", json=a_batch(event))) == {"stored": 1, "repeated": 0}

    assert first["video_id"] not in [item["video_id"] for item in ok(feed(client, limit=50))["items"]]


def test_a_stranger_gets_a_cold_start_slate(client: TestClient) -> None:
    slate = ok(feed(client, user_id=2**53 - 1))

    assert slate["cold_start"]
    assert len(slate["items"]) == 10


def test_without_exploration_the_slate_is_certain(client: TestClient) -> None:
    slates = [ok(feed(client, explore=False)) for _ in range(2)]

    assert [item["video_id"] for item in slates[0]["items"]] == [
        item["video_id"] for item in slates[1]["items"]
    ]
    assert {item["propensity"] for item in slates[0]["items"]} == {1.0}


def test_an_explanation_accounts_for_every_candidate(client: TestClient) -> None:
    slate = ok(feed(client, limit=3))

    told = ok(client.get(f"/v1/explain/{slate['request_id']}"))

    removed = sum(by["count"] for by in told["removed"].values())
    assert told["distinct"] == removed + len(told["scored"])
    assert sum(told["found"].values()) >= told["distinct"]
    chosen = {item["position"]: item["video_id"] for item in told["scored"] if item["position"] is not None}
    assert [chosen[place] for place in range(3)] == [item["video_id"] for item in slate["items"]]
    assert all(item["found_by"] for item in told["scored"])
    assert "journal" in told["ms"]


def test_an_unknown_request_is_not_explained_and_says_why(client: TestClient) -> None:
    told = refused(client.get("/v1/explain/5"), 404)

    assert "was not served by this server" in told["problem"]


def test_an_event_of_a_stranger_is_accepted(client: TestClient) -> None:
    assert ok(client.post("/v1/events", json=a_batch(a_watch(99_999, 5, NOW_US))))["stored"] == 1


def test_the_same_event_is_stored_once_and_another_body_is_a_conflict(
    client: TestClient, places: Places
) -> None:
    event = a_watch(3, 30, NOW_US)
    ok(client.post("/v1/events", json=a_batch(event)))

    assert ok(client.post("/v1/events", json=a_batch(event))) == {"stored": 0, "repeated": 1}
    told = refused(client.post("/v1/events", json=a_batch({**event, "watched_ms": 1})), 409)
    assert "w-3-30" in told["problem"]
    assert stored_events(places) == ["watched"]


def test_every_kind_of_event_is_stored(client: TestClient, places: Places) -> None:
    like = {**a_watch(3, 30, NOW_US), "kind": "reacted", "event_id": "like", "reaction": "like"}
    del like["watched_ms"]
    follow = {"kind": "followed", "event_id": "f", "event_time_us": NOW_US, "user_id": 3, "creator_id": 101}
    asked = {**like, "kind": "surveyed", "event_id": "asked", "answer": 5}
    del asked["reaction"]

    ok(client.post("/v1/events", json=a_batch(a_watch(3, 30, NOW_US), like, follow, asked)))

    assert stored_events(places) == ["watched", "reacted", "followed", "surveyed"]


@pytest.mark.parametrize("answer", [{}, {"answer": None}])
def test_a_survey_that_was_not_answered_is_stored_as_null(
    client: TestClient, places: Places, answer: dict[str, None]
) -> None:
    asked = {**a_watch(3, 30, NOW_US), "kind": "surveyed", **answer}
    del asked["watched_ms"]

    ok(client.post("/v1/events", json=a_batch(asked)))

    stored = Journal(places.journal).events()[0].event
    assert frame_of("surveyed", [stored])["answer"].to_list() == [None]


@pytest.mark.parametrize("answer", [0, 6, True, "5"])
def test_an_answer_that_is_none_of_one_to_five_is_refused(client: TestClient, answer: object) -> None:
    asked = {**a_watch(3, 30, NOW_US), "kind": "surveyed", "answer": answer}
    del asked["watched_ms"]

    assert refused(client.post("/v1/events", json=a_batch(asked)), 422)["field"] == "events.0.answer"


@pytest.mark.parametrize("route", ["/healthz", "/readyz"])
def test_probes_tell_the_clock_and_its_speed(client: TestClient, route: str) -> None:
    told = ok(client.get(route))

    assert told["now_us"] >= NOW_US
    assert told["clock_speed"] == 1.0


BAD_FIELDS = [
    ("video_id", 999, "must be a video that was uploaded"),
    ("video_id", "5", "must be an integer"),
    ("video_id", True, "must be an integer"),
    ("video_id", 2**53, "less than or equal to 9007199254740991"),
    ("user_id", -1, "greater than or equal to 0"),
    ("user_id", 1.5, "valid integer"),
    ("watched_ms", False, "must be an integer"),
    ("watched_ms", None, "valid integer"),
    ("watched_ms", 10**9, "less than or equal to 86400000"),
    ("event_time_us", NOW_US + 10**12, "must not lie more than 5 minutes after the server's now"),
    ("event_id", "served/1", "match pattern"),
    ("event_id", "x" * 65, "match pattern"),
    ("duration_ms", 0, "greater than or equal to 1"),
    ("colour", "red", "not permitted"),
]


@pytest.mark.parametrize(("field", "value", "rule"), BAD_FIELDS)
def test_a_bad_event_names_the_field_and_the_rule_and_stores_nothing_of_its_batch(
    client: TestClient, places: Places, field: str, value: object, rule: str
) -> None:
    good, bad = a_watch(3, 30, NOW_US), {**a_watch(3, 31, NOW_US), field: value}

    told = refused(client.post("/v1/events", json=a_batch(good, bad)), 422)

    assert told["field"] == f"events.1.{field}"
    assert rule in told["rule"]
    assert stored_events(places) == []


def test_a_follow_of_a_creator_who_never_uploaded_is_refused(client: TestClient) -> None:
    follow = {"kind": "followed", "event_id": "f", "event_time_us": NOW_US, "user_id": 3, "creator_id": 9}

    assert refused(client.post("/v1/events", json=a_batch(follow)), 422)["field"] == "events.0.creator_id"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"user_id": True}, "user_id"),
        ({"user_id": "7"}, "user_id"),
        ({"user_id": -1}, "user_id"),
        ({"user_id": 2**53}, "user_id"),
        ({"limit": 0}, "limit"),
        ({"limit": 51}, "limit"),
        ({"limit": None}, "limit"),
        ({"surface": 16}, "surface"),
        ({"explore": 1}, "explore"),
        ({"debug": True}, "debug"),
    ],
)
def test_a_bad_request_for_a_feed_names_its_field(
    client: TestClient, asked: dict[str, Any], field: str
) -> None:
    assert refused(feed(client, **asked), 422)["field"] == field


def test_whole_numbers_may_be_written_with_a_point(client: TestClient) -> None:
    ok(client.post("/v1/feed", content='{"user_id": 3.0}', headers=JSON))


@pytest.mark.parametrize("body", ["{", "", "nope", '{"user_id": 7,}', b"\xff\xfe"])
def test_a_body_that_is_no_json_is_refused(client: TestClient, body: str | bytes) -> None:
    reply = client.post("/v1/feed", content=body, headers=JSON)

    assert reply.status_code in (400, 422)
    assert "body" in reply.json()["problem"]


def test_a_body_not_announced_as_json_is_refused_with_the_header_to_send(client: TestClient) -> None:
    told = refused(client.post("/v1/feed", content='{"user_id": 7}'), 422)

    assert told["remedy"] == "Send the header content-type: application/json."


def test_a_batch_too_long_or_empty_is_refused(client: TestClient) -> None:
    long = [a_watch(3, 30, NOW_US, event_id=f"e{n}") for n in range(MOST_EVENTS + 1)]

    for events in (long, []):
        assert refused(client.post("/v1/events", json=a_batch(*events)), 422)["field"] == "events"


def test_a_body_too_large_is_refused_announced_or_not(client: TestClient) -> None:
    def chunks() -> Any:
        yield from (b"x" * 65_536 for _ in range(LARGEST_BODY // 65_536 + 1))

    for content in (b"x" * (LARGEST_BODY + 1), chunks()):
        assert refused(client.post("/v1/events", content=content, headers=JSON), 413)["field"] == "body"


def test_before_the_first_release_the_server_is_alive_but_not_ready(tmp_path: Path) -> None:
    places = Places(tmp_path / "run")
    with TestClient(create_app(a_live(places), places)) as client:
        assert ok(client.get("/healthz"))["ready"] is False
        for reply in (client.get("/readyz"), feed(client)):
            assert "make train" in refused(reply, 503)["problem"]


def test_a_ready_server_names_its_release(client: TestClient) -> None:
    assert ok(client.get("/readyz"))["version"] == 1


def test_a_refused_release_is_visible_while_the_old_one_serves(
    client: TestClient, places: Places, live: Live, break_release: Callable[[int], str]
) -> None:
    break_release(2)
    registry.set_champion(places, 2)
    live.champion.follow()

    told = ok(client.get("/readyz"))

    assert told["version"] == 1
    assert "its manifest promises" in told["refused_release"]
    assert "fourplanes_releases_refused 1.0" in client.get("/metrics").text


def test_metrics_tell_routes_stages_and_the_release(client: TestClient) -> None:
    ok(feed(client))

    page = client.get("/metrics").text

    assert 'fourplanes_requests_total{route="/v1/feed",status="200"} 1.0' in page
    assert 'fourplanes_stage_ms_count{stage="predictions"} 1.0' in page
    assert 'fourplanes_release{release_id="r-' in page
    assert "fourplanes_mirror_age_seconds" in page


def test_metrics_tell_how_many_rows_the_journal_has(client: TestClient) -> None:
    """A slate is one row, and so is each event."""
    ok(feed(client))
    ok(client.post("/v1/events", json=a_batch(a_watch(3, 30, NOW_US), a_watch(3, 31, NOW_US))))

    assert "fourplanes_journal_events 3.0" in client.get("/metrics").text


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs").text

    assert "openapi.json" in page
    assert "://" not in page
    assert set(ok(client.get("/openapi.json"))["paths"]) == {
        "/v1/feed",
        "/v1/events",
        "/v1/explain/{request_id}",
        "/healthz",
        "/readyz",
        "/metrics",
        "/admin/health",
        "/admin/promotions",
        "/admin/rollback",
    }


def test_a_stopped_server_leaves_its_health(live: Live, places: Places) -> None:
    with TestClient(create_app(live, places)) as client:
        ok(feed(client))

    health = json.loads((places.server / "health.json").read_text())
    assert health["feeds"] == 1
    assert health["ms"]["predictions"]["n"] == 1


def test_a_step_that_fails_does_not_stop_following() -> None:
    def fails() -> bool:
        raise OSError("the disk is full")

    assert _survived(fails) is False
    assert _survived(lambda: True) is True


def test_the_videos_features_are_renewed_again_and_again(
    live: Live, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed, thrice, freshen = [0], threading.Event(), live.freshen

    def counted() -> None:
        freshen()
        renewed[0] += 1
        if renewed[0] == 3:
            thrice.set()

    monkeypatch.setattr(live, "freshen", counted)
    monkeypatch.setattr(app, "FOLLOW_EVERY_S", 0.001)
    with TestClient(create_app(live, places)):
        assert thrice.wait(timeout=60)


def test_the_online_store_is_written_while_renewing_rests(
    live: Live, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, freshened = threading.Event(), list[None]()
    monkeypatch.setattr(live, "write", written.set)
    monkeypatch.setattr(live, "freshen", lambda: freshened.append(None))
    monkeypatch.setattr(app, "rests_until_s", lambda _began_s, _ended_s: math.inf)
    monkeypatch.setattr(app, "FOLLOW_EVERY_S", 0.001)

    with TestClient(create_app(live, places)):
        assert written.wait(timeout=60)

    assert len(freshened) == 1


def test_a_server_that_stops_writes_the_online_store_once_more(
    live: Live, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = list[None](), live.write
    monkeypatch.setattr(live, "write", lambda: written.append(write()))
    monkeypatch.setattr(app, "FOLLOW_EVERY_S", 3600.0)

    with TestClient(create_app(live, places)) as client:
        ok(client.post("/v1/events", json=a_batch(a_watch(3, 30, NOW_US))))
        assert written == []

    assert written == [None]


def test_renewing_takes_a_tenth_of_the_time_at_most() -> None:
    assert rests_until_s(100.0, 100.08) == pytest.approx(100.8)


def test_a_taken_port_is_said_so_with_the_command_to_run() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = subprocess.run(
            [sys.executable, "-m", "serving", "--port", str(port)],
            capture_output=True,
            text=True,
            check=False,
        )

    assert found.returncode == 1
    assert f"make serve PORT={port + 1}" in found.stderr


def test_a_server_without_a_release_says_what_to_do_and_ctrl_c_stops_it_cleanly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "serving", "--port", "0"]
    started = {**os.environ, "VAR": str(tmp_path), "SCALE": "tiny"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=started
    ) as server:
        assert server.stdout is not None
        said = [server.stdout.readline() for _ in range(2)]
        server.send_signal(signal.SIGINT)
        rest, trouble = server.communicate(timeout=30)

    assert "http://127.0.0.1:" in said[0]
    assert "make train" in said[1]
    assert (server.returncode, rest, trouble) == (0, "stopped\n", "")


def test_a_body_no_parser_gets_through_names_the_body_and_the_rule(client: TestClient) -> None:
    json_header = {"content-type": "application/json"}
    for body in (b"[" * 100_000, b'{"user_id": "\xff"}', b'{"user_id": 1' + b"0" * 5_000 + b"}"):
        told = refused(client.post("/v1/feed", content=body, headers=json_header), 400)

        assert told["field"] == "body"
        assert "must be JSON in UTF-8" in told["rule"]
