"""The model of this deployment: whether there is one, who answers for it, and how a call of it is carried out and settled."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import structlog
from django.conf import settings

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.door.identity import Arrival
from gateway.door.pools import in_database
from gateway.model_provider import ModelFailed, ModelProvider, Part, ProviderSettings, Reply, all_model_providers
from gateway.models import LlmCall
from gateway.spending import NOTHING, Ended, Reserved, reserve_model_call, settle_lost_calls, settle_model_call
from governance.caller import Caller
from governance.core.model_request import BYTES_PER_TOKEN
from governance.core.prices import Usage

log = structlog.get_logger(__name__)

T = TypeVar("T")
BROKEN = ModelFailed("the model could not be asked; the server's log has more", "upstream", is_billed=True)

CODES: Mapping[str, Code] = {
    "rate_limited": Code.RATE_LIMITED,
    "overloaded": Code.UNAVAILABLE,
    "authentication": Code.UNAVAILABLE,
    "unreachable": Code.UNAVAILABLE,
    "refused_request": Code.BAD_INPUT,
}
"""What an agent is told; every other kind is `model_failed`."""

RECOVERY: Mapping[str, str] = {
    "authentication": "The operator must give a valid key: ANTHROPIC_API_KEY.",
    "unreachable": "The operator must look at WORKA_MODEL_URL and the network.",
    "refused_request": "Mend the request.",
}


def configured_model() -> str:
    """Return the name of the model that agents use by default, or nothing where no provider is configured."""
    return str(settings.WORKA_MODEL) if settings.WORKA_MODEL_KEY or settings.WORKA_MODEL_URL else ""


def provider() -> ModelProvider:
    """Return the provider for the running event loop; its connections belong to that loop."""
    about = _provider_settings()
    of_loop = _providers.setdefault(asyncio.get_running_loop(), {})
    if about not in of_loop:
        of_loop[about] = all_model_providers()[settings.WORKA_MODEL_PROVIDER].from_settings(about)
    return of_loop[about]


# By the loop itself, not its id, which another gets when this one is gone.
_providers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ProviderSettings, ModelProvider]] = WeakKeyDictionary()


def _provider_settings() -> ProviderSettings:
    return ProviderSettings(settings.WORKA_MODEL_URL, settings.WORKA_MODEL_KEY, settings.WORKA_MODEL_TIMEOUT_S)


def reserve(asker: Caller | Arrival, body: Mapping[str, Any]) -> Reserved:
    """Decide on a call and reserve what it may cost."""
    return reserve_model_call(
        asker,
        body,
        provider=settings.WORKA_MODEL_PROVIDER,
        prices=settings.WORKA_MODEL_PRICES,
        timeout=timedelta(seconds=settings.WORKA_MODEL_TIMEOUT_S),
    )


def settle(call: LlmCall, ended: Ended) -> LlmCall:
    """Write down how a call ended, and what it cost."""
    return settle_model_call(call.run_id, call.pk, ended, prices=settings.WORKA_MODEL_PRICES, known=call)


def sweep() -> int:
    """Count calls that nobody settled."""
    return settle_lost_calls(settings.WORKA_MODEL_PRICES)


async def whole_answer(call: LlmCall, body: Mapping[str, Any], betas: Sequence[str]) -> Reply:
    """Carry out a reserved call and settle it before anybody is answered; refuses with what went wrong."""
    try:
        async with asyncio.timeout(settings.WORKA_MODEL_TIMEOUT_S):
            reply = await provider().answer(body, betas)
    except (ModelFailed, TimeoutError) as error:
        failure = _as_failure(error)
        await in_database(settle, call, _ended_badly(failure, None))
        raise _refusal(failure) from None
    except asyncio.CancelledError:
        await _to_its_end(in_database(settle, call, Ended("leave")))
        raise
    except Exception:
        # A provider that breaks its contract: nobody knows what was billed.
        log.exception("provider_broke_its_contract", provider=call.provider, call=str(call.pk))
        await in_database(settle, call, _ended_badly(BROKEN, None))
        raise _refusal(BROKEN) from None
    await in_database(settle, call, Ended("succeed", reply.usage, reply.stop_reason, reply.request_id))
    return reply


class Streamed:
    """A streamed answer under way. It is settled once: when it is whole, when it breaks, or when the agent leaves."""

    def __init__(self, call: LlmCall, parts: AsyncIterator[Part]) -> None:
        self.call = call
        self._parts = parts
        self._usage: Usage | None = None
        self._characters = 0
        self._stop_reason = ""
        self._request_id = ""
        self._is_settled = False

    async def begin(self) -> bytes:
        """Return the first event; what the provider refuses at once is refused here, and settled."""
        try:
            async with asyncio.timeout(settings.WORKA_MODEL_TIMEOUT_S):
                return self._note(await anext(self._parts))
        except (ModelFailed, TimeoutError, StopAsyncIteration) as error:
            failure = _as_failure(error)
            await self._settle(_ended_badly(failure, self._counted()))
            raise _refusal(failure) from None
        except asyncio.CancelledError:
            await self._settle(Ended("leave", self._counted()))
            raise
        except Exception:
            log.exception("provider_broke_its_contract", provider=self.call.provider, call=str(self.call.pk))
            await self._settle(_ended_badly(BROKEN, None))
            raise _refusal(BROKEN) from None

    async def rest(self) -> AsyncIterator[bytes]:
        """Yield the other events; the last one only after the call is settled. A break is told as the API tells it."""
        try:
            async with asyncio.timeout(settings.WORKA_MODEL_TIMEOUT_S):
                async for part in self._parts:
                    content = self._note(part)
                    if part.is_last:
                        # Who never says what it used is counted in full.
                        await self._settle(Ended("succeed", self._usage, self._stop_reason, self._request_id))
                    yield content
        except (ModelFailed, TimeoutError) as error:
            failure = _as_failure(error)
            await self._settle(_ended_badly(failure, self._counted()))
            yield _error_event(failure)
        finally:
            # Whoever was told the end has settled; here the agent has gone away in the middle.
            await _to_its_end(self._leave())

    async def _leave(self) -> None:
        await self._settle(Ended("leave", self._counted(), request_id=self._request_id))
        closing = getattr(self._parts, "aclose", None)
        if closing is not None:
            await closing()

    def _note(self, part: Part) -> bytes:
        self._usage = part.usage or self._usage
        self._characters += part.characters
        self._stop_reason = part.stop_reason or self._stop_reason
        self._request_id = part.request_id or self._request_id
        return part.content

    def _counted(self) -> Usage | None:
        """Return what is known of an answer that ends early: what was told, and its text where that tells more."""
        if self._usage is None:
            return None
        heard = -(-self._characters // BYTES_PER_TOKEN)
        return Usage(
            self._usage.input_tokens,
            max(self._usage.output_tokens, heard),
            self._usage.cache_write_tokens,
            self._usage.cache_read_tokens,
        )

    async def _settle(self, ended: Ended) -> None:
        if not self._is_settled:
            self._is_settled = True
            await _to_its_end(in_database(settle, self.call, ended))


_unfinished: set["asyncio.Task[Any]"] = set()


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for what must be done to its end although whoever waits may be cancelled."""
    task = asyncio.ensure_future(work)
    _unfinished.add(task)
    task.add_done_callback(_unfinished.discard)
    return await asyncio.shield(task)


def _as_failure(error: BaseException) -> ModelFailed:
    if isinstance(error, ModelFailed):
        return error
    if isinstance(error, TimeoutError):
        return ModelFailed("the model did not answer in time", "timeout", is_billed=True)
    return ModelFailed("the model said nothing", "broken_answer", is_billed=True)


def _ended_badly(failure: ModelFailed, counted: Usage | None) -> Ended:
    usage = counted if failure.is_billed else NOTHING
    return Ended("fail", usage, request_id=failure.request_id, error={"code": failure.kind, "message": str(failure)})


def _refusal(failure: ModelFailed) -> Refused:
    return Refused(
        str(failure),
        code=CODES.get(failure.kind, Code.MODEL_FAILED),
        recovery=RECOVERY.get(failure.kind, "Ask again a little later."),
        retry_after_s=failure.retry_after_s,
        facts={"reason": failure.kind},
    )


def _error_event(failure: ModelFailed) -> bytes:
    kind = "overloaded_error" if failure.kind == "overloaded" else "api_error"
    said = json.dumps({"type": "error", "error": {"type": kind, "message": str(failure)}})
    return f"event: error\ndata: {said}\n\n".encode()
