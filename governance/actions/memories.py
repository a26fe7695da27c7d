"""Let an agent read what is remembered: one gate each time, and the taint of what it is given."""

from collections.abc import Iterable

from django.db import transaction

from governance.actions.decisions import store_gate
from governance.actions.locks import lock_attempt
from governance.actions.taint import grow_taint
from governance.caller import Caller
from governance.gather import judge
from governance.models import Gate


@transaction.atomic
def read_memories(caller: Caller, *, count: int, taint: Iterable[str]) -> Gate:
    """Decide whether the caller may read `count` memories and store the gate; allowed, it has read what they were made from.

    What a planner reads taints its run: every step of the plan is born with it.
    """
    run, step = lock_attempt(caller)
    request, decision, micros = judge(caller, run, step, "memory.read")
    about = f"{count} {'memory' if count == 1 else 'memories'}"
    gate = store_gate(caller, run, step, request, decision, subject=about, decision_us=micros)
    if decision.effect == "allow":
        grow_taint(step or run, taint)
    return gate
