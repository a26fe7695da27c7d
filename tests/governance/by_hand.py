"""One row of each table, made by hand: what the data base refuses by itself is shown without the actions, which refuse before."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.utils.timezone import now

from audit.core.ids import uuid7
from governance.models import (
    Consent,
    EncryptedPayload,
    Gate,
    Plan,
    PolicyManifest,
    Run,
    SkillInvocation,
    Step,
    Vote,
    Workspace,
)
from runtime.models import AgentJob


def rows() -> SimpleNamespace:
    """Make them; each is named as its model, in small letters."""
    at = now()
    user = get_user_model().objects.create(username="ada")
    workspace = Workspace.objects.create(slug="acme", name="Acme")
    inside: dict[str, Any] = {"workspace": workspace}
    run = Run.objects.create(
        **inside, number=1, source="api", request_text="x", requester_name="user:ada", state="running",
        deadline_at=at, max_age_at=at,
    )  # fmt: skip
    inside["run"] = run
    plan = Plan.objects.create(**inside, version=1, created_by="hari", state="accepted")
    step = Step.objects.create(
        **inside, plan=plan, sequence=1, ref="a", agent_name="ernest", objective="x", instruction=b"x", state="running"
    )
    payload = EncryptedPayload.objects.create(**inside, kind="gate", digest="0" * 64, size=1, blob=b"x")
    gate = Gate.objects.create(
        **inside, step=step, action="skill.invoke", agent_name="ernest", caller="agent:ernest", effect="hold",
        reason="x", payload=payload, state="waiting",
    )  # fmt: skip
    job = {"agent_name": "ernest", "attempt": 1, "backend": "fake", "deadline_at": at, "state": "running"}
    made = {
        "consent": Consent.objects.create(
            workspace=workspace, gate=gate, step=step, call_id="c", payload_digest="0" * 64
        ),
        "vote": Vote.objects.create(
            workspace=workspace, gate=gate, user=user, voter="user:ada", verdict="approve", because="x", channel="api"
        ),
        "policymanifest": PolicyManifest.objects.create(
            workspace=workspace, version=1, source="x", compiled={}, digest="0" * 64, author="user:ada", state="active"
        ),
        "platform": PolicyManifest.objects.create(
            version=1, source="x", compiled={}, digest="0" * 64, author="user:ada", state="active"
        ),
        "skillinvocation": SkillInvocation.objects.create(
            **inside, step=step, gate=gate, call_id="c", attempt=1, agent_name="ernest", skill_name="desk.send",
            skill_digest="0" * 64, side_effect="external", idempotent=False, timeout_s=5, input=b"x",
            input_digest="0" * 64, payload_digest="0" * 64, state="held",
        ),
        "agentjob": AgentJob.objects.create(**inside, **job, step=step, purpose="step", name="worka-a-1"),
        "planning": AgentJob.objects.create(**inside, **job, purpose="plan", name="worka-plan-1"),
    }  # fmt: skip
    connection.check_constraints()  # foreign keys are looked at now: TRUNCATE would stumble over those that wait
    return SimpleNamespace(
        workspace=workspace, run=run, plan=plan, step=step, encryptedpayload=payload, gate=gate, **made
    )


def again(row: Any, **changes: Any) -> Any:
    """Insert the row once more, under another key and with these changes."""
    copy = type(row).objects.get(pk=row.pk)
    for field, value in {"pk": uuid7(), **changes}.items():
        setattr(copy, field, value)
    copy.save(force_insert=True)
    return copy


def refused(deed: Any, *args: Any, **kwargs: Any) -> str:
    """Return with which words the data base refuses; what was done before stays."""
    with pytest.raises(IntegrityError) as error, transaction.atomic():
        deed(*args, **kwargs)
    return str(error.value)
