"""Failures worth a look."""

from uuid import UUID

from django.db import transaction
from django.utils.timezone import now

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import record
from audit.principals import SYSTEM, Principal
from governance.actions.locks import lock_attempt
from governance.actions.wording import LONGEST_BECAUSE, LONGEST_ERROR, told
from governance.caller import Caller
from governance.gather import maskers_of
from governance.models import Burn, Run, Step


def store_burn(
    run: Run, step: Step | None, kind: str, reason: str, *, agent_name: str = "", job_name: str = ""
) -> Burn:
    """Write a failure down, on its own row and in the ledger."""
    burn = Burn.objects.create(
        workspace_id=run.workspace_id,
        run=run,
        step=step,
        kind=kind,
        reason=told(reason, maskers_of(run.workspace_id), LONGEST_ERROR),
        agent_name=agent_name,
        job_name=job_name,
    )
    record(
        "burn.store", burn, by=SYSTEM, because=burn.reason[:LONGEST_BECAUSE], kind=kind, job=job_name, agent=agent_name
    )
    return burn


@transaction.atomic
def acknowledge_burn(burn_id: UUID, *, by: Principal, because: str) -> Burn:
    """Say that somebody has looked at a failure; refuses with transition_refused when somebody has before."""
    burn = Burn.objects.select_for_update(no_key=True).get(pk=burn_id)
    if burn.acknowledged_at is not None:
        raise Refused(f"{burn.acknowledged_by} has acknowledged it already", code=Code.TRANSITION_REFUSED)
    if not because.strip():
        raise Refused("say what you found", code=Code.INVALID, recovery="Send a reason in `because`.")
    burn.acknowledged_at, burn.acknowledged_by, burn.acknowledged_because = now(), str(by), because
    burn.save(update_fields=["acknowledged_at", "acknowledged_by", "acknowledged_because"])
    record("burn.acknowledge", burn, by=by, because=because)
    return burn


@transaction.atomic
def burn_output(caller: Caller, reason: str) -> Burn:
    """Burn what an agent handed in that cannot be read as a result."""
    run, step = lock_attempt(caller)
    return store_burn(run, step, Burn.Kind.BAD_OUTPUT, reason, agent_name=caller.agent, job_name=caller.job_name)
