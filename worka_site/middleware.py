"""What every request gets: a correlation id, and one line in the log."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from audit import correlation

HEADER = "X-Correlation-Id"

log = structlog.get_logger("worka.request")


class CorrelationMiddleware:
    """Read the caller's correlation id or make one; ledger entries and log lines of the request carry it, and the answer."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._answer_async(request)
        with correlation.bind(request.headers.get(HEADER, "")):
            started = time.perf_counter()
            return _finished(request, self.get_response(request), started)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        with correlation.bind(request.headers.get(HEADER, "")):
            started = time.perf_counter()
            return _finished(request, await self.get_response(request), started)


def _finished(request: HttpRequest, response: HttpResponseBase, started: float) -> HttpResponseBase:
    response.headers[HEADER] = correlation.current()
    took_ms = round((time.perf_counter() - started) * 1000, 1)
    # The path only: a query may hold what does not belong into a log.
    log.info("request", method=request.method, path=request.path, status=response.status_code, took_ms=took_ms)
    return response
