"""A strict MCP server of the tests' own, made with mcp's: what it serves and how it behaves is changed under the client."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from starlette.responses import PlainTextResponse

from tests.gateway.live import serving

TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
COUNTED = {"type": "object", "properties": {"length": {"type": "integer"}}, "required": ["length"]}


def tool(name: str, description: str = "Says it again.", **more: Any) -> types.Tool:
    return types.Tool(name=name, description=description, input_schema=TEXT, **more)


@dataclass
class Shelf:
    """What is served (`tools`), what was called, and where. With `wants`, only who sends one of these in `Authorization` is heard."""

    url: str = ""
    wants: tuple[str, ...] = ()
    turned_away: int = 0
    tools: list[types.Tool] = field(default_factory=list)
    called: list[tuple[str, Any]] = field(default_factory=list)

    def fresh(self) -> "Shelf":
        self.called, self.wants, self.turned_away = [], (), 0
        self.tools = [
            tool("echo", annotations=types.ToolAnnotations(read_only_hint=True, title="Harmless")),
            tool("count", "Counts letters.", output_schema=COUNTED),
            tool("lie", "Counts letters, badly.", output_schema=COUNTED),
            tool("fail", "Fails."),
            tool("hang", "Hangs."),
            tool("heavy", "Answers with too much."),
        ]
        return self

    async def list_tools(self, ctx: Any, params: Any) -> types.ListToolsResult:
        """Serve two a page, so that every listing is walked."""
        start = int(params.cursor) if params is not None and params.cursor else 0
        more = str(start + 2) if start + 2 < len(self.tools) else None
        return types.ListToolsResult(
            tools=self.tools[start : start + 2], next_cursor=more, ttl_ms=60_000, cache_scope="public"
        )

    async def call_tool(self, ctx: Any, params: Any) -> types.CallToolResult:
        self.called.append((params.name, params.arguments))
        said = params.arguments["text"]
        match params.name:
            case "count":
                return _said(str(len(said)), structured_content={"length": len(said)})
            case "lie":
                return _said("many", structured_content={"length": "many"})
            case "fail":
                return _said("the disk\x1b[31m is full", is_error=True)
            case "hang":
                await asyncio.sleep(30)
            case "heavy":
                return _said("x" * 2 * 1024**2)
        return _said(said)


def _said(text: str, **more: Any) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], **more)


class _Guard:
    """Turns away who does not send what the shelf wants, before the server hears of it."""

    def __init__(self, inner: Any, shelf: Shelf) -> None:
        self._inner, self._shelf = inner, shelf

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and self._shelf.wants:
            given = dict(scope["headers"]).get(b"authorization", b"").decode()
            if given not in self._shelf.wants:
                self._shelf.turned_away += 1
                said = f"you sent {given}, and that is wrong"
                await PlainTextResponse(said, 401)(scope, receive, send)
                return
        await self._inner(scope, receive, send)


@contextmanager
def serving_shelf() -> Iterator[Shelf]:
    """Serve a shelf by streamable HTTP on a port of this machine, in a thread."""
    shelf = Shelf()
    app = Server("shelf", version="1", on_list_tools=shelf.list_tools, on_call_tool=shelf.call_tool)
    listener = socket.create_server(("127.0.0.1", 0))
    shelf.url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    with serving(_Guard(app.streamable_http_app(), shelf), listener):
        yield shelf
