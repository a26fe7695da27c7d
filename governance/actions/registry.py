"""Keep the rows of agents and skills in step with what is installed."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction

from audit.ledger import record
from audit.principals import SYSTEM, Principal
from governance.models import Agent, Skill

SKILL_FIELDS = (
    "description",
    "input_schema",
    "output_schema",
    "digest",
    "side_effect",
    "labels",
    "lock_key",
    "idempotent",
    "timeout_s",
)


@transaction.atomic
def sync_skills(specs: Iterable[Mapping[str, Any]]) -> int:
    """Store each installed skill with its digest and write down what is new or changed; return how many were."""
    rows = {skill.name: skill for skill in Skill.objects.select_for_update()}
    changed = 0
    for spec in specs:
        row = rows.get(spec["name"])
        if row is not None and row.digest == spec["digest"]:
            continue
        _store(row, spec, by=SYSTEM, because="found at start")
        changed += 1
    return changed


@transaction.atomic
def install_skill(spec: Mapping[str, Any], *, by: Principal, because: str) -> Skill:
    """Store one skill that somebody has accepted, enabled: what they accepted is what agents may ask for from now on."""
    row = Skill.objects.select_for_update().filter(name=spec["name"]).first()
    if row is not None:
        row.enabled, row.disabled_at, row.disabled_by, row.disabled_because = True, None, "", ""
    return _store(row, spec, by=by, because=because)


def _store(row: Skill | None, spec: Mapping[str, Any], *, by: Principal, because: str) -> Skill:
    before = row.digest if row else None
    row = row or Skill(name=spec["name"])
    for field in SKILL_FIELDS:
        setattr(row, field, spec[field])
    row.save()
    record("skill.install", row, by=by, because=because, digest_before=before, digest=row.digest)
    return row


@transaction.atomic
def sync_agents(specs: Iterable[Mapping[str, Any]]) -> int:
    """Store each shipped agent that is not there yet; what operators changed stays as it is."""
    new = 0
    for spec in specs:
        row, created = Agent.objects.get_or_create(name=spec["name"], defaults=dict(spec))
        if created:
            record("agent.install", row, by=SYSTEM, because="found at start", kind=row.kind)
            new += 1
    return new
