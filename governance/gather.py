"""Turn rows into the facts that decisions are made on. The only place that does."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from time import perf_counter_ns
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection

from audit.rows import Asked, find_in_order
from governance.caller import Caller
from governance.core.ceiling import Limits, strictest
from governance.core.compiled import CompiledManifest
from governance.core.egress import Egress
from governance.core.evaluate import Decision, decide
from governance.core.facts import Request, SkillFact
from governance.core.quorum import Threshold, VoteFact
from governance.core.snapshot import (
    CallFact,
    FrozenFact,
    GateFact,
    JobFact,
    LimitFacts,
    PlanFact,
    RunFact,
    StepFact,
    Waits,
)
from governance.core.states import ManifestState
from governance.models import (
    Agent,
    AgentKind,
    Gate,
    Plan,
    PolicyManifest,
    Run,
    Skill,
    SkillInvocation,
    Step,
    Vote,
)
from governance.voters import members_of, vote_fact

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


def judge(caller: Caller, run: Run, step: Step | None, action: str, **facts: Any) -> tuple[Request, Decision, int]:
    """Decide on a request that calls no skill; also return its facts, and the microseconds that deciding took."""
    standing = standing_of(caller.agent, run.workspace_id)
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


def run_facts(
    runs: Sequence[Run],
    *,
    step_jobs: Mapping[UUID, JobFact] | None = None,
    planning_jobs: Mapping[UUID, JobFact] | None = None,
    no_capacity: str = "",
) -> list[RunFact]:
    """Return the snapshots of many runs (with their workspaces) in a fixed number of queries.

    Jobs are runtime's: it hands in the live ones, by step and by run.
    """
    if not runs:
        return []
    ids = [run.pk for run in runs]
    gates = _gate_facts(ids)
    calls = _call_facts(ids, gates)
    steps: dict[UUID, list[StepFact]] = defaultdict(list)
    disabled_agents, disabled_skills = _disabled()
    for row in Step.objects.filter(run__in=ids).defer(*HEAVY_STEP).order_by("sequence"):
        stopped = disabled_agents.get(row.agent_name) or next(
            (disabled_skills[name] for name in row.allowed_skills if name in disabled_skills), None
        )
        steps[row.run_id].append(_step_fact(row, calls[row.pk], (step_jobs or {}).get(row.pk), stopped))
    plans = {
        plan.run_id: plan
        for plan in Plan.objects.filter(run__in=ids).only("run_id", "version", "state").order_by("version")
    }
    planner = (
        Agent.objects.filter(kind=AgentKind.PLANNER).order_by("created_at").values_list("name", flat=True).first() or ""
    )
    limits = {workspace: _limits(active_manifests(workspace)) for workspace in {run.workspace_id for run in runs}}
    plan_gates = {gate_run: fact for (gate_run, step), fact in gates.by_owner.items() if step is None}
    return [
        RunFact(
            id=str(run.pk),
            number=run.number,
            state=run.state,
            created_at=run.created_at,
            state_changed_at=run.state_changed_at,
            deadline_at=run.deadline_at,
            max_age_at=run.max_age_at,
            frozen=_frozen_workspace(run)
            or (disabled_agents.get(planner) if run.state in ("received", "planning") else None),
            reason=run.reason,
            planner=planner,
            planning_attempts=run.planning_attempts,
            planning_not_before=run.planning_not_before,
            planning_job=(planning_jobs or {}).get(run.pk),
            planning_error=run.planning_error,
            last_plan_refused=run.planning_refused,
            plan=_plan_fact(plans.get(run.pk)),
            gate=plan_gates.get(run.pk),
            steps=tuple(steps[run.pk]),
            limits=limits[run.workspace_id],
            no_capacity=no_capacity,
        )
        for run in runs
    ]


HEAVY_STEP = ("instruction", "instruction_redacted", "result", "result_redacted", "checkpoint")
LIGHT_CALL = (
    "run_id",
    "step_id",
    "call_id",
    "state",
    "skill_name",
    "state_changed_at",
    "not_before",
    "gate_id",
    "error",
    "lock_key",
)


class _Gates:
    """Held gates of some runs, by id and by what they hold (a step, or with None the plan)."""

    def __init__(self) -> None:
        self.by_id: dict[UUID, GateFact] = {}
        self.by_owner: dict[tuple[UUID, UUID | None], GateFact] = {}


def _gate_facts(run_ids: Sequence[UUID]) -> _Gates:
    rows = list(
        Gate.objects.filter(run__in=run_ids, effect="hold")
        .select_related("run")
        .order_by("created_at")
        .only(
            "workspace_id",
            "run__requester_persons",
            "step_id",
            "plan_id",
            "state",
            "subject",
            "action",
            "thresholds",
            "created_at",
            "expires_at",
        )
    )
    votes: dict[UUID, list[VoteFact]] = defaultdict(list)
    for vote in Vote.objects.filter(gate__in=[row.pk for row in rows]).order_by("created_at"):
        votes[vote.gate_id].append(vote_fact(vote))
    members = members_of({(row.workspace_id, each["group"]) for row in rows for each in row.thresholds})
    people = {person for groups in members.values() for group in groups.values() for person in group}
    names = {str(pk): name for pk, name in get_user_model().objects.filter(pk__in=people).values_list("pk", "username")}
    gates = _Gates()
    for row in rows:
        fact = GateFact(
            id=str(row.pk),
            state=row.state,
            what="the plan" if row.plan_id else row.subject,
            thresholds=tuple(Threshold.from_json(each) for each in row.thresholds),
            asked_at=row.created_at,
            votes=tuple(votes[row.pk]),
            members=members[row.workspace_id],
            barred=frozenset(row.run.requester_persons),
            names=names,
            expires_at=row.expires_at,
        )
        gates.by_id[row.pk] = fact
        gates.by_owner[row.run_id, row.step_id] = fact
    return gates


def _call_facts(run_ids: Sequence[UUID], gates: _Gates) -> dict[UUID, tuple[CallFact, ...]]:
    calls: dict[UUID, tuple[CallFact, ...]] = defaultdict(tuple)
    for row in SkillInvocation.objects.filter(run__in=run_ids).only(*LIGHT_CALL).order_by("created_at"):
        calls[row.step_id] += (
            CallFact(
                id=str(row.pk),
                call_id=row.call_id,
                state=row.state,
                skill=row.skill_name,
                state_changed_at=row.state_changed_at,
                not_before=row.not_before,
                gate=gates.by_id.get(row.gate_id) if row.gate_id else None,
                delayed_by=f"the lock {row.lock_key}" if row.not_before and row.lock_key else "",
                error=(row.error or {}).get("message", ""),
            ),
        )
    return calls


def _step_fact(row: Step, calls: tuple[CallFact, ...], job: JobFact | None, stopped: FrozenFact | None) -> StepFact:
    return StepFact(
        id=str(row.pk),
        ref=row.ref,
        sequence=row.sequence,
        agent_name=row.agent_name,
        objective=row.objective,
        state=row.state,
        state_changed_at=row.state_changed_at,
        attempt=row.attempt,
        retries=row.retries,
        not_before=row.not_before,
        waits_for=waits_of(row.waits_for),
        depends_on=tuple(str(each) for each in row.depends_on),
        last_error=row.last_error,
        calls=calls,
        live_job=job,
        frozen=stopped,
    )


def waits_of(value: Mapping[str, Any] | None) -> Waits | None:
    """Read what a suspended step waits for, as it is stored."""
    if value is None:
        return None
    until = datetime.fromisoformat(value["until"]) if value.get("until") else None
    return Waits(calls=tuple(value.get("calls", ())), until=until, frozen=bool(value.get("frozen")))


def _plan_fact(plan: Plan | None) -> PlanFact | None:
    return PlanFact(str(plan.pk), plan.version, plan.state) if plan else None


def _frozen_workspace(run: Run) -> FrozenFact | None:
    workspace = run.workspace
    if workspace.frozen_at is None:
        return None
    return FrozenFact(f"workspace {workspace.slug}", workspace.frozen_by, workspace.frozen_because, workspace.frozen_at)


def _disabled() -> tuple[dict[str, FrozenFact], dict[str, FrozenFact]]:
    def facts(kind: str, rows: Iterable[Any]) -> dict[str, FrozenFact]:
        return {
            row.name: FrozenFact(f"{kind} {row.name}", row.disabled_by, row.disabled_because, row.disabled_at)
            for row in rows
        }

    return facts("agent", Agent.objects.filter(enabled=False)), facts("skill", Skill.objects.filter(enabled=False))


def _limits(manifests: Sequence[CompiledManifest]) -> LimitFacts:
    limits = limits_among(manifests)
    return LimitFacts(
        plan_attempts=limits.plan.attempts, step_attempts=limits.step.attempts, backoff=limits.step.backoff
    )
