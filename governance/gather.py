"""Turn rows into the facts that decisions about requests are made on; those about runs are in `governance.run_facts`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter_ns
from typing import Any
from uuid import UUID

from django.db import connection

from audit.rows import Asked, find_in_order
from governance.caller import Caller
from governance.core.ceiling import Limits, strictest
from governance.core.compiled import CompiledManifest
from governance.core.egress import Egress
from governance.core.evaluate import Decision, decide
from governance.core.facts import Request, SkillFact
from governance.core.states import ManifestState
from governance.models import PolicyManifest, Run, Skill, Step

# Asked with every decision, so these are not composed anew each time.
ACTIVE = """
    SELECT id, digest FROM governance_policymanifest
    WHERE state = %s AND (workspace_id IS NULL OR workspace_id = %s) ORDER BY workspace_id NULLS FIRST
"""
STANDING = """
    SELECT agent.enabled, workspace.frozen_at, workspace.frozen_by, workspace.frozen_because, ARRAY(
        SELECT id || ' ' || digest FROM governance_policymanifest
        WHERE state = %s AND (workspace_id IS NULL OR workspace_id = workspace.id) ORDER BY workspace_id NULLS FIRST)
    FROM governance_workspace workspace LEFT JOIN governance_agent agent ON agent.name = %s WHERE workspace.id = %s
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for an agent in a workspace now: the manifests in force, and whether one of both is stopped."""

    manifests: tuple[CompiledManifest, ...]
    agent_enabled: bool
    frozen_because: str


def standing_asked(agent: str, workspace_id: UUID) -> Asked:
    """Return the one statement that reads what every decision about an agent needs."""
    return Asked(STANDING, (str(ManifestState.ACTIVE), agent, workspace_id))


def standing_of(agent: str, workspace_id: UUID) -> Standing:
    """Read what every decision about an agent needs."""
    return standing_in(find_in_order(standing_asked(agent, workspace_id))[0])


def standing_in(row: Sequence[Any]) -> Standing:
    """Return what the statement of `standing_asked` has answered."""
    enabled, frozen_at, frozen_by, because, active = row
    manifests = tuple(_compiled(UUID(pk), digest) for pk, digest in (each.split(" ") for each in active))
    return Standing(manifests, bool(enabled), f"{frozen_by} froze it: {because}" if frozen_at else "")


def active_manifests(workspace_id: UUID) -> tuple[CompiledManifest, ...]:
    """Return the platform's and the workspace's manifest, the ceiling first; compiled ones are kept by digest."""
    with connection.cursor() as cursor:
        cursor.execute(ACTIVE, [ManifestState.ACTIVE, workspace_id])
        return tuple(_compiled(pk, digest) for pk, digest in cursor.fetchall())


@lru_cache(maxsize=256)
def _compiled(pk: UUID, digest: str) -> CompiledManifest:
    """Read a compiled manifest once; its digest is in the key, so that another data base in this process has its own."""
    return CompiledManifest.from_json(PolicyManifest.objects.values_list("compiled", flat=True).get(pk=pk))


def limits_of(workspace_id: UUID) -> Limits:
    """Return the limits that hold in a workspace now: of each the strictest that an active manifest has."""
    return limits_among(active_manifests(workspace_id))


def limits_among(manifests: Iterable[CompiledManifest]) -> Limits:
    return strictest(manifest.limits for manifest in manifests)


def judge(
    caller: Caller, run: Run, step: Step | None, action: str, *, standing: Standing | None = None, **facts: Any
) -> tuple[Request, Decision, int]:
    """Decide on a request that calls no skill; also return its facts, and the microseconds that deciding took."""
    standing = standing or standing_of(caller.agent, run.workspace_id)
    taint = frozenset(step.taint if step else run.taint)
    request = _request(standing, caller, run, action=action, taint=taint, **facts)
    decision, micros = decide_by(standing.manifests, request)
    return request, decision, micros


def decide_by(manifests: Sequence[CompiledManifest], request: Request) -> tuple[Decision, int]:
    """Decide, and say how many microseconds it took."""
    began = perf_counter_ns()
    decision = decide(manifests, request)
    return decision, (perf_counter_ns() - began) // 1000


def skill_fact(skill: Skill) -> SkillFact:
    return SkillFact(
        name=skill.name,
        side_effect=skill.side_effect,
        labels=frozenset(skill.labels),
        digest=skill.digest,
        input_schema=skill.input_schema,
        idempotent=skill.idempotent,
        enabled=skill.enabled,
    )


def skill_request(
    standing: Standing,
    caller: Caller,
    run: Run,
    step: Step,
    name: str,
    skill: Skill | None,
    value: Mapping[str, Any],
    taint: frozenset[str],
    *,
    possible_repeat: bool,
) -> Request:
    """Return the facts of a call; its taint is the step's, the arguments' and what the skill itself returns."""
    labels = frozenset(skill.labels) if skill else frozenset()
    return _request(
        standing,
        caller,
        run,
        action="skill.invoke",
        skill=name,
        skill_fact=skill_fact(skill) if skill else None,
        args=value,
        allowed_skills=frozenset(step.allowed_skills),
        taint=frozenset(step.taint) | taint | labels,
        possible_repeat=possible_repeat,
    )


def _request(standing: Standing, caller: Caller, run: Run, **facts: Any) -> Request:
    return Request(
        agent=caller.agent,
        agent_enabled=standing.agent_enabled,
        workspace=str(run.workspace_id),
        requester=run.requester_name,
        run_source=run.source,
        frozen_because=standing.frozen_because,
        **facts,
    )


def maskers_of(workspace_id: UUID) -> frozenset[str]:
    """Return the names of all maskers that the active manifests ask for."""
    return maskers_among(active_manifests(workspace_id))


def maskers_among(manifests: Iterable[CompiledManifest]) -> frozenset[str]:
    return frozenset(name for manifest in manifests for name in manifest.redact)


def egress_among(manifests: Iterable[CompiledManifest]) -> Egress:
    """Return what may be reached outside: what every manifest lists."""
    return Egress(tuple((manifest.layer, manifest.egress) for manifest in manifests))
