"""Spans for OpenTelemetry, if somebody collects them: one per request, and one per stage of a slate.

Nothing of OpenTelemetry is imported unless OTEL_EXPORTER_OTLP_ENDPOINT is set; spans are made of times
measured anyway, after the answer was sent. An extra: `pip install fourplanes[otel]`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from serving.log_lines import Telling

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True)
class Spanned:
    """One finished span: nanoseconds since 1970 UTC."""

    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str | int | float]


class Exports(Protocol):
    """Takes a request's span with those of its stages, which follow each other within it."""

    def __call__(self, telling: Telling, request: Spanned, stages: list[Spanned]) -> None: ...


class Traces:
    """Makes spans of answered requests, or nothing at all."""

    def __init__(self, export: Exports | None = None) -> None:
        self._export = export

    def answered(self, telling: Telling, route: str, status: int, began_ns: int, ms: float) -> None:
        """One answered request; the stages of a slate are laid one after the other from its beginning."""
        if self._export is None:
            return
        told: dict[str, str | int | float] = {"http.route": route, "http.response.status_code": status}
        told["fourplanes.id"] = telling.id
        if telling.degraded:
            told["fourplanes.degraded"] = ",".join(telling.degraded)
        request = Spanned(route, began_ns, began_ns + round(ms * 1e6), told)
        self._export(telling, request, stages_of(telling.ms, began_ns))


def stages_of(ms: Mapping[str, float], began_ns: int) -> list[Spanned]:
    """The stages in their order, each beginning where the one before ended."""
    spans, start_ns = [], began_ns
    for stage, spent in ms.items():
        end_ns = start_ns + round(spent * 1e6)
        spans.append(Spanned(stage, start_ns, end_ns, {}))
        start_ns = end_ns
    return spans


def open_traces(environment: Mapping[str, str] = os.environ) -> Traces:
    """Traces to the collector the environment names; none named, none made."""
    if not environment.get(ENDPOINT):
        return Traces()
    try:
        exporter = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter").OTLPSpanExporter()
    except ImportError as missing:
        raise ImportError(
            f"{ENDPOINT} is set and the exporter is not installed; install the extra: fourplanes[otel]."
        ) from missing
    return Traces(otel_exports(exporter))


def otel_exports(exporter: Any, batched: bool = True) -> Exports:
    """Spans of OpenTelemetry's own kind, sent by its own batching thread."""
    trace, sdk = import_module("opentelemetry.trace"), import_module("opentelemetry.sdk.trace")
    kind = import_module("opentelemetry.sdk.trace.export")
    resource = import_module("opentelemetry.sdk.resources").Resource.create({"service.name": "fourplanes"})
    provider = sdk.TracerProvider(resource=resource)
    made: Callable[[Any], Any] = kind.BatchSpanProcessor if batched else kind.SimpleSpanProcessor
    provider.add_span_processor(made(exporter))
    tracer = provider.get_tracer("fourplanes.serving")

    def export(telling: Telling, request: Spanned, stages: list[Spanned]) -> None:
        root = _started(tracer, request, _sent_by(trace, telling))
        inside = trace.set_span_in_context(root)
        for stage in stages:
            _started(tracer, stage, inside).end(stage.end_ns)
        root.end(request.end_ns)

    return export


def _started(tracer: Any, span: Spanned, context: Any) -> Any:
    return tracer.start_span(span.name, context, attributes=dict(span.attributes), start_time=span.start_ns)


def _sent_by(trace: Any, telling: Telling) -> Any:
    """The sender's span as the parent, where a traceparent named one."""
    if telling.parent_id is None:
        return None
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    sent = trace.SpanContext(int(telling.trace_id, 16), int(telling.parent_id, 16), True, flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(sent))
