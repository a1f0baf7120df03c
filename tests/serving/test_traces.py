"""Spans: a request with its stages inside, under the sender's span, and nothing at all unless asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from serving.log_lines import Telling
from serving.traces import ENDPOINT, Spanned, Traces, open_traces, otel_exports, stages_of

SECOND_NS = 1_000_000_000


def a_telling(parent_id: str | None = None) -> Telling:
    told = Telling("id-1", "a" * 32, "b" * 16, parent_id)
    told.ms, told.degraded = {"find": 1.5, "score": 0.5}, ("source:two_tower",)
    return told


def test_stages_follow_each_other_from_the_beginning() -> None:
    assert stages_of({"find": 1.5, "score": 0.5}, SECOND_NS) == [
        Spanned("find", SECOND_NS, SECOND_NS + 1_500_000, {}),
        Spanned("score", SECOND_NS + 1_500_000, SECOND_NS + 2_000_000, {}),
    ]


def test_an_answered_request_is_exported_with_its_stages() -> None:
    told: list[tuple[Spanned, list[Spanned]]] = []
    traces = Traces(lambda _, request, stages: told.append((request, stages)))

    traces.answered(a_telling(), "/v1/feed", 200, SECOND_NS, 3.0)

    [(request, stages)] = told
    assert (request.name, request.end_ns - request.start_ns) == ("/v1/feed", 3_000_000)
    assert request.attributes["fourplanes.degraded"] == "source:two_tower"
    assert [stage.name for stage in stages] == ["find", "score"]


def test_opentelemetry_sees_the_stages_inside_the_request_and_it_under_its_sender() -> None:
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    traces = Traces(otel_exports(exporter, batched=False))

    traces.answered(a_telling("c" * 16), "/v1/feed", 200, SECOND_NS, 3.0)

    find, score, request = exporter.get_finished_spans()
    assert [find.name, score.name, request.name] == ["find", "score", "/v1/feed"]
    assert find.parent.span_id == score.parent.span_id == request.context.span_id
    assert (request.context.trace_id, request.parent.span_id) == (int("a" * 32, 16), int("c" * 16, 16))
    assert find.end_time - find.start_time == 1_500_000


def test_without_a_collector_nothing_is_exported() -> None:
    open_traces({}).answered(a_telling(), "/v1/feed", 200, SECOND_NS, 3.0)


def test_without_a_collector_nothing_of_opentelemetry_is_imported() -> None:
    code = "import sys, serving.traces as t; t.open_traces({}); print('opentelemetry' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_a_collector_without_the_extra_is_said_with_what_to_install() -> None:
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"install the extra: fourplanes\[otel\]"):
            open_traces({ENDPOINT: "set"})
