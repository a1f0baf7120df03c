"""Whatever the API page promises holds for requests nobody thought of: generated from it, good and bad."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS

from feature_repo.places import Places
from serving.app import create_app
from serving.live import Live

CHECKED = [CHECKS.get_one(name) for name in ("not_a_server_error", "status_code_conformance", "response_schema_conformance")]


@pytest.fixture
def api(live: Live, places: Places) -> Iterator[object]:
    app = create_app(live, places)
    yield schemathesis.openapi.from_asgi("/openapi.json", app)


schema = schemathesis.pytest.from_fixture("api")


@schema.include(path_regex="^/v1|z$").parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_the_page_promises(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKED)
