"""What stands before the routes: names, safe headers, bounds, and refusal before latency collapses."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.testclient import TestClient

from feature_repo.places import Places
from serving.admins import TOKEN, admins_of
from serving.admissions import Width
from serving.app import Edge, create_app
from serving.guards import LONGEST_URL, Bounded, Message, Observed, Scope, Send
from serving.lanes import ADMIN, EVENTS, EXPLANATIONS, FEEDS, WIDTHS, Lanes
from serving.live import Live
from serving.log_lines import names_user
from serving.meters import Meters
from serving.traces import Traces
from tests.serving.builders import NOW_US, a_watch

SECRET = "correct-horse-battery"
BEARER = {"authorization": f"Bearer {SECRET}"}
CLOSED = Width(at_once=1, waiting=0, patience_s=0.0)


@dataclass
class Wire:
    """A connection in memory: what a client sends, and what it was answered."""

    chunks: list[bytes] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    hangs: bool = False

    async def receive(self) -> Message:
        if self.hangs and not self.chunks:
            await asyncio.Event().wait()
        body = self.chunks.pop(0) if self.chunks else b""
        return {"type": "http.request", "body": body, "more_body": bool(self.chunks) or self.hangs}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def problem(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.sent[1]["body"])
        return told


def a_scope(**more: Any) -> Scope:
    return {"type": "http", "method": "POST", "path": "/v1/feed", "headers": [], **more}


async def never(_: Scope, __: Any, ___: Any) -> None:
    raise AssertionError("the routes were reached.")


def asked(app: Any, wire: Wire, **scope: Any) -> Wire:
    asyncio.run(app(a_scope(**scope), wire.receive, wire.send))
    return wire


def opened(live: Live, places: Places, **edge: Any) -> TestClient:
    return TestClient(create_app(live, places, edge=Edge(**edge)), raise_server_exceptions=False)


def shut(*names: str) -> Lanes:
    """Lanes of which these have somebody in work who never leaves, and no room to wait."""
    lanes = Lanes({name: CLOSED if name in names else width for name, width in WIDTHS.items()})
    for name in names:
        lanes.by_name[name].arrive(0.0, lambda _: None)
    return lanes


def test_every_answer_has_safe_headers_whatever_it_says(client: TestClient) -> None:
    answers = [client.get(path) for path in ("/healthz", "/v1/explain/5", "/nothing", "/docs")]
    answers.append(client.post("/v1/feed", content="{"))

    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_only_the_pages_own_script_and_style_may_run(client: TestClient) -> None:
    policy = client.get("/docs").headers["content-security-policy"]

    assert policy.count("sha256-") == 2
    assert "unsafe-inline" not in policy
    assert client.get("/healthz").headers["content-security-policy"].startswith("default-src 'none'")


def test_a_request_keeps_its_senders_name_and_trace(client: TestClient) -> None:
    sent = {"x-request-id": "phone-7.1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}

    answer = client.get("/healthz", headers=sent)

    assert answer.headers["x-request-id"] == "phone-7.1"
    version, trace_id, span_id, _ = answer.headers["traceparent"].split("-")
    assert (version, trace_id) == ("00", "a" * 32)
    assert span_id != "b" * 16


@pytest.mark.parametrize("name", ["", "x" * 65, 'a"b', "a b"])
def test_a_name_that_could_spoil_a_log_is_replaced(client: TestClient, name: str) -> None:
    answer = client.get("/healthz", headers={"x-request-id": name})

    assert answer.headers["x-request-id"] == answer.headers["traceparent"].split("-")[1]


def test_what_nobody_thought_of_is_a_sentence_with_safe_headers_and_counted() -> None:
    async def breaks(_: Scope, __: Any, ___: Any) -> None:
        raise RuntimeError("a secret detail")

    meters = Meters()
    wire = asked(Observed(breaks, meters, Traces(), names_user("none", b"")), Wire())

    assert wire.status == 500
    assert wire.problem["problem"] == "the server failed: RuntimeError."
    assert (b"x-content-type-options", b"nosniff") in wire.sent[0]["headers"]
    assert b'fourplanes_requests_total{route="unknown",status="500"} 1.0' in meters.text()


def test_the_time_of_an_answer_ends_with_its_last_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("serving.guards.time.perf_counter", lambda: now_s[0])

    async def counts_afterwards(_: Scope, __: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        now_s[0] += 0.007
        await send({"type": "http.response.body", "body": b"{}"})
        now_s[0] += 100.0

    meters = Meters()
    asked(Observed(counts_afterwards, meters, Traces(), names_user("none", b"")), Wire())

    assert b'fourplanes_stage_ms_sum{stage="http unknown"} 7.0' in meters.text()


def test_a_body_that_does_not_come_is_given_up() -> None:
    wire = asked(Bounded(never, within_s=0.0), Wire([b'{"user'], hangs=True))

    assert (wire.status, wire.problem["field"]) == (408, "body")


def test_no_more_bodies_are_received_than_we_can_hold() -> None:
    wire = asked(Bounded(never, most_reading=0), Wire([b"{}"]))

    assert wire.status == 429
    assert (b"retry-after", b"1") in wire.sent[0]["headers"]


def test_an_address_too_long_is_refused(client: TestClient) -> None:
    answer = client.get(f"/healthz?q={'x' * LONGEST_URL}")

    assert (answer.status_code, answer.json()["field"]) == (414, "path")


def test_a_full_lane_answers_429_with_when_to_come_again(live: Live, places: Places) -> None:
    with opened(live, places, lanes=shut(FEEDS)) as client:
        answer = client.post("/v1/feed", json={"user_id": 3})
        page = client.get("/metrics").text

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["problem"] == "too many feeds at once."
    assert 'fourplanes_shed_total{lane="feeds"} 1.0' in page
    assert 'fourplanes_requests_total{route="/v1/feed",status="429"} 1.0' in page


def test_when_feeds_are_shed_events_are_still_stored(live: Live, places: Places) -> None:
    with opened(live, places, lanes=shut(FEEDS)) as client:
        answer = client.post("/v1/events", json={"events": [a_watch(3, 30, NOW_US)]})

    assert answer.json() == {"stored": 1, "repeated": 0}


def test_probes_and_metrics_are_never_shed(live: Live, places: Places) -> None:
    with opened(live, places, lanes=shut(FEEDS, EVENTS, EXPLANATIONS, ADMIN)) as client:
        found = [client.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")]

    assert found == [200, 200, 200]


def test_the_time_of_a_refusal_says_nothing_of_those_let_in(live: Live, places: Places) -> None:
    with opened(live, places, lanes=shut(FEEDS)) as client:
        client.post("/v1/feed", json={"user_id": 3})

    assert "http /v1/feed" not in live.meters.figures()["ms"]  # type: ignore[operator]


ADMIN_ROUTES = [("GET", "/admin/health"), ("GET", "/admin/promotions"), ("POST", "/admin/rollback")]


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
def test_without_a_token_admin_routes_are_closed_to_everybody(
    client: TestClient, method: str, path: str
) -> None:
    assert client.request(method, path, headers=BEARER).status_code == 403


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
@pytest.mark.parametrize("given", [{}, {"authorization": "Bearer wrong"}, {"authorization": SECRET}])
def test_with_a_token_only_who_knows_it_comes_in(
    live: Live, places: Places, method: str, path: str, given: dict[str, str]
) -> None:
    with opened(live, places, admins=admins_of({TOKEN: SECRET})) as client:
        answer = client.request(method, path, headers=given)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert SECRET not in answer.text


def test_an_admin_sees_the_health_and_every_move(live: Live, places: Places) -> None:
    with opened(live, places, admins=admins_of({TOKEN: SECRET})) as client:
        health = client.get("/admin/health", headers=BEARER).json()
        moves = client.get("/admin/promotions", headers=BEARER).json()["moves"]

    assert health["ready"] is True
    assert moves[-1]["to"] == 1


def test_an_admin_is_told_when_there_is_nothing_to_roll_back_to(live: Live, places: Places) -> None:
    with opened(live, places, admins=admins_of({TOKEN: SECRET})) as client:
        answer = client.post("/admin/rollback", headers=BEARER)

    assert answer.status_code == 409
    assert "Nothing to roll back to" in answer.json()["problem"]


def test_where_there_is_an_admin_explanations_are_theirs(live: Live, places: Places) -> None:
    with opened(live, places, admins=admins_of({TOKEN: SECRET})) as client:
        request_id = client.post("/v1/feed", json={"user_id": 3}).json()["request_id"]
        found = [client.get(f"/v1/explain/{request_id}", headers=h).status_code for h in ({}, BEARER)]

    assert found == [401, 200]
