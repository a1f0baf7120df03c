"""Whatever the API page promises holds for requests nobody thought of: generated from it, good and bad."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from feature_repo.places import Places
from serving.app import create_app
from serving.live import Live

PROMISES = [not_a_server_error, status_code_conformance, response_schema_conformance]
ROUTES = [
    ("/v1/feed", "POST"),
    ("/v1/events", "POST"),
    ("/v1/explain/{request_id}", "GET"),
    ("/readyz", "GET"),
]
BOUNDED = settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_every_answer_is_one_the_page_promises(
    live: Live, places: Places, path: str, method: str, mode: GenerationMode
) -> None:
    if mode is GenerationMode.NEGATIVE and path == "/readyz":
        pytest.skip("a route without parameters cannot be asked wrongly")
    operation = schemathesis.openapi.from_asgi("/openapi.json", create_app(live, places))[path][method]
    checks = PROMISES if mode is GenerationMode.POSITIVE else [*PROMISES, negative_data_rejection]

    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=checks)

    holds()
