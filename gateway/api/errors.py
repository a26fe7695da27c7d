"""Refusals become answers: a code for programs, a sentence for people, in one shape."""

from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.views import defaults
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from audit.core.codes import Code
from audit.core.refusals import Fault, Refused
from gateway.problems import MEDIA_TYPE, headers_of, problem_of, unavailable

log = structlog.get_logger(__name__)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Answer every error as problem details; what nobody foresaw is logged and says nothing of itself."""
    set_rollback()
    refusal = error if isinstance(error, Refused) else _refusal(error)
    if refusal.code == Code.INTERNAL:
        log.error("api_failed", exc_info=error, path=context["request"].path)
    headers = {**headers_of(refusal), "Cache-Control": "no-store"}
    return Response(problem_of(refusal), Code(refusal.code).status, headers=headers, content_type=MEDIA_TYPE)


def problem_response(refusal: Refused) -> HttpResponse:
    """Answer a refusal outside of a resource, in the same shape."""
    return JsonResponse(
        problem_of(refusal), status=Code(refusal.code).status, content_type=MEDIA_TYPE, headers=headers_of(refusal)
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django refuses before any view: a problem below /v1, a page elsewhere."""
    if not request.path.startswith("/v1/"):
        return defaults.bad_request(request, exception)
    return problem_response(_refusal(exception))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what nobody foresaw: a problem below /v1, a page elsewhere."""
    if not request.path.startswith("/v1/"):
        return defaults.server_error(request)
    return problem_response(_refusal(Exception()))


def _refusal(error: Exception) -> Refused:
    match error:
        case exceptions.ValidationError():
            return Refused("the input does not fit", code=Code.INVALID, faults=list(_faults(error.detail, "")))
        case exceptions.ParseError():
            return Refused(str(error.detail), code=Code.BAD_REQUEST)
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return Refused("say who you are", code=Code.UNAUTHORIZED, recovery="Send `Authorization: Bearer wk_…`.")
        case exceptions.PermissionDenied() | PermissionDenied():
            return Refused(str(error) or "you may not do this", code=Code.FORBIDDEN)
        case exceptions.NotFound() | Http404():
            return Refused("there is nothing here", code=Code.NOT_FOUND)
        case exceptions.MethodNotAllowed():
            return Refused(str(error.detail), code=Code.METHOD_NOT_ALLOWED)
        case exceptions.NotAcceptable():
            return Refused(str(error.detail), code=Code.NOT_ACCEPTABLE)
        case exceptions.UnsupportedMediaType():
            return Refused(str(error.detail), code=Code.UNSUPPORTED_MEDIA_TYPE, recovery="Send application/json.")
        case RequestDataTooBig():
            return Refused("the body is too large", code=Code.TOO_LARGE)
        case SuspiciousOperation() | UnreadablePostError():
            return Refused("the request cannot be read", code=Code.BAD_REQUEST)
        case OperationalError() | PoolTimeout():
            log.warning("api_without_database", error=str(error)[:200])
            return unavailable(error)
        case _:
            return Refused(
                "something went wrong inside; it is in the server's log",
                code=Code.INTERNAL,
                recovery="Tell an operator the correlation id.",
            )


def _faults(detail: Any, path: str) -> Any:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _faults(inner, path if name == "non_field_errors" else f"{path}/{name}")
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            yield from _faults(inner, path if isinstance(inner, str) else f"{path}/{index}")
    else:
        yield Fault(path, str(getattr(detail, "code", "invalid")), str(detail))
