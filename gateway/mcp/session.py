"""One conversation with a server, begun and ended here: look at its tools, or call one that is still as it was accepted.

Which era of the protocol a server speaks is found out by mcp (`mode="auto"`). Whatever a server does, a conversation ends in
time, within its bounds, and in `ServerFailed` with a reason; only what a server says is quoted in one, cleaned and short.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
from django.conf import settings

from audit.core.canonical import MAX_INTEGER, canonical
from audit.core.refusals import Refused
from gateway.cage import CageMissing, why_missing
from gateway.core.mcp import Definition, answer_of, texts_in
from gateway.core.placeholders import SHORTEST
from gateway.mcp.endpoint import Endpoint
from gateway.mcp.meter import Meter, metered
from governance.core.wording import excerpt

T = TypeVar("T")

MOST_TOOLS = 500
MOST_PAGES = 50
MOST_DEFINITION = 128 * 1024
MOST_ANSWER = 1024**2
LONGEST_NAME = 128


class ServerFailed(Exception):
    """A server did not do what it was asked, and why; `sent` says that the tool was called all the same.

    `is_unauthorized`: it does not accept the credentials.
    """

    def __init__(self, reason: str, *, sent: bool = False, is_unauthorized: bool = False) -> None:
        super().__init__(reason)
        self.sent = sent
        self.is_unauthorized = is_unauthorized


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server serves now. `unusable` are tools that cannot be used, with the reason."""

    protocol: str
    tools: tuple[Definition, ...]
    unusable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool said. `is_error`: it says that it failed."""

    output: Mapping[str, Any]
    is_error: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """The tool is not what was accepted, and was not called. `tool` is what the server serves under its name, or None."""

    tool: Definition | None
    tools: tuple[Definition, ...]


def look(endpoint: Endpoint, *, deadline: float) -> Seen:
    """Return what a server serves; raises `ServerFailed`. `deadline` is a moment of `time.monotonic()`."""

    async def ask(client: Any, meter: Meter) -> Seen:
        tools, unusable = await _tools(client, _told_to(endpoint))
        return Seen(client.protocol_version, tools, unusable)

    return _converse(endpoint, deadline, ask)


def call(
    endpoint: Endpoint, name: str, digest: str, arguments: Mapping[str, Any], *, deadline: float
) -> Answer | Moved:
    """Call a tool if what the server serves in this very conversation has the digest; raises `ServerFailed`."""

    async def ask(client: Any, meter: Meter) -> Answer | Moved:
        from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult

        tools, _ = await _tools(client, _told_to(endpoint))
        now = next((tool for tool in tools if tool.name == name), None)
        if now is None or now.digest != digest:
            return Moved(now, tools)
        meter.sent = True
        # Not `call_tool`: it would check the answer by Python's own regular expressions, and a server chooses them.
        request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=dict(arguments)))
        result = await client.session.send_request(request, CallToolResult)
        blocks = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content]
        output = answer_of(blocks, result.structured_content)
        if len(canonical(output)) > MOST_ANSWER:
            raise _Misbehaved(f"its answer is larger than {MOST_ANSWER // 1024} KiB")
        return Answer(output, result.is_error)

    return _converse(endpoint, deadline, ask)


class _Misbehaved(Exception):
    """A server broke a rule of ours; the message is ours, too."""


def _converse(endpoint: Endpoint, deadline: float, ask: Callable[[Any, Meter], Awaitable[T]]) -> T:
    meter = Meter()
    try:
        found = anyio.run(_conversation, endpoint, deadline, ask, meter)
    except Exception as error:  # noqa: BLE001  # whatever a server makes the library stumble over, it has failed
        raise _failed(_reason(meter, _first(error)), meter) from None
    if meter.fault or not found:
        raise _failed(meter.fault or "it did not answer in time", meter)
    return found[0]


def _failed(reason: str, meter: Meter) -> ServerFailed:
    return ServerFailed(reason, sent=meter.sent, is_unauthorized=meter.is_unauthorized)


async def _conversation(
    endpoint: Endpoint, deadline: float, ask: Callable[[Any, Meter], Awaitable[T]], meter: Meter
) -> tuple[T] | tuple[()]:
    """Return what was asked for; nothing when the time was over or the meter ended it."""
    from mcp import Client
    from mcp_types import Implementation

    from gateway.mcp.http import over_http
    from gateway.mcp.stdio import caged

    seconds = max(0.0, deadline - time.monotonic())
    with anyio.move_on_after(seconds) as meter.scope:
        transport = (
            caged(endpoint, meter, deadline=deadline)
            if endpoint.transport == "stdio"
            else over_http(endpoint, meter, seconds=seconds)
        )
        own = Implementation(name="worka", version=settings.WORKA_VERSION)
        async with Client(metered(transport, meter), mode="auto", cache=None, client_info=own) as client:
            return (await ask(client, meter),)
    return ()


def _told_to(endpoint: Endpoint) -> frozenset[str]:
    """Return what a server is told in confidence and must not put into what is stored of it."""
    words = {word for value in endpoint.headers.values() for word in (value, *value.split())}
    return frozenset(word for word in words if len(word) >= SHORTEST)


async def _tools(client: Any, confidential: frozenset[str]) -> tuple[tuple[Definition, ...], dict[str, str]]:
    found: dict[str, Definition] = {}
    unusable: dict[str, str] = {}
    cursor = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode="bypass")
        for tool in page.tools:
            if tool.name in found or tool.name in unusable:
                raise _Misbehaved(f"it serves two tools called {excerpt(tool.name)}")
            definition = _definition(tool)
            if any(word in text for text in texts_in(definition.as_json()) for word in confidential):
                raise _Misbehaved("it repeats the credentials that it was given")
            if why := _why_unusable(definition):
                unusable[excerpt(tool.name, LONGEST_NAME)] = why
            else:
                found[tool.name] = definition
        if len(found) + len(unusable) > MOST_TOOLS:
            raise _Misbehaved(f"it serves more than {MOST_TOOLS} tools")
        cursor = page.next_cursor
        if cursor is None:
            return tuple(found.values()), unusable
    raise _Misbehaved(f"its list of tools has more than {MOST_PAGES} pages")


def _definition(tool: Any) -> Definition:
    served = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Definition(
        name=tool.name,
        description=tool.description or "",
        input_schema=served["inputSchema"],
        output_schema=served.get("outputSchema"),
        annotations=served.get("annotations", {}),
    )


def _why_unusable(tool: Definition) -> str:
    try:
        size = len(canonical(tool.as_json()))
    except Refused:
        return "its description has no canonical form"
    if _has_big_number([tool.input_schema, tool.output_schema, tool.annotations]):
        return "its description has a number that is not read back as it was written"
    if not tool.name or len(tool.name) > LONGEST_NAME:
        return "its name is empty or too long"
    return f"its description is larger than {MOST_DEFINITION // 1024} KiB" if size > MOST_DEFINITION else ""


def _has_big_number(value: Any) -> bool:
    """Say whether there is a float that the data base would give back as an integer without a canonical form."""
    match value:
        case float():
            return abs(value) > MAX_INTEGER
        case dict():
            return any(map(_has_big_number, value.values()))
        case list():
            return any(map(_has_big_number, value))
        case _:
            return False


def _first(error: BaseException) -> BaseException:
    """Return the error that a group of tasks failed with."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _reason(meter: Meter, error: BaseException) -> str:
    """Say why a conversation failed: our own reason, what the server said, or what kind of error it was."""
    from mcp import MCPError

    if meter.fault:
        return meter.fault
    if isinstance(error, _Misbehaved | CageMissing):
        return str(error)
    stderr = bytes(meter.stderr)
    if missing := why_missing(stderr):
        return missing
    wrote = excerpt(stderr.decode("utf-8", "replace").strip().rpartition("\n")[2], 200)
    said = (
        f"it said: {excerpt(str(error), 200)}" if isinstance(error, MCPError) else f"it failed ({type(error).__name__})"
    )
    return f"{said}; it wrote: {wrote}" if wrote else said
