"""Spans in OpenTelemetry's own form: every text masked, harmless and bounded before it leaves."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from audit.core.canonical import escaped
from audit.ledger import json_of
from gateway.tracing.span import Kind, Level, Span
from governance.core.masking import redact, redact_text

LONGEST_TEXT = 8192
RECORDED = TraceFlags(TraceFlags.SAMPLED)
# Langfuse has a place of its own for each kind of work.
_OBSERVATIONS = {
    Kind.RUN: "chain",
    Kind.STEP: "chain",
    Kind.JOB: "agent",
    Kind.CALL: "tool",
    Kind.MODEL: "generation",
    Kind.APPROVAL: "guardrail",
    Kind.DENIAL: "guardrail",
}


def encoded(spans: Sequence[Span], *, for_langfuse: bool) -> bytes:
    """Return spans as the protobuf message of OTLP."""
    resource = Resource({
        "service.name": "worka",
        "service.version": settings.WORKA_VERSION,
        "deployment.environment.name": settings.WORKA_ISSUER,
    })  # fmt: skip
    scope = InstrumentationScope("worka", settings.WORKA_VERSION)
    named = langfuse_attributes if for_langfuse else plain_attributes
    return encode_spans([_readable(span, named(span), resource, scope) for span in spans]).SerializeToString()


def plain_attributes(span: Span) -> dict[str, Any]:
    """Name the facts of a span as OpenTelemetry does, and as `worka.…` what it has no name for."""
    about = {
        "run_id": span.trace.run_id,
        "run_number": span.trace.number,
        "workspace": span.trace.workspace,
        "kind": span.kind,
        **span.about,
        "input": span.input,
        "output": span.output,
        "cost_usd": span.cost_usd,
    }
    named = {**span.standard, **{f"worka.{name}": value for name, value in about.items()}}
    named |= {"user.id": span.trace.requester or None, "session.id": span.trace.session or None}
    return {name: _attribute(value) for name, value in named.items() if value is not None and value != ""}


def langfuse_attributes(span: Span) -> dict[str, Any]:
    """Name the facts of a span as Langfuse does, beside OpenTelemetry's names; each span says what trace it is of."""
    about = {"run_id": span.trace.run_id, "workspace": span.trace.workspace, "kind": span.kind, **span.about}
    named = {
        **span.standard,
        "user.id": span.trace.requester,
        "session.id": span.trace.session,
        "langfuse.trace.name": "run",
        "langfuse.trace.tags": [span.trace.workspace],
        "langfuse.trace.metadata.run_id": span.trace.run_id,
        "langfuse.trace.metadata.run_number": str(span.trace.number),
        "langfuse.trace.metadata.workspace": span.trace.workspace,
        "langfuse.release": settings.WORKA_VERSION,
        # The only letters that Langfuse takes in the name of an environment.
        "langfuse.environment": re.sub(r"[^a-z0-9_-]", "-", settings.WORKA_ISSUER.lower())[:40],
        "langfuse.observation.type": _OBSERVATIONS[span.kind],
        "langfuse.observation.level": span.level,
        "langfuse.observation.status_message": span.says,
        "langfuse.observation.input": span.input,
        "langfuse.observation.output": span.output,
        "langfuse.observation.model.name": span.model,
        "langfuse.observation.usage_details": dict(span.usage) or None,
        "langfuse.observation.cost_details": None if span.cost_usd is None else {"total": span.cost_usd},
        **{f"langfuse.observation.metadata.{name}": value for name, value in about.items()},
    }
    return {name: _attribute(value) for name, value in named.items() if value is not None and value != ""}


def _readable(
    span: Span, attributes: Mapping[str, Any], resource: Resource, scope: InstrumentationScope
) -> ReadableSpan:
    return ReadableSpan(
        _text(span.name),
        context=_context(span.trace.trace_id, span.id),
        parent=None if span.parent is None else _context(span.trace.trace_id, span.parent),
        resource=resource,
        attributes=attributes,
        events=[Event(name, timestamp=_nanoseconds(at)) for name, at in span.moments],
        kind=SpanKind.CLIENT if span.kind is Kind.MODEL else SpanKind.INTERNAL,
        status=_status(span),
        start_time=_nanoseconds(span.start),
        end_time=_nanoseconds(span.end),
        instrumentation_scope=scope,
    )


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=RECORDED)


def _status(span: Span) -> Status:
    match span.level:
        case Level.ERROR:
            return Status(StatusCode.ERROR, _text(span.says))
        case Level.WARNING:
            return Status(StatusCode.UNSET)
        case _:
            return Status(StatusCode.OK)


def _attribute(value: Any) -> Any:
    """Return a value as an attribute: numbers and lists of texts as they are, any other structure as JSON."""
    match value:
        case bool() | int() | float():
            return value
        case str():
            return _text(value)
        case list() if all(isinstance(item, str) for item in value):
            return [_text(item) for item in value[:100]]
        case dict() | list() | tuple():
            return _text(json.dumps(redact(json_of(value)), ensure_ascii=False))
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    """Mask again what looks like a key: the twins are masked already, names and reasons may not be."""
    clean = escaped(redact_text(text))
    return clean if len(clean) <= LONGEST_TEXT else f"{clean[:LONGEST_TEXT]}… ({len(clean)} characters)"


def _nanoseconds(at: datetime) -> int:
    # By whole numbers: a float has too few digits for nanoseconds.
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000
