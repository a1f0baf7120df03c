"""Does the hostile drill find what a page does not promise, and nothing in ours?"""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from feature_repo.places import Run
from labs.bench.hostile_requests import FEED, Hostile, requests
from labs.bench.pages import Findings, Page
from labs.drill_hostile import Plan, drilled, each_of, of_the_page, rounds


class Told(BaseModel):
    count: int


def a_page(status: int = 200, body: Any = None) -> Page:
    """An application of one route, which promises 200 and a count and answers this."""
    app = FastAPI()

    def count(of: int) -> Any:
        return JSONResponse({"count": of} if body is None else body, status)

    app.add_api_route(FEED, count, methods=["POST"], response_model=Told)
    return Page.of(app)


def asked(page: Page) -> Findings:
    """What comes of twenty requests by the page."""
    findings = Findings()
    operation = page.operations["POST", FEED]
    of_the_page(operation, wrong=False, cases=20, findings=findings).ask(20, 1)
    return findings


def test_a_page_that_keeps_its_promises_is_found_to() -> None:
    findings = asked(a_page())

    assert findings.cases == 20
    assert (findings.broken, findings.server_errors, findings.undocumented) == ({}, 0, 0)


@pytest.mark.parametrize(
    ("status", "body", "errors", "undocumented"),
    [(500, None, 20, 0), (418, None, 0, 20), (200, {"sum": 1}, 0, 20)],
)
def test_a_promise_that_is_broken_is_counted_and_shown_once(
    status: int, body: Any, errors: int, undocumented: int
) -> None:
    findings = asked(a_page(status, body))

    assert (findings.server_errors, findings.undocumented) == (errors, undocumented)
    assert len(findings.broken) == 1
    assert not findings.verdicts(20)[1 if errors else 2].met


def test_what_the_page_does_not_have_must_not_be_there() -> None:
    findings, page = Findings(), a_page()

    for method, path in (("GET", "/etc/passwd"), ("DELETE", FEED)):
        page.send(Hostile(method, path), findings)

    assert findings.statuses == {("elsewhere", 404): 1, ("elsewhere", 405): 1}
    assert findings.broken == {}


def test_a_path_with_a_parameter_filled_in_is_on_the_page() -> None:
    page = Page({("GET", "/v1/explain/{request_id}"): "explain"}, client=None)

    assert page.operation_at("GET", "/v1/explain/%00") == "explain"
    assert page.operation_at("GET", "/v1/explain/1/2") is page.operation_at("POST", "/v1/explain/1") is None


def test_the_same_seed_draws_the_same_requests_and_few_of_them_twice() -> None:
    first: list[Hostile] = []
    again: list[Hostile] = []

    for drawn in (first, again):
        each_of(requests([1, 2], 10**15), drawn.append, 200, seed=4)

    assert first == again
    assert len({repr(each) for each in first}) > 150


def test_a_plan_goes_on_until_it_has_its_cases_or_finds_none() -> None:
    findings = Findings()

    def seven(_: int, seed: int) -> None:
        for place in range(7 if seed < 12 else 0):
            findings.note("seven", 200, f"{seed} {place}", "")

    assert list(rounds(Plan("enough", 14, seven), findings, 10)) == [7, 7]
    assert list(rounds(Plan("too few", 70, seven), findings, 10)) == [7, 7, 0]


@pytest.mark.slow
def test_our_page_promises_every_answer(trained: Run) -> None:
    findings = drilled(trained, 150)

    assert findings.broken == {}
    assert findings.cases >= 150
    assert {status for name, status in findings.statuses if name == "POST /v1/feed"} >= {200, 422}
    assert not trained.places.journal.exists()
