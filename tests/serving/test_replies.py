"""One encoder: what it writes is what the wire promises, and its hash is in the log before it is sent."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from feature_repo.journal import Journal
from feature_repo.places import Places
from serving.live import Live
from serving.records import sha256_of
from serving.replies import encoded, feed_response
from serving.wire import FeedResponse
from tests.serving.builders import Says, Scores, a_feed, a_query


def test_the_bytes_are_the_response_the_wire_describes_field_by_field(live: Live) -> None:
    answer = live.feed(3, limit=4)

    told = FeedResponse.model_validate_json(answer.body, strict=True)
    assert told == feed_response(answer)
    assert json.loads(told.model_dump_json()) == json.loads(answer.body)
    assert list(json.loads(answer.body)) == list(FeedResponse.model_fields)


def test_an_unknown_value_is_null() -> None:
    unknown = [Says(name, lambda ids: np.full(len(ids), -1)) for name in ("creator_id", "topic")]
    nothing = Says("worth", lambda ids: np.full(len(ids), np.nan))
    feed = a_feed(hydrators=[*unknown, nothing], scorers=[Scores("worth")])

    body = encoded(feed.rank(a_query(), np.random.default_rng(0)), "r-1", True)

    assert [item["value"] for item in json.loads(body)["items"]] == [None, None]


def test_the_hash_in_the_log_is_that_of_what_the_route_sent(client: TestClient, places: Places) -> None:
    sent = [client.post("/v1/feed", json={"user_id": 3, "limit": limit}).content for limit in (1, 7)]

    kept = [entry.event for entry in Journal(places.journal).events() if entry.event["kind"] == "requested"]
    assert [event["response_sha256"] for event in kept] == [sha256_of(body) for body in sent]
    assert [event["limit"] for event in kept] == [1, 7]


def test_an_answer_after_one_more_stage_has_its_time_and_the_same_body(live: Live) -> None:
    answer = live.feed(3, limit=2)

    later = answer.after("posted", 1.5)

    assert later.body is answer.body
    assert later.funnel.ms == {**answer.funnel.ms, "posted": 1.5}


def test_a_slate_over_http_is_counted_with_all_its_stages(client: TestClient, live: Live) -> None:
    before: dict[str, Any] = live.meters.figures()

    client.post("/v1/feed", json={"user_id": 3})

    after: dict[str, Any] = live.meters.figures()
    assert after["feeds"] == before["feeds"] + 1
    assert "journal" in after["ms"]
