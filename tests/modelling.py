"""Calls of models as agents make them: decided, reserved and settled by the real actions; only the provider is not asked."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from gateway.models import LlmCall
from gateway.spending import Ended, reserve_model_call, settle_model_call
from governance.core.prices import Price, Usage
from tests import desk
from tests.journeys import Journey

POLICY = desk.POLICY.replace("skill.invoke,", "skill.invoke, llm.call,").replace(
    'skills: ["desk.*"]', 'skills: ["desk.*"], models: ["claude-*"]'
)
PRICES = {"claude-*": Price.from_json({"input": 10, "output": 100})}
TIMEOUT = timedelta(minutes=1)


def ask_model(j: Journey, ref: str = "look", *, model: str = "claude-test", tokens: int = 50) -> LlmCall:
    """Let the agent of a step ask a model, and leave it waiting for the answer."""
    body = {"model": model, "max_tokens": tokens, "messages": [{"role": "user", "content": "Good morning"}]}
    reserved = reserve_model_call(j.caller(j.step(ref)), body, provider="anthropic", prices=PRICES, timeout=TIMEOUT)
    assert reserved.call is not None, reserved.reason
    return reserved.call


def settle(
    call: LlmCall, event: str = "succeed", usage: Usage | None = None, error: Mapping[str, Any] | None = None
) -> LlmCall:
    """Let a call end as it did."""
    return settle_model_call(
        call.run_id, call.pk, Ended(event, usage, "end_turn" if event == "succeed" else "", error=error), prices=PRICES
    )


def answered(j: Journey, ref: str = "look", *, into: int = 100, out: int = 20, **more: Any) -> LlmCall:
    """Let the agent of a step ask a model that answers; costs `into` × $0.00001 and `out` × $0.0001."""
    return settle(ask_model(j, ref, **more), usage=Usage(into, out))
