"""Ask for a run, cancel it, finish it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils.timezone import now

from audit import correlation
from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import SYSTEM, Principal, persons_behind
from audit.transition import born, transition
from governance.actions.budgets import open_budgets
from governance.actions.endings import end_run
from governance.actions.locks import lock_run
from governance.actions.wording import harmless, told
from governance.core.masking import redact, redact_text
from governance.core.states import RunState, StepState
from governance.gather import active_manifests, limits_among, maskers_among, maskers_of
from governance.models import Agent, AgentKind, Budget, Run, Step, Workspace
from governance.payloads import create_data_key, seal_value

LONGEST_REQUEST = 20_000


@transaction.atomic
def request_run(
    workspace_id: UUID,
    *,
    by: Principal,
    user: Any,
    text: str,
    source: str,
    value: Mapping[str, Any] | None = None,
    deliver_to: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Run:
    """Turn a request into a durable run with its number, data key and budgets; refuses with frozen or invalid.

    `user` is the person who asks, None when a service account does. A run needs an active policy to be judged by.
    """
    text = text.strip()
    if not text or len(text) > LONGEST_REQUEST:
        raise Refused(
            f"a request has 1 to {LONGEST_REQUEST} characters, this one has {len(text)}",
            code=Code.INVALID,
            recovery="Say in a sentence what you want.",
        )
    manifests = active_manifests(workspace_id)
    if len(manifests) < 2:  # the platform's and the workspace's
        raise Refused(
            "this workspace has no active policy yet, so nothing may run",
            code=Code.UNAVAILABLE,
            recovery="Activate a policy manifest for the workspace.",
        )
    Workspace.objects.filter(pk=workspace_id).update(last_run_number=F("last_run_number") + 1)
    workspace = Workspace.objects.get(pk=workspace_id)
    if workspace.frozen_at is not None:
        raise Refused(
            f"{workspace.frozen_by} froze the workspace: {workspace.frozen_because}",
            code=Code.FROZEN,
            recovery="Ask again when it is thawed.",
        )
    limits, maskers = limits_among(manifests), maskers_among(manifests)
    run = Run(
        workspace=workspace,
        number=workspace.last_run_number,
        source=source,
        request_text=redact_text(text, maskers),
        request_input=redact(value, maskers),
        metadata=redact(dict(metadata or {}), maskers),
        deliver_to=dict(deliver_to or {}),
        requester=user,
        requester_name=str(by),
        requester_persons=sorted(persons_behind(by)),
        correlation_id=correlation.current(),
        state=RunState.RECEIVED,
    )
    run.deadline_at = run.created_at + limits.run.wall_clock
    run.max_age_at = run.created_at + limits.run.max_age
    run.save(force_insert=True)
    create_data_key(run)
    run.request_exact = seal_value(run.pk, run, "request_exact", {"text": text, "input": value})
    run.save(update_fields=["request_exact"])
    open_budgets(
        workspace_id,
        run.pk,
        {
            Budget.Kind.USD: Decimal(limits.run.usd),
            Budget.Kind.TOKENS: limits.run.tokens,
            Budget.Kind.INVOCATIONS: limits.run.invocations,
        },
    )
    born(run, by=by, because=told(text, maskers), number=run.number, source=source)
    return run


@transaction.atomic
def cancel_run(run_id: UUID, *, by: Principal, because: str) -> Run:
    """Cancel an open run with all that is open in it; its agents' tokens are dead with the commit."""
    run = lock_run(run_id)
    end_run(run, "cancel", by=by, because=because)
    return run


@transaction.atomic
def finish_run(run_id: UUID, event: str, *, because: str) -> Run:
    """End a run as `next_moves` decided, unless somebody ended it first; a success carries its outcome."""
    run = lock_run(run_id)
    if not run.is_open:
        return run
    if event == "succeed":
        steps = list(Step.objects.filter(run=run).order_by("sequence"))
        if any(step.state != StepState.SUCCEEDED for step in steps):
            return run
        transition(
            run, "succeed", by=SYSTEM, because=because, finished_at=now(), reason=because, outcome=_outcome(steps)
        )
    else:
        end_run(run, event, by=SYSTEM, because=because)
    return run


def _outcome(steps: list[Step]) -> Any:
    """Return the cleaned result of the last courier step, else of the last step (domain.md, section 2)."""
    couriers = set(Agent.objects.filter(kind=AgentKind.COURIER).values_list("name", flat=True))
    last = ([step for step in steps if step.agent_name in couriers] or steps)[-1:]
    return harmless(last[0].result_redacted, maskers_of(last[0].workspace_id)) if last else None
