"""Write a decision down: the gate, the facts it was made on, and the entry in the ledger."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from audit import correlation
from audit.core.canonical import canonical, digest
from audit.core.codes import Code
from audit.rows import insert
from audit.transition import born
from governance.actions.wording import LONGEST_ERROR, told
from governance.caller import Caller
from governance.core.evaluate import Decision
from governance.core.facts import Request
from governance.core.masking import TOKEN
from governance.core.states import GateState
from governance.models import Gate, Plan, Run, Step
from governance.payloads import keep

DEFAULT_EXPIRY = timedelta(hours=24)
# What is refused costs an agent nothing, so it must not cost us much either.
LARGEST_REFUSED = 4096
IN_PAYLOAD = {"$payload": "input"}
STATE_OF_EFFECT = {"allow": GateState.ALLOWED, "deny": GateState.DENIED, "hold": GateState.WAITING}


def store_gate(
    caller: Caller,
    run: Run,
    step: Step | None,
    request: Request,
    decision: Decision,
    *,
    subject: str = "",
    call_id: str = "",
    plan: Plan | None = None,
    payload: Mapping[str, Any] | None = None,
    decision_us: int = 0,
) -> Gate:
    """Record a decision with the facts it was made on; a hold is born waiting, with its expiry.

    `payload` is what people would agree to; its digest is what their consent is bound to. Of a denial the arguments are
    kept once, and only as digest and size (bytes) beyond 4 KiB.
    """
    if decision.effect == "deny":
        # It may repeat what was sent: a name that is not known, a field that does not fit.
        decision, subject = (
            replace(decision, reason=told(decision.reason, (TOKEN,), LONGEST_ERROR)),
            told(subject, (TOKEN,), 160),
        )
    evidence = _evidence(request, payload, decision.effect)
    stored = keep(run.workspace_id, run.pk, "gate", canonical(evidence), digest(evidence))
    gate = Gate(
        workspace_id=run.workspace_id,
        run=run,
        step=step,
        plan=plan,
        job_name=caller.job_name,
        attempt=caller.attempt,
        action=request.action,
        subject=subject,
        call_id=call_id,
        agent_name=caller.agent,
        caller=str(caller.principal),
        effect=decision.effect,
        code=decision.code,
        reason=decision.reason,
        rules=decision.rules_as_json(),
        manifest_digests=list(decision.manifests),
        decision_us=decision_us,
        correlation_id=correlation.current(),
        payload=stored,
        payload_digest=digest(payload) if payload is not None else "",
        state=STATE_OF_EFFECT[decision.effect],
    )
    if decision.effect == "hold":
        held_plan = plan or (step.plan if step else None)
        gate.plan_hash = held_plan.plan_hash if held_plan else ""
        gate.thresholds = [threshold.as_json() for threshold in decision.thresholds]
        gate.expires_at = gate.created_at + (decision.expires or DEFAULT_EXPIRY)
    insert(gate)
    born(
        gate,
        by=caller.principal,
        because=decision.reason,
        action=request.action,
        about=subject,
        call_id=call_id,
        code=decision.code,
    )
    return gate


def as_denial(decision: Decision, code: Code, reason: str) -> Decision:
    """Return the same decision turned into a denial, for what rules do not know: budgets, locks, drift, bad input."""
    return replace(decision, effect="deny", code=str(code), reason=reason, thresholds=())


def request_in(evidence: Mapping[str, Any]) -> Request | None:
    """Return the request that a gate was decided on, for a replay; None when its arguments were too large to be kept."""
    facts, payload = dict(evidence["facts"]), evidence["payload"] or {}
    if facts["args"] == IN_PAYLOAD:
        facts["args"] = payload["input"]
    return None if evidence.get("cut") else Request.from_json(facts)


def _evidence(request: Request, payload: Mapping[str, Any] | None, effect: str) -> dict[str, Any]:
    facts = request.as_json()
    if effect != "deny":
        return {"facts": facts, "payload": payload}
    args, given = facts["args"], (payload or {}).get("input")
    short, is_cut = _shortened(args)
    if payload is not None and "input" in payload:
        payload = {**payload, "input": _shortened(given)[0]}
        short = IN_PAYLOAD if given == args and not is_cut else short
    evidence = {"facts": {**facts, "args": short}, "payload": payload}
    return {**evidence, "cut": True} if is_cut else evidence


def _shortened(value: Any) -> tuple[Any, bool]:
    size = len(canonical(value))
    return ({"digest": digest(value), "size": size}, True) if size > LARGEST_REFUSED else (value, False)
