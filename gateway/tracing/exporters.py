"""Where traces go. An exporter follows the ledger like a sink: from a cursor of its own, at least once, in order."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import structlog
from django.conf import settings

from audit.core.addresses import address_problem
from audit.models import AuditEvent
from audit.outward import Answer, NotDelivered, connected, post, trust_problem
from audit.sink import Sink
from gateway.tracing.reading import spans_of

log = structlog.get_logger(__name__)

PROTOBUF = "application/x-protobuf"


class Exporter(Sink):
    """Posts a span for each thing that entries brought to an end, as OTLP over HTTP in protobuf."""

    # Of a hundred entries some thirty end something: with the longest texts that is about half a megabyte.
    at_once = 100
    for_langfuse: ClassVar[bool] = False

    def __init__(self, url: str, headers: Mapping[str, str], ca_file: Path | None = None) -> None:
        self.url = url
        self.headers = {**headers, "content-type": PROTOBUF}
        self.ca_file = ca_file

    def write(self, events: Sequence[AuditEvent]) -> None:
        spans = spans_of(events)
        if not spans:
            return
        # Only who is asked for traces pays for OpenTelemetry: it takes half a second to import.
        from gateway.tracing.wire import encoded

        body = encoded(spans, for_langfuse=self.for_langfuse)
        with connected(self.ca_file) as client:
            _tell_of_rejected(post(client, self.url, body, self.headers))


class Otlp(Exporter):
    """Any collector that speaks OTLP/HTTP."""

    @classmethod
    def configured(cls) -> Self:
        """Make the exporter for WORKA_OTLP_ENDPOINT, with the signal's path unless it is there."""
        if problem := cls.problem():
            raise NotDelivered(problem)
        url = settings.WORKA_OTLP_ENDPOINT.rstrip("/")
        url = url if url.endswith("/v1/traces") else f"{url}/v1/traces"
        return cls(url, settings.WORKA_OTLP_HEADERS, settings.WORKA_TRACING_CA_FILE)

    @classmethod
    def problem(cls) -> str:
        if problem := address_problem(settings.WORKA_OTLP_ENDPOINT):
            return f"WORKA_OTLP_ENDPOINT {problem}"
        return trust_problem(settings.WORKA_TRACING_CA_FILE)


class Langfuse(Exporter):
    """Langfuse, by its OpenTelemetry endpoint: the one that its own packages use."""

    for_langfuse = True

    @classmethod
    def configured(cls) -> Self:
        """Make the exporter for WORKA_LANGFUSE_HOST, signed in with the project's two keys."""
        if problem := cls.problem():
            raise NotDelivered(problem)
        keys = f"{settings.WORKA_LANGFUSE_PUBLIC_KEY}:{settings.WORKA_LANGFUSE_SECRET_KEY}"
        headers = {
            "authorization": f"Basic {base64.b64encode(keys.encode()).decode()}",
            # What its own packages send; older versions are shown later.
            "x-langfuse-ingestion-version": "4",
        }
        url = f"{settings.WORKA_LANGFUSE_HOST.rstrip('/')}/api/public/otel/v1/traces"
        return cls(url, headers, settings.WORKA_TRACING_CA_FILE)

    @classmethod
    def problem(cls) -> str:
        if problem := address_problem(settings.WORKA_LANGFUSE_HOST):
            return f"WORKA_LANGFUSE_HOST {problem}"
        if not settings.WORKA_LANGFUSE_PUBLIC_KEY or not settings.WORKA_LANGFUSE_SECRET_KEY:
            return "WORKA_LANGFUSE_PUBLIC_KEY and WORKA_LANGFUSE_SECRET_KEY are not both set"
        return trust_problem(settings.WORKA_TRACING_CA_FILE)


def wanted() -> dict[str, type[Exporter]]:
    """Return the exporters that the settings ask for, by the names of their cursors."""
    found: dict[str, type[Exporter]] = {}
    if settings.WORKA_OTLP_ENDPOINT:
        found["trace:otlp"] = Otlp
    if settings.WORKA_LANGFUSE_HOST:
        found["trace:langfuse"] = Langfuse
    return found


def _tell_of_rejected(answer: Answer) -> None:
    """Say what a collector took and threw away; sending it again is forbidden by OTLP, and would be of no use."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    if answer.media_type != PROTOBUF:
        return
    try:
        said = ExportTraceServiceResponse.FromString(answer.body).partial_success
    except DecodeError:
        return
    if said.rejected_spans:
        log.warning("spans_rejected", spans=said.rejected_spans, because=said.error_message[:500])
