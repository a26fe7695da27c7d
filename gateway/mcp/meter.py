"""What a conversation with a server may cost: bytes, messages, processes; and why it was stopped."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Self

import anyio

MOST_BYTES = 16 * 1024**2
MOST_MESSAGES = 5_000
STDERR_MOST = 16 * 1024


class Meter:
    """Counts what a server sends, and ends the conversation at the limit. `fault` says why it was ended.

    `sent` says that the tool was called, so that something may have happened; `is_unauthorized`, that the server wants
    other credentials; `stderr` is the beginning of what a caged server wrote there.
    """

    def __init__(self) -> None:
        self.scope: anyio.CancelScope | None = None
        self.bytes = self.messages = 0
        self.fault = ""
        self.sent = self.is_unauthorized = False
        self.stderr = bytearray()

    def stop(self, fault: str) -> None:
        """End the conversation; the first reason is kept."""
        self.fault = self.fault or fault
        if self.scope is not None:
            self.scope.cancel()

    def took(self, size: int) -> None:
        """Count bytes that came in."""
        self.bytes += size
        if self.bytes > MOST_BYTES:
            self.stop(f"it sent more than {MOST_BYTES // 1024**2} MiB")

    def took_message(self, item: Any) -> None:
        """Count a message; what is none ends the conversation, because nobody knows what comes after it."""
        self.messages += 1
        if isinstance(item, Exception):
            self.stop("it sent what is no message of the protocol")
        elif self.messages > MOST_MESSAGES:
            self.stop(f"it sent more than {MOST_MESSAGES:,} messages")


class Metered:
    """A stream of messages that is counted as it is read (mcp's `ReadStream`)."""

    def __init__(self, inner: Any, meter: Meter) -> None:
        self._inner, self._meter = inner, meter

    @property
    def last_context(self) -> Any:
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> Any:
        item = await self._inner.receive()
        self._meter.took_message(item)
        if self._meter.fault:
            raise anyio.EndOfStream
        return item

    async def aclose(self) -> None:
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


@asynccontextmanager
async def metered(transport: AbstractAsyncContextManager[Any], meter: Meter) -> AsyncGenerator[tuple[Any, Any]]:
    """Count the messages of a transport."""
    async with transport as (read, write):
        yield Metered(read, meter), write
