"""The application in this process, its own description of its operations, and whether it keeps to that.

Law: every answer of an operation has a status, headers and a body its page promises, and none is 5xx; what
the page does not have is answered as what is not there.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from feature_repo.places import Places
from labs.bench.feature_bars import Bar
from labs.bench.verdicts import Verdict

if TYPE_CHECKING:
    from labs.bench.hostile_requests import Hostile
    from serving.live import Live

ELSEWHERE = {200, 307, 404, 405, 414}
"""Answers to methods and paths the page does not have."""
NONE = Bar(0.0, at_most=True)
NO_CHAMPION = "there is no champion to ask. Run `make train` first."


@dataclass
class Findings:
    """What was asked and answered, and the first example of each promise that was broken."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By operation and status."""
    broken: dict[str, str] = field(default_factory=dict)
    server_errors: int = 0
    undocumented: int = 0
    _distinct: set[bytes] = field(default_factory=set)

    @property
    def cases(self) -> int:
        return self.statuses.total()

    @property
    def distinct(self) -> int:
        """Requests that differ in method, path, headers or body."""
        return len(self._distinct)

    def note(self, operation: str, status: int, request: str, why: str) -> None:
        """One case: what it was and, if a promise was broken, which."""
        self.statuses[operation, status] += 1
        self._distinct.add(hashlib.blake2b(request.encode("utf-8", "replace"), digest_size=16).digest())
        if not why:
            return
        self.server_errors += status >= 500
        self.undocumented += status < 500
        self.broken.setdefault(f"{operation} {status}: {why.splitlines()[0]}", f"{request}\n{why}"[:2_000])

    def verdicts(self, cases: int) -> list[Verdict]:
        return [
            Verdict("cases", self.cases, Bar(float(cases))),
            Verdict("answers of 5xx", self.server_errors, NONE),
            Verdict("answers the page does not promise", self.undocumented, NONE),
        ]

    def figures(self, cases: int) -> dict[str, Any]:
        return {
            "cases": self.cases,
            "distinct": self.distinct,
            "statuses": {f"{name} {status}": n for (name, status), n in sorted(self.statuses.items())},
            "broken": self.broken,
            "verdicts": [verdict.figures() for verdict in self.verdicts(cases)],
        }


@dataclass(frozen=True)
class Page:
    """An application's own description of its operations, and a client without a server between."""

    operations: Mapping[tuple[str, str], Any]
    """Schemathesis' view of each, by method and path."""
    client: Any

    @classmethod
    def of(cls, app: Any) -> Page:
        import schemathesis
        from starlette.testclient import TestClient

        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        told = [found.ok() for found in schema.get_all_operations()]
        client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
        return cls({(each.method.upper(), each.path): each for each in told}, client)

    def operation_at(self, method: str, path: str) -> Any:
        """The operation whose path this is, parameters filled in; None if the page has none."""
        for (asked, template), operation in self.operations.items():
            if asked == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
                return operation
        return None

    def send(self, hostile: Hostile, findings: Findings) -> Any:
        """One request, judged by the page if it knows method and path, by ELSEWHERE if not."""
        answer = self.client.request(
            hostile.method, hostile.path, content=hostile.body, headers=dict(hostile.headers)
        )
        told = f"{hostile.method} {hostile.path} {dict(hostile.headers)} {hostile.body!r}"
        operation = self.operation_at(hostile.method, answer.request.url.path)  # as the client sent it
        if operation is None:
            why = "" if answer.status_code in ELSEWHERE else "no answer to what is not there"
            findings.note("elsewhere", answer.status_code, told, why)
        else:
            findings.note(operation.label, answer.status_code, told, broken(operation.Case(), answer))
        return answer


def broken(case: Any, answer: Any) -> str:
    """Which promises of the page this answer breaks; empty if none."""
    from schemathesis import checks
    from schemathesis.core.failures import FailureGroup

    promises = (
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    )
    try:
        case.validate_response(answer, checks=list(promises))
    except FailureGroup as failures:
        return "; ".join(str(failure) for failure in failures.exceptions)
    return ""


@contextmanager
def lived(places: Places, seed: int) -> Iterator[tuple[Live, tuple[Page, Page]]]:
    """A live server without a port, and the pages of an application without an admin and of one with."""
    from serving.admins import TOKEN, admins_of
    from serving.app import Edge, create_app
    from serving.live import open_live

    live = open_live(places, seed)
    try:
        if not live.follow():
            raise LookupError(NO_CHAMPION)
        closed = Edge(admins=admins_of({TOKEN: secrets.token_urlsafe(24)}))
        yield live, (Page.of(create_app(live, places)), Page.of(create_app(live, places, edge=closed)))
    finally:
        live.close()
