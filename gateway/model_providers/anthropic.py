"""Any endpoint that speaks the Anthropic Messages API: Anthropic's own, or a model server inside the network."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from gateway.model_provider import ModelFailed, ModelProvider, Part, ProviderSettings, Reply
from governance.core.prices import Usage

LONGEST_PAUSE_S = 20.0
FIRST_PAUSE_S = 0.5
LARGEST_ANSWER = 16 * 2**20
LARGEST_EVENT = 2**20
OVERLOADED = 529
BOTH = frozenset({"input_tokens", "output_tokens"})


class Anthropic(ModelProvider):
    """The official client, with its own retries off: what may be repeated is decided here."""

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings

    @classmethod
    def from_settings(cls, settings: ProviderSettings) -> "Anthropic":
        return cls(settings)

    @cached_property
    def _client(self) -> Any:
        # Takes more than a second to import, and a deployment without models never needs it.
        import anthropic
        import httpx2

        # No proxy and no key from the environment: what goes out, and as whom, is this deployment's setting alone.
        http = httpx2.AsyncClient(trust_env=False, timeout=httpx2.Timeout(self.settings.timeout_s, connect=10.0))
        return anthropic.AsyncAnthropic(
            api_key=self.settings.key or "none",
            auth_token=None,
            base_url=self.settings.url or "https://api.anthropic.com",
            max_retries=0,
            timeout=self.settings.timeout_s,
            http_client=http,
        )

    async def answer(self, body: Mapping[str, Any], betas: Sequence[str]) -> Reply:
        """Return the whole answer, bounded in size."""
        async with self._asked({**body, "stream": False}, betas) as response:
            content = b""
            async for chunk in response.iter_bytes():
                content += chunk
                if len(content) > LARGEST_ANSWER:
                    raise ModelFailed("the answer is larger than any should be", "broken_answer", is_billed=True)
            request_id = response.headers.get("request-id", "")
        try:
            said = json.loads(content)
            usage = _usage(said)
            if usage is None:
                raise ValueError("it does not tell what it used")
        except (ValueError, TypeError):
            raise ModelFailed(
                "the answer is no message", "broken_answer", is_billed=True, request_id=request_id
            ) from None
        return Reply(content, usage, str(said.get("stop_reason") or ""), request_id)

    async def stream(self, body: Mapping[str, Any], betas: Sequence[str]) -> AsyncIterator[Part]:
        """Yield events as they come."""
        async with self._asked({**body, "stream": True}, betas) as response:
            request_id = response.headers.get("request-id", "")
            event: list[str] = []
            size = 0
            usage: Usage | None = None
            is_whole = False
            async for line in response.iter_lines():
                size += len(line)
                if size > LARGEST_EVENT:
                    raise ModelFailed("an event is larger than any should be", "broken_answer", is_billed=True)
                if line:
                    event.append(line)
                    continue
                if event:
                    part = _part(event, usage, request_id)
                    usage = part.usage or usage
                    is_whole = is_whole or part.is_last
                    yield part
                event, size = [], 0
            if not is_whole:
                raise ModelFailed(
                    "the answer broke off in the middle", "broken_answer", is_billed=True, request_id=request_id
                )

    async def close(self) -> None:
        if "_client" in vars(self):
            await self._client.close()

    @asynccontextmanager
    async def _asked(self, body: Mapping[str, Any], betas: Sequence[str]) -> AsyncIterator[Any]:
        """Open a request; one that the provider turned away unseen is repeated, one that it may have worked on never is."""
        import anthropic
        import httpx2

        headers = {"anthropic-beta": ",".join(betas)} if betas else {}
        failure, is_open = None, False
        for turn in range(self.settings.retries + 1):
            if failure is not None:
                await asyncio.sleep(failure.retry_after_s or FIRST_PAUSE_S * 2**turn)
            try:
                # What is sent is the body as it was judged: the client's own list of fields is that of another day.
                async with self._client.messages.with_streaming_response.create(
                    model=body["model"],
                    max_tokens=body["max_tokens"],
                    messages=body["messages"],
                    stream=body["stream"],
                    extra_body=dict(body),
                    extra_headers=headers,
                ) as response:
                    is_open = True
                    yield response
                    return
            except ModelFailed:
                raise
            except anthropic.APIStatusError as error:
                failure = _status_failure(error)
            except (anthropic.APITimeoutError, httpx2.TimeoutException):
                raise ModelFailed("the model did not answer in time", "timeout", is_billed=True) from None
            except anthropic.APIConnectionError as error:
                if is_open or not isinstance(error.__cause__, httpx2.ConnectError):
                    raise ModelFailed("the connection broke", "broken_answer", is_billed=True) from None
                failure = ModelFailed("the model provider cannot be reached", "unreachable")
            except httpx2.HTTPError:
                raise ModelFailed("the answer broke off in the middle", "broken_answer", is_billed=True) from None
            if failure.kind not in ("rate_limited", "overloaded", "unreachable"):
                raise failure
            if (failure.retry_after_s or 0) > LONGEST_PAUSE_S:
                raise failure
        assert failure is not None
        raise failure


def _status_failure(error: Any) -> ModelFailed:
    """Name what an error status means; nothing that the provider says about keys is repeated."""
    status, request_id = error.status_code, error.response.headers.get("request-id", "")
    retry_after = _seconds(error.response.headers.get("retry-after", ""))
    if status in (401, 403):
        return ModelFailed(
            "the model provider does not accept this deployment's key", "authentication", request_id=request_id
        )
    if status == 429:
        return ModelFailed(
            "the model provider limits how much may be asked", "rate_limited", retry_after_s=retry_after, request_id=request_id
        )  # fmt: skip
    if status in (OVERLOADED, 503):
        return ModelFailed(
            "the model provider is overloaded", "overloaded", retry_after_s=retry_after, request_id=request_id
        )
    if 400 <= status < 500:
        said = error.body.get("error", {}) if isinstance(error.body, dict) else {}
        message = str(said.get("message", ""))[:300] if isinstance(said, dict) else ""
        return ModelFailed(
            f"the model provider refuses the request: {message or status}", "refused_request", request_id=request_id
        )
    return ModelFailed(
        f"the model provider failed with status {status}", "upstream", is_billed=True, request_id=request_id
    )


def _part(lines: Sequence[str], before: Usage | None, request_id: str) -> Part:
    """Read one event; what cannot be read goes on as it came, and counts nothing."""
    content = ("\n".join(lines) + "\n\n").encode()
    try:
        said = json.loads("".join(line[5:].strip() for line in lines if line.startswith("data:")))
        kind = said["type"]
    except (ValueError, KeyError, TypeError):
        return Part(content, request_id=request_id)
    match kind:
        case "message_start":
            return Part(content, _usage(said.get("message")), request_id=request_id)
        case "message_delta":
            usage = _told_later(said, before)
            reason = str((said.get("delta") or {}).get("stop_reason") or "")
            return Part(content, usage, stop_reason=reason, request_id=request_id)
        case "content_block_delta":
            delta = said.get("delta") or {}
            text = str(delta.get("text") or delta.get("partial_json") or delta.get("thinking") or "")
            return Part(content, characters=len(text), request_id=request_id)
        case "error":
            about = said.get("error") or {}
            busy = about.get("type") == "overloaded_error"
            raise ModelFailed(
                "the model provider is overloaded" if busy else "the model provider failed in the middle of its answer",
                "overloaded" if busy else "broken_answer",
                is_billed=True,
                request_id=request_id,
            )
        case _:
            return Part(content, is_last=kind == "message_stop", request_id=request_id)


def _usage(said: Any, *, at_least: frozenset[str] = BOTH) -> Usage | None:
    """Return what an answer or an event tells of its usage; None where it does not tell that much, or nothing countable."""
    told = said.get("usage") if isinstance(said, dict) else None
    if not isinstance(told, dict) or not at_least <= told.keys():
        return None
    try:
        return Usage.from_json(told)
    except ValueError:
        return None


def _told_later(said: dict[str, Any], before: Usage | None) -> Usage | None:
    """Return the usage after the event that ends a stream: its output, and of the rest what was told at the start."""
    if before is None:
        return _usage(said)
    told = _usage(said, at_least=frozenset({"output_tokens"}))
    if told is None:
        return before
    return Usage(
        max(told.input_tokens, before.input_tokens),
        told.output_tokens,
        max(told.cache_write_tokens, before.cache_write_tokens),
        max(told.cache_read_tokens, before.cache_read_tokens),
    )


def _seconds(text: str) -> float | None:
    try:
        return max(0.0, float(text))
    except ValueError:
        return None
