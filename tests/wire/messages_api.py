"""A server of the Anthropic Messages API: strict about what it is sent, scripted in what it answers.

Header and field names, events and error bodies are those of the documentation, and of the official client's own types.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.gateway.live import serving

KEY = "sk-ant-api03-the-key-of-these-tests"
VERSIONS = ("2023-06-01", "2026-10-21")
FIELDS = {
    "model", "max_tokens", "messages", "system", "temperature", "top_p", "top_k", "stop_sequences", "stream", "tools", "tool_choice",
    "thinking", "metadata", "output_config", "cache_control",
}  # fmt: skip
ERRORS = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error",
}  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """What the model says next: blocks and how they end, or an error, or a misbehaviour.

    `breaks_after` cuts a stream off after so many events; `stalls` never answers; `drips` waits for ever in mid-stream. Without `usage` it never says
    what it used.
    """

    blocks: Sequence[dict[str, Any]] = ()
    stop_reason: str = "end_turn"
    usage: tuple[Any, Any] | None = (100, 20)
    status: int = 200
    retry_after: str = ""
    message: str = "scripted"
    breaks_after: int | None = None
    stalls: bool = False
    drips: bool = False
    raw: bytes | None = None


def says(text: str, **more: Any) -> Turn:
    return Turn([{"type": "text", "text": text}], **more)


def uses(*tools: tuple[str, dict[str, Any]], text: str = "", **more: Any) -> Turn:
    """Return a turn that calls tools: (name, input)."""
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    blocks += [
        {"type": "tool_use", "id": f"toolu_{number:02}", "name": name, "input": given}
        for number, (name, given) in enumerate(tools, 1)
    ]
    return Turn(blocks, "tool_use", **more)


@dataclass
class MessagesApi:
    """The server's script and memory. The last turn is said again when the script is over."""

    turns: list[Turn] = field(default_factory=lambda: [says("Hello")])
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    url: str = ""

    def will(self, *turns: Turn) -> None:
        """Set what is said from now on."""
        self.turns = list(turns)

    def next_turn(self) -> Turn:
        return self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]

    async def messages(self, request: Request) -> Response:
        """Answer one request."""
        body = await request.json()
        self.headers.append(dict(request.headers))
        wrong = self._wrong_with(request, body)
        if wrong:
            return _error(*wrong)
        self.asked.append(body)
        turn = self.next_turn()
        if turn.stalls:
            await asyncio.sleep(60)
        if turn.status != 200:
            return _error(turn.status, turn.message, turn.retry_after)
        if turn.raw is not None:
            return Response(turn.raw, media_type="application/json")
        number = f"msg_{len(self.asked):04}"
        message = {
            "id": number, "type": "message", "role": "assistant", "model": body["model"], "content": list(turn.blocks),
            "stop_reason": turn.stop_reason, "stop_sequence": None,
            "usage": dict(zip(("input_tokens", "output_tokens"), turn.usage or (), strict=False)),
        }  # fmt: skip
        headers = {"request-id": f"req_{number}"}
        if body.get("stream"):
            return StreamingResponse(
                self._events(turn, message, request), media_type="text/event-stream", headers=headers
            )
        return JSONResponse(message, headers=headers)

    async def _events(self, turn: Turn, message: dict[str, Any], request: Request) -> AsyncIterator[bytes]:
        try:
            for number, event in enumerate(_events_of(turn, message)):
                if turn.breaks_after == number:
                    raise ConnectionResetError("scripted")
                yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
                if turn.drips and event["type"] == "content_block_delta":
                    await asyncio.sleep(60)
        except (asyncio.CancelledError, GeneratorExit):
            self.left.append(message["id"])
            raise

    @staticmethod
    def _wrong_with(request: Request, body: Any) -> tuple[int, str] | None:
        if KEY not in (
            request.headers.get("x-api-key"),
            request.headers.get("authorization", "").removeprefix("Bearer "),
        ):
            return 401, "invalid x-api-key"
        if request.headers.get("anthropic-version") not in VERSIONS:
            return 400, "anthropic-version: header is required"
        if request.headers.get("content-type") != "application/json":
            return 400, "content-type: application/json is required"
        unknown = set(body) - FIELDS
        if unknown:
            return 400, f"{sorted(unknown)[0]}: Extra inputs are not permitted"
        roles = [each["role"] for each in body["messages"]]
        if roles[0] != "user":
            return 400, "messages: first message must use the user role"
        return _tools_answered(body["messages"])


def _tools_answered(messages: list[dict[str, Any]]) -> tuple[int, str] | None:
    """Demand, as the API does, that every tool_use is answered in the next message, and nothing else is."""
    open_: set[str] = set()
    for place, message in enumerate(messages):
        blocks = message["content"] if isinstance(message["content"], list) else []
        answered = {each["tool_use_id"] for each in blocks if each["type"] == "tool_result"}
        if answered != open_:
            return 400, f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after"
        open_ = {each["id"] for each in blocks if each["type"] == "tool_use"}
    return (400, "messages: the last tool_use has no tool_result") if open_ else None


def _events_of(turn: Turn, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    usage = message["usage"] and {**message["usage"], "output_tokens": 1}
    start = {**message, "content": [], "stop_reason": None, "usage": usage}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(turn.blocks):
        if block["type"] == "text":
            yield {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
            for word in block["text"].split(" "):
                yield {
                    "type": "content_block_delta",
                    "index": index,
                    "delta": {"type": "text_delta", "text": word + " "},
                }
        else:
            yield {"type": "content_block_start", "index": index, "content_block": {**block, "input": {}}}
            said = json.dumps(block["input"])
            yield {
                "type": "content_block_delta",
                "index": index,
                "delta": {"type": "input_json_delta", "partial_json": said},
            }
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta", "delta": {"stop_reason": turn.stop_reason, "stop_sequence": None},
        "usage": {"output_tokens": turn.usage[1]} if turn.usage else {},
    }  # fmt: skip
    yield {"type": "message_stop"}


def _error(status: int, message: str, retry_after: str = "") -> Response:
    body = {
        "type": "error",
        "error": {"type": ERRORS.get(status, "api_error"), "message": message},
        "request_id": "req_error",
    }
    return JSONResponse(
        body, status, {"request-id": "req_error", **({"retry-after": retry_after} if retry_after else {})}
    )


@contextmanager
def messages_api() -> Iterator[MessagesApi]:
    """Serve a scripted Messages API on a free port of this machine."""
    api = MessagesApi()
    listener = socket.create_server(("127.0.0.1", 0))
    api.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with serving(Starlette(routes=[Route("/v1/messages", api.messages, methods=["POST"])]), listener):
        yield api
