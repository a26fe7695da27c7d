"""Decide on what an agent asks for beside calls, plans, artifacts and results."""

from django.db import transaction

from audit.core.codes import Code
from governance.actions.decisions import as_denial, store_gate
from governance.actions.locks import lock_attempt, lock_run, lock_step
from governance.caller import Caller
from governance.gather import judge
from governance.models import Gate, Run, Step


@transaction.atomic
def ask(caller: Caller, action: str, *, subject: str = "") -> Gate:
    """Decide on an action that calls no skill and store the gate; the edge reads its effect."""
    run, step = lock_attempt(caller)
    request, decision, micros = judge(caller, run, step, action)
    return store_gate(caller, run, step, request, decision, subject=subject, decision_us=micros)


@transaction.atomic
def deny(caller: Caller, action: str, code: Code, reason: str, *, subject: str = "", call_id: str = "") -> Gate:
    """Store a denial that no rule made: a body that names another agent, that is no JSON, that is too large."""
    run, step = lock_attempt(caller)
    return _denied(caller, run, step, action, code, reason, subject, call_id)


@transaction.atomic
def deny_late(caller: Caller, action: str, code: Code, reason: str) -> Gate:
    """Store a denial of what came after the caller's plan or result was accepted, when its attempt is over."""
    run = lock_run(caller.run_id)
    step = lock_step(caller.step_id) if caller.step_id is not None else None
    return _denied(caller, run, step, action, code, reason, "", "")


def _denied(
    caller: Caller, run: Run, step: Step | None, action: str, code: Code, reason: str, subject: str, call_id: str
) -> Gate:
    request, decision, micros = judge(caller, run, step, action)
    return store_gate(
        caller,
        run,
        step,
        request,
        as_denial(decision, code, reason),
        subject=subject[:160],
        call_id=call_id[:64],
        decision_us=micros,
    )
