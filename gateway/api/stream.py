"""GET /v1/events/stream: what changed, as server-sent events from sealed positions; a reader resumes where it was."""

import json
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import anyio
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils.functional import SimpleLazyObject
from rest_framework.request import Request

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.models import AuditEvent
from audit.present import sentence
from audit.queries import entries_after
from gateway.api.credentials import (
    KeyAuthentication,
    PersonAuthentication,
    asker_of_request,
    count_call,
    demand_https,
    demand_scope,
)
from gateway.api.errors import problem_response
from gateway.keys import Scope
from governance.people import Asker
from governance.queries import runs_visible_to

LOOK_EVERY_S = 0.5
KEEP_ALIVE_S = 15.0
LONGEST_S = 600.0
AT_ONCE = 100


async def events_stream(request: HttpRequest) -> HttpResponseBase:
    """Stream notices of what changed in the runs that the caller may see; `Last-Event-ID` or `cursor` resumes."""
    try:
        position = await sync_to_async(_begin)(request)
    except Refused as refusal:
        return problem_response(refusal)
    response = StreamingHttpResponse(_follow(request, position), content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


events_stream.scope = Scope.RUNS_READ  # type: ignore[attr-defined]


def _begin(request: HttpRequest) -> int:
    if request.method != "GET":
        raise Refused("only GET is answered here", code=Code.METHOD_NOT_ALLOWED)
    wrapped, asker = _recognise(request)
    count_call(wrapped, asker)
    return _start_of(request)


def _recognise(request: HttpRequest) -> tuple[Request, Asker]:
    """Say who asks, as the rows have it now."""
    if hasattr(request, "_cached_user"):
        # The middleware keeps who it found: signing out, or being sent away, must end a stream as well.
        request.session = type(request.session)(request.session.session_key)
        request.user = SimpleLazyObject(lambda: get_user(request))  # type: ignore[assignment]
        del request._cached_user
    wrapped = Request(request, authenticators=[KeyAuthentication(), PersonAuthentication()])
    demand_https(wrapped)
    _ = wrapped.user
    asker = asker_of_request(wrapped)
    demand_scope(wrapped, Scope.RUNS_READ)
    return wrapped, asker


def _start_of(request: HttpRequest) -> int:
    text = request.headers.get("Last-Event-ID") or request.GET.get("cursor") or ""
    if text:
        if not (text.isascii() and text.isdecimal() and len(text) < 19):
            raise Refused("the cursor is not one that was given out", code=Code.BAD_REQUEST)
        return int(text)
    return AuditEvent.objects.sealed().values_list("position", flat=True).last() or 0


async def _follow(request: HttpRequest, position: int) -> AsyncIterator[bytes]:
    yield f"retry: 2000\nid: {position}\nevent: hello\ndata: {{}}\n\n".encode()
    until, spoken = monotonic() + LONGEST_S, monotonic()
    while monotonic() < until:
        try:
            position, notices = await sync_to_async(_look)(request, position)
        except Refused:
            return  # The key was revoked, or the person sent away; the next try is refused with the reason.
        for notice in notices:
            yield notice
        if notices:
            spoken = monotonic()
        elif monotonic() - spoken > KEEP_ALIVE_S:
            spoken = monotonic()
            yield f": at {position}\n\n".encode()
        await anyio.sleep(LOOK_EVERY_S)


def _look(request: HttpRequest, position: int) -> tuple[int, list[bytes]]:
    """Return the notices behind a position for whoever asks, and the position that was looked at."""
    try:
        _, asker = _recognise(request)
        return _notices(asker, position)
    finally:
        # A stream lasts for minutes; between its looks the connection belongs to others.
        close_old_connections()


def _notices(asker: Asker, position: int) -> tuple[int, list[bytes]]:
    events = entries_after(position, [asker.workspace_id], limit=AT_ONCE)
    if not events:
        return position, []
    runs = {event.run for event in events if event.run}
    visible = set(runs_visible_to(asker).filter(pk__in=runs).values_list("pk", flat=True))
    notices = [_notice(event) for event in events if event.run in visible]
    return events[-1].position or position, notices


def _notice(event: AuditEvent) -> bytes:
    told: dict[str, Any] = {
        "position": event.position,
        "type": event.type,
        "subject": event.subject,
        "run": str(event.run) if event.run else None,
        "at": event.at.isoformat(),
        "sentence": sentence(event),
    }
    return f"id: {event.position}\nevent: change\ndata: {json.dumps(told)}\n\n".encode()
