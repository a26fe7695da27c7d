"""The threads behind the door: some for the data base, others for connectors, so that slow tools starve nobody."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import anyio
from anyio import to_thread
from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")

DATABASE_THREADS = 16
CONNECTOR_THREADS = 16

# A limiter belongs to the event loop that first waits on it, and a process may run several.
_limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, anyio.CapacityLimiter]] = WeakKeyDictionary()


def _limiter(kind: str, size: int) -> anyio.CapacityLimiter:
    of_loop = _limiters.setdefault(asyncio.get_running_loop(), {})
    if kind not in of_loop:
        of_loop[kind] = anyio.CapacityLimiter(size)
    return of_loop[kind]


async def in_database(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what uses the data base in a thread, with no stale connection before and none held after."""

    def run() -> T:
        close_old_connections()
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return await to_thread.run_sync(run, limiter=_limiter("database", DATABASE_THREADS))


async def in_connector(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a connector in a thread of its own pool."""

    def run() -> T:
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return await to_thread.run_sync(run, limiter=_limiter("connector", CONNECTOR_THREADS))
