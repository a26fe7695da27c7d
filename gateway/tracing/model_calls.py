"""A call of a model as a span, under the names of OpenTelemetry's conventions for generative AI."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

from gateway.tracing.span import Kind, Level, Span, Trace
from runtime.core.traces import job_span_id, span_id


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What is known of one finished call of a model. Input and output, if any, are redacted twins.

    `provider` is as in `gen_ai.provider.name` (`anthropic`); `finish_reason` as the provider said it; `error` is empty
    when it went well, else a short code.
    """

    id: UUID
    trace: Trace
    job_name: str
    provider: str
    model: str
    start: datetime
    end: datetime
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    step_id: UUID | None = None
    answered_by: str = ""
    finish_reason: str = ""
    cached_tokens: int = 0
    max_tokens: int | None = None
    error: str = ""
    input: Any = None
    output: Any = None
    about: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def model_span(call: ModelCall) -> Span:
    """Return the span of a call of a model: a child of the attempt that made it, with tokens and cost."""
    usage = {"input": call.input_tokens, "output": call.output_tokens}
    if call.cached_tokens:
        usage["input_cached_tokens"] = call.cached_tokens
    return Span(
        call.trace,
        Kind.MODEL,
        span_id(Kind.MODEL, call.id),
        job_span_id(call.job_name),
        f"chat {call.model}",
        call.start,
        call.end,
        about={**call.about, "llm_call_id": call.id, "step_id": call.step_id, "job": call.job_name},
        standard={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": call.provider,
            "gen_ai.request.model": call.model,
            "gen_ai.request.max_tokens": call.max_tokens,
            "gen_ai.response.model": call.answered_by or call.model,
            "gen_ai.response.finish_reasons": [call.finish_reason] if call.finish_reason else None,
            "gen_ai.usage.input_tokens": call.input_tokens,
            "gen_ai.usage.output_tokens": call.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": call.cached_tokens or None,
            "error.type": call.error or None,
        },
        input=call.input,
        output=call.output,
        level=Level.ERROR if call.error else Level.DEFAULT,
        says=call.error,
        usage=usage,
        cost_usd=float(call.cost_usd),
        model=call.answered_by or call.model,
    )
