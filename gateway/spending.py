"""Reserve what a model call may cost, and settle what it did cost: the only writer of model calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import DataError, transaction
from django.utils.timezone import now as clock

from audit.core.canonical import digest
from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import SYSTEM
from audit.rows import Wanted, find_in_order, hold, insert, lock_unread, together
from audit.transition import born, transition
from gateway.door.identity import Arrival
from gateway.models import LlmCall
from governance.actions.budgets import reserve_spending, settle_spending, spending_asked
from governance.actions.decisions import as_denial, store_gate
from governance.actions.locks import lock_arrival_and_read, lock_attempt_and_read
from governance.actions.wording import told
from governance.caller import Caller
from governance.core.facts import CALL_MODEL
from governance.core.masking import TOKEN
from governance.core.model_request import estimated_input
from governance.core.prices import Price, Usage, cost_usd, dearest, price_of, too_little
from governance.core.states import ModelCallState
from governance.gather import judge, standing_asked, standing_in
from governance.models import Gate, Run, Step
from runtime.queries import job_and_standing_asked

log = structlog.get_logger(__name__)

LEASE_GRACE = timedelta(seconds=30)
LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Reserved:
    """A model call that may be made now, or why not. Exactly one of `call` and `code` is there; the gate always is."""

    gate: Gate
    call: LlmCall | None = None
    code: Code | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a model call ended. `usage` is what was counted; without it, the whole reservation is what it cost."""

    event: str
    usage: Usage | None = None
    stop_reason: str = ""
    request_id: str = ""
    error: Mapping[str, Any] | None = None


NOTHING = Usage()


@transaction.atomic
def reserve_model_call(
    asker: Caller | Arrival, body: Mapping[str, Any], *, provider: str, prices: Mapping[str, Price], timeout: timedelta
) -> Reserved:
    """Decide on a model call, reserve the most that it can cost, and store the intent. A denial is a value, and committed.

    Somebody who has only arrived is recognised in the same exchange with the server; refuses with `job_over`, and an arrival
    as `Arrival.arrive` does.
    """
    caller, run, step, standing, spending = _locked(asker)
    model, price = str(body["model"]), price_of(str(body["model"]), prices)
    tokens_in, tokens_out = estimated_input(body), int(body["max_tokens"])
    args: dict[str, Any] = {
        "max_tokens": tokens_out,
        "estimated_input": tokens_in,
        "stream": bool(body.get("stream")),
        "tools": sorted(str(tool["name"]) for tool in body.get("tools", ()))[:100],
        "digest": digest(dict(body)),
    }
    request, decision, micros = judge(
        caller, run, step, CALL_MODEL, standing=standing_in(standing), model=model, args=args
    )
    code, reason = (Code(decision.code), decision.reason) if decision.effect != "allow" else (None, "")
    usd = dearest(tokens_in, tokens_out, price)
    if code is None and price is None:
        code, reason = Code.POLICY_DENIED, f"no price is set for the model {model}, so no budget can hold it"
    if code is None and (why := too_little(spending, usd=usd, tokens=tokens_in + tokens_out)):
        code, reason = Code.BUDGET_EXCEEDED, why
    if code is not None:
        decision = as_denial(decision, code, reason)
        gate = store_gate(caller, run, step, request, decision, subject=model, decision_us=micros)
        return Reserved(gate, None, code, gate.reason)
    now = clock()
    with together():
        reserve_spending(run.pk, usd=usd, tokens=tokens_in + tokens_out)
        gate = store_gate(caller, run, step, request, decision, subject=model, decision_us=micros)
        call = LlmCall(
            workspace_id=run.workspace_id,
            run=run,
            step=step,
            gate=gate,
            job_name=caller.job_name,
            attempt=caller.attempt,
            agent_name=caller.agent,
            provider=provider,
            model=model,
            streamed=args["stream"],
            request_digest=args["digest"],
            reserved_usd=usd,
            reserved_tokens=tokens_in + tokens_out,
            lease_until=now + timeout + LEASE_GRACE,
            state=ModelCallState.RUNNING,
        )
        insert(call)
        born(call, by=caller.principal, agent=caller.agent, reserved_usd=usd, reserved_tokens=call.reserved_tokens)
    return Reserved(gate, call)


def _locked(asker: Caller | Arrival) -> tuple[Caller, Run, Step | None, Sequence[Any], Sequence[Any] | None]:
    """Lock the run and step of who asks, and read what a decision about a model needs; return them as a caller."""
    said = asker.claims if isinstance(asker, Arrival) else asker
    also = standing_asked(said.agent, said.workspace_id), spending_asked(said.run_id)
    if isinstance(asker, Arrival):
        first = job_and_standing_asked(asker.claims.job_id)
        caller, run, step, (standing, spending) = lock_arrival_and_read(said, first, asker.arrive, *also)
        return caller, run, step, standing, spending
    run, step, (standing, spending) = lock_attempt_and_read(asker, *also)
    return asker, run, step, standing, spending


def settle_model_call(
    run_id: UUID, call_id: UUID, ended: Ended, *, prices: Mapping[str, Price], known: LlmCall | None = None
) -> LlmCall:
    """Write down how a model call of a run ended and count what it cost; one that was settled already stays as it is.

    With `known`, the call as it was reserved, it is not read first: that nobody has settled it is found in the writing.
    """
    if known is not None and known.state == ModelCallState.RUNNING:
        try:
            with transaction.atomic():
                lock_unread(Run, run_id)
                hold(known)
                return _settle(known, ended, prices)
        except DataError:
            log.info("model_call_settled_before", call=str(call_id))
    with transaction.atomic():
        _, call = find_in_order(Wanted(Run, {"pk": run_id}), Wanted(LlmCall, {"pk": call_id, "run": run_id}))
        if call is None:
            raise LlmCall.DoesNotExist(f"the run {run_id} has no model call {call_id}")
        found: LlmCall = call
        return found if found.state != ModelCallState.RUNNING else _settle(found, ended, prices)


def _settle(call: LlmCall, ended: Ended, prices: Mapping[str, Price]) -> LlmCall:
    usage = ended.usage
    usd = call.reserved_usd if usage is None else cost_usd(usage, price_of(call.model, prices))
    tokens = call.reserved_tokens if usage is None else usage.tokens
    counted = usage or NOTHING
    error = dict(ended.error) if ended.error else None
    if error is not None:
        error["message"] = told(str(error.get("message", "")), (TOKEN,), LONGEST_ERROR)
    with together():
        settle_spending(
            call.run_id, reserved_usd=call.reserved_usd, reserved_tokens=call.reserved_tokens, usd=usd, tokens=tokens
        )
        transition(
            call,
            ended.event,
            by=SYSTEM,
            because=error["message"] if error else "the model answered",
            details={"cost_usd": usd, "tokens": tokens, "counted": usage is not None},
            input_tokens=counted.input_tokens,
            output_tokens=counted.output_tokens,
            cache_write_tokens=counted.cache_write_tokens,
            cache_read_tokens=counted.cache_read_tokens,
            cost_usd=usd,
            stop_reason=ended.stop_reason[:32],
            request_id=ended.request_id[:80],
            error=error,
            finished_at=clock(),
        )
    return call


def settle_lost_calls(prices: Mapping[str, Price]) -> int:
    """Count every model call whose lease is over in full: who made it is gone, and the provider may have answered."""
    late = LlmCall.objects.filter(state=ModelCallState.RUNNING, lease_until__lt=clock())
    lost = 0
    for run_id, pk in list(late.values_list("run_id", "pk")[:100]):
        why = {"code": "lost", "message": "who made the call is gone, and its answer with it"}
        try:
            settle_model_call(run_id, pk, Ended("lose", error=why), prices=prices)
            lost += 1
        except Refused:
            continue  # it was settled after all
    return lost
