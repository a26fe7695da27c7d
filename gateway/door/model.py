"""POST /llm/v1/messages: the Messages API, for whatever client an agent has; the key stays here."""

from collections import Counter
from collections.abc import AsyncIterator

from django.conf import settings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway import llm
from gateway.door.identity import NAMES, Arrival, recognise, token_of, without_identity
from gateway.door.pools import in_database
from gateway.door.verbs import MIB, read_object, verb_of_arrivals
from gateway.llm import Streamed
from gateway.problems import MEDIA_TYPE, headers_of, problem_of
from governance.core.model_request import forwarded, request_faults

LARGEST_REQUEST = 8 * MIB
STREAMS_PER_JOB = 4

ERROR_TYPES = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    422: "invalid_request_error", 400: "invalid_request_error", 429: "rate_limit_error", 503: "overloaded_error",
}  # fmt: skip
# The official client repeats these by itself; where that changes nothing, it is told not to.
HOPELESS = frozenset({Code.BUDGET_EXCEEDED, Code.FROZEN, Code.MODEL_FAILED, Code.INTERNAL})
HOPELESS_REASONS = frozenset({"authentication", "not_configured"})

_streams: Counter[str] = Counter()


def key_or_token(request: Request) -> str:
    """Return the token from where the official client puts its key, else from where every other route has it."""
    return request.headers.get("x-api-key", "").strip() or token_of(request)


def as_api_error(refusal: Refused) -> Response:
    """Word a refusal so that clients of the Messages API understand it; the problem details stand beside it."""
    status = Code(refusal.code).status
    kind = ERROR_TYPES.get(status, "api_error")
    said = f"{refusal} {refusal.recovery}".strip()
    if refusal.faults:
        said += " " + "; ".join(f"{fault.path}: {fault.message}" for fault in refusal.faults[:5])
    body = {**problem_of(refusal), "problem": problem_of(refusal)["type"], "type": "error"}
    is_hopeless = refusal.code in HOPELESS or refusal.facts.get("reason") in HOPELESS_REASONS
    headers = headers_of(refusal) | ({"x-should-retry": "false"} if is_hopeless else {})
    return JSONResponse({**body, "error": {"type": kind, "message": said}}, status, headers, media_type=MEDIA_TYPE)


@verb_of_arrivals(action="llm.call", token_from=key_or_token, say=as_api_error)
async def post_message(request: Request, arrival: Arrival) -> Response:
    """Pass a request on to the model, within policy and budget; streamed where that is asked for."""
    body = await read_object(request, LARGEST_REQUEST)
    if NAMES & body.keys():
        visitor = arrival.visitor = await in_database(recognise, arrival.claims)
        body = without_identity(visitor.caller, body)
    betas = [each.strip() for each in request.headers.get("anthropic-beta", "").split(",") if each.strip()]
    faults = request_faults(body, betas, settings.WORKA_MODEL_BETAS)
    if faults:
        raise Refused(
            "this request has what agents may not send to a model",
            code=Code.INVALID,
            faults=faults,
            recovery="Send only the fields of the Messages API that need nothing from outside.",
        )
    if not llm.configured_model():
        raise Refused(
            "no model is configured",
            code=Code.UNAVAILABLE,
            recovery="The operator sets ANTHROPIC_API_KEY or WORKA_MODEL_URL.",
            facts={"reason": "not_configured"},
        )
    job = str(arrival.claims.job_id)
    if body.get("stream") and _streams[job] >= STREAMS_PER_JOB:
        raise Refused(f"a job may have {STREAMS_PER_JOB} answers under way", code=Code.RATE_LIMITED, retry_after_s=1)
    reserved = await in_database(llm.reserve, arrival, body)
    if reserved.call is None:
        facts = {"gate": str(reserved.gate.pk), "reason": reserved.reason}
        raise Refused(reserved.reason, code=reserved.code, facts=facts)
    asked = forwarded(body, str(arrival.claims.run_id))
    gate = str(reserved.gate.pk)
    headers = {"x-worka-gate": gate, "request-id": str(reserved.call.pk)}
    try:
        if not body.get("stream"):
            reply = await llm.whole_answer(reserved.call, asked, betas)
            return Response(reply.content, media_type="application/json", headers=headers)
        streamed = Streamed(reserved.call, llm.provider().stream(asked, betas))
        first = await streamed.begin()
    except Refused as refusal:
        # The gate allowed it; what failed came after, and is on the call.
        refusal.facts["gate"] = gate
        raise
    return StreamingResponse(_told(job, first, streamed), media_type="text/event-stream", headers=headers)


async def _told(job: str, first: bytes, streamed: Streamed) -> AsyncIterator[bytes]:
    _streams[job] += 1
    rest = streamed.rest()
    try:
        yield first
        async for content in rest:
            yield content
    finally:
        _streams[job] -= 1
        if not _streams[job]:
            del _streams[job]
        await rest.aclose()  # type: ignore[attr-defined]  # it is a generator


async def close() -> None:
    """Let go of the provider's connections when the door closes."""
    if llm.configured_model():
        await llm.provider().close()
