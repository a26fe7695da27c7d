"""A stdio server in its cage: no network, nothing of our environment, only the files that its row names, read-only.

The framing is mcp's own; it is given streams that count. mcp's `stdio_client` is not used because it starts programs itself,
outside any cage, and holds a line of any length.
"""

import os
import subprocess
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import IO, Any, Self, cast

import anyio
import psutil

from gateway.cage import Cage, start
from gateway.mcp.endpoint import Endpoint
from gateway.mcp.meter import STDERR_MOST, Meter

CHUNK = 65536
MOST_PROCESSES = 64
MOST_MEMORY = 1024**3
LOOK_EVERY_S = 0.5
ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108  # inside the cage, and empty
    "TMPDIR": "/tmp",  # noqa: S108
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}


class _Lines:
    """The lines that a program writes, counted; a line is never longer than what the meter lets through."""

    def __init__(self, pipe: IO[bytes], meter: Meter) -> None:
        self._fd, self._meter = pipe.fileno(), meter
        self._held, self._searched = bytearray(), 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while (end := self._held.find(b"\n", self._searched)) < 0:
            self._searched = len(self._held)
            chunk = await _read(self._fd)
            self._meter.took(len(chunk))
            if not chunk or self._meter.fault:
                raise StopAsyncIteration
            self._held += chunk
        line = self._held[: end + 1].decode("utf-8", "replace")
        del self._held[: end + 1]
        self._searched = 0
        return line


class _Input:
    """What a program reads. One that has gone is noticed by the end of its lines."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._fd = pipe.fileno()

    async def write(self, text: str) -> None:
        left = memoryview(text.encode())
        with suppress(BrokenPipeError):
            while left:
                await anyio.wait_writable(self._fd)
                with suppress(BlockingIOError):
                    left = left[os.write(self._fd, left) :]

    async def flush(self) -> None:
        """Nothing is held back."""


@asynccontextmanager
async def caged(endpoint: Endpoint, meter: Meter, *, deadline: float) -> AsyncGenerator[tuple[Any, Any]]:
    """Start a server in its cage and speak to it; nothing of it is left afterwards. Raises `CageMissing`."""
    from mcp.server.stdio import stdio_server

    cage = Cage(
        shows=endpoint.files,
        hides=endpoint.hides,
        environment=ENVIRONMENT,
        directory="/tmp",  # noqa: S108
        may_start_programs=True,  # most need it, and threads and sockets with it; there is nothing to reach
        scratch_bytes=16 * 1024**2,
    )
    with start(endpoint.command, cage, deadline=deadline) as process:
        stdin, stdout, stderr = (cast("IO[bytes]", pipe) for pipe in (process.stdin, process.stdout, process.stderr))
        for pipe in (stdin, stdout, stderr):
            os.set_blocking(pipe.fileno(), False)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_drain, stderr, meter)
                tasks.start_soon(_watch, process, meter)
                with anyio.CancelScope() as talk:
                    streams = stdio_server(cast("Any", _Lines(stdout, meter)), cast("Any", _Input(stdin)))
                    async with streams as (read, write):
                        try:
                            yield read, write
                        finally:
                            talk.cancel()
                tasks.cancel_scope.cancel()
        finally:
            # Why a server ended stands in the last words that nobody has read yet.
            with suppress(BlockingIOError, OSError):
                _keep(meter, os.read(stderr.fileno(), STDERR_MOST))


async def _read(fd: int) -> bytes:
    while True:
        await anyio.wait_readable(fd)
        with suppress(BlockingIOError):
            return os.read(fd, CHUNK)


async def _drain(pipe: IO[bytes], meter: Meter) -> None:
    while chunk := await _read(pipe.fileno()):
        _keep(meter, chunk)


def _keep(meter: Meter, chunk: bytes) -> None:
    meter.stderr += chunk[: STDERR_MOST - len(meter.stderr)]


async def _watch(process: subprocess.Popen[bytes], meter: Meter) -> None:
    """End a server that multiplies or swallows memory; its time is bounded by the conversation."""
    while True:
        started = time.monotonic()
        processes, memory = _size_of(process.pid)
        if processes > MOST_PROCESSES:
            return meter.stop(f"it started more than {MOST_PROCESSES} processes")
        if memory > MOST_MEMORY:
            return meter.stop(f"it took more than {MOST_MEMORY // 1024**2} MiB of memory")
        # A machine that is slow to look is looked at less often.
        await anyio.sleep(max(LOOK_EVERY_S, 4 * (time.monotonic() - started)))


def _size_of(pid: int) -> tuple[int, int]:
    """Return how many processes a server consists of, and their memory in bytes."""
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return 0, 0
    memory = 0
    for each in found:
        with suppress(psutil.Error):
            memory += each.memory_info().rss
    return len(found), memory
