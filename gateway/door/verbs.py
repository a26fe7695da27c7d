"""What every verb of the door does alike: recognise who asks, read the body strictly, answer, and gate what is refused."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from django.db import OperationalError
from psycopg_pool import PoolTimeout
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit import correlation
from audit.core.canonical import parse
from audit.core.codes import Code
from audit.core.refusals import Fault, Refused
from gateway.door.identity import Arrival, Visitor, recognise, token_of, without_identity
from gateway.door.pools import in_database
from gateway.problems import MEDIA_TYPE, headers_of, problem_of, unavailable
from governance.actions.door import deny, deny_late
from governance.caller import JobOver
from runtime.actions import end_if_refused_too_often
from runtime.tokens import TokenRefused, verify_token

log = structlog.get_logger(__name__)

MIB = 2**20
AT_ONCE_PER_TOKEN = 8

Endpoint = Callable[[Request], Awaitable[Response]]
Verb = Callable[[Request, Visitor], Awaitable[Response]]
VerbOfArrivals = Callable[[Request, Arrival], Awaitable[Response]]
_busy: Counter[str] = Counter()


def verb(
    *,
    action: str = "",
    after_answer: bool = False,
    token_from: Callable[[Request], str] = token_of,
    say: Callable[[Refused], Response] | None = None,
) -> Callable[[Verb], Endpoint]:
    """Turn a verb into an endpoint. With `action`, whatever is refused leaves a denied gate of that action.

    `after_answer` lets in a job whose plan or result was accepted, to repeat it; everybody else is then job_over.
    `token_from` finds the token, `say` words a refusal, where a foreign client expects its own shape.
    """

    def wrap(work: Verb) -> Endpoint:
        async def recognised(request: Request, arrival: Arrival) -> Response:
            visitor = arrival.visitor = await in_database(recognise, arrival.claims)
            if not after_answer:
                visitor.must_not_be_over()
            return await work(request, visitor)

        recognised.__name__, recognised.__doc__ = work.__name__, work.__doc__
        return verb_of_arrivals(action=action, token_from=token_from, say=say)(recognised)

    return wrap


def verb_of_arrivals(
    *,
    action: str = "",
    token_from: Callable[[Request], str] = token_of,
    say: Callable[[Refused], Response] | None = None,
) -> Callable[[VerbOfArrivals], Endpoint]:
    """Do as `verb`, and leave it to the verb to ask whether the job is still wanted: with what it wants, in one exchange."""
    said = say or refused

    def wrap(work: VerbOfArrivals) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            with correlation.bind(request.headers.get("x-correlation-id", "")):
                try:
                    return with_correlation(await _serve(request, work, action, token_from))
                except Refused as refusal:
                    return with_correlation(said(refusal))
                except (OperationalError, PoolTimeout) as error:
                    log.warning("door_without_database", path=request.url.path, error=str(error)[:200])
                    return with_correlation(said(unavailable(error)))
                except Exception:
                    log.exception("door_failed", path=request.url.path)
                    failure = Refused(
                        "something went wrong inside; it is in the server's log",
                        code=Code.INTERNAL,
                        recovery="Repeat the call: every call may be repeated.",
                    )
                    return with_correlation(said(failure))

        endpoint.__name__, endpoint.__doc__ = work.__name__, work.__doc__
        return endpoint

    return wrap


async def _serve(request: Request, work: VerbOfArrivals, action: str, token_from: Callable[[Request], str]) -> Response:
    arrival = Arrival(verify_token(token_from(request)))
    key = str(arrival.claims.job_id)
    _busy[key] += 1
    try:
        if _busy[key] > AT_ONCE_PER_TOKEN:
            raise Refused(
                f"a job may have {AT_ONCE_PER_TOKEN} requests under way", code=Code.RATE_LIMITED, retry_after_s=1
            )
        return await work(request, arrival)
    except (JobOver, TokenRefused):
        raise
    except Refused as refusal:
        if action:
            visitor = arrival.visitor
            if visitor is None:
                visitor = await in_database(recognise, arrival.claims)
            if "gate" not in refusal.facts:
                record = deny_late if visitor.answered else deny
                gate = await in_database(record, visitor.caller, action, Code(refusal.code), str(refusal))
                refusal.facts["gate"] = str(gate.pk)
            await in_database(end_if_refused_too_often, visitor.job, visitor.caller)
        raise
    finally:
        _busy[key] -= 1
        if not _busy[key]:
            del _busy[key]


def with_correlation(response: Response) -> Response:
    """Put the id of the request that is being served on its answer."""
    response.headers["X-Correlation-Id"] = correlation.current()
    return response


def refused(refusal: Refused) -> JSONResponse:
    """Answer with the problem details of a refusal."""
    return JSONResponse(problem_of(refusal), Code(refusal.code).status, headers_of(refusal), media_type=MEDIA_TYPE)


async def read_bytes(request: Request, most: int) -> bytes:
    """Read a body of at most `most` bytes, or refuse with too_large without reading on."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > most:
        raise Refused(f"a body here has at most {most} bytes", code=Code.TOO_LARGE)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise Refused(f"a body here has at most {most} bytes", code=Code.TOO_LARGE)
        parts.append(part)
    return b"".join(parts)


async def read_json(request: Request, visitor: Visitor, most: int = MIB) -> dict[str, Any]:
    """Read a strict JSON object without identity; refuses as `read_object`, and with identity_mismatch."""
    return without_identity(visitor.caller, await read_object(request, most))


async def read_object(request: Request, most: int) -> dict[str, Any]:
    """Read a strict JSON object; refuses with too_large, not_canonical or invalid."""
    body = parse(await read_bytes(request, most))
    if not isinstance(body, dict):
        raise Refused("the body is not a JSON object", code=Code.INVALID)
    return body


def fields(
    body: Mapping[str, Any],
    required: Mapping[str, type | tuple[type, ...]],
    optional: Mapping[str, type | tuple[type, ...]] | None = None,
) -> dict[str, Any]:
    """Check the fields of a small body: all required ones, no unknown ones, right types; refuses with invalid and all faults."""
    known = {**required, **(optional or {})}
    faults = [
        Fault(f"/{name}", "unknown_field", "this field is not known here") for name in sorted(set(body) - set(known))
    ]
    faults += [Fault(f"/{name}", "required", "this field is missing") for name in sorted(set(required) - set(body))]
    for name in sorted(set(body) & set(known)):
        value, kind = body[name], known[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            faults.append(Fault(f"/{name}", "wrong_type", "this field has the wrong type"))
    if faults:
        raise Refused("the body does not fit", code=Code.INVALID, faults=faults)
    return dict(body)
