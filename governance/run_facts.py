"""Turn the rows of runs into the snapshots that their next moves and their "why" are decided on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection

from audit.core.codes import Code
from governance.connections import Need, still_lacking
from governance.core.compiled import CompiledManifest
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
from governance.core.states import InvocationState
from governance.gather import active_manifests, limits_among
from governance.models import AgentKind, Gate, Plan, Run, SkillInvocation, Step, Vote
from governance.voters import members_of, vote_fact

# Asked with every tick, so it is not composed anew each time.
STOPPED = """
    SELECT 'agent', name, disabled_by, disabled_because, disabled_at FROM governance_agent WHERE NOT enabled
    UNION ALL SELECT 'skill', name, disabled_by, disabled_because, disabled_at FROM governance_skill WHERE NOT enabled
    UNION ALL (SELECT 'planner', name, '', '', NULL FROM governance_agent WHERE kind = %s ORDER BY created_at LIMIT 1)
"""


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
    calls = _call_facts(runs, gates)
    steps: dict[UUID, list[StepFact]] = defaultdict(list)
    planner, disabled_agents, disabled_skills = _stopped()
    for row in Step.objects.filter(run__in=ids).defer(*HEAVY_STEP).order_by("sequence"):
        stopped = disabled_agents.get(row.agent_name) or next(
            (disabled_skills[name] for name in row.allowed_skills if name in disabled_skills), None
        )
        steps[row.run_id].append(_step_fact(row, calls[row.pk], (step_jobs or {}).get(row.pk), stopped))
    plans = {
        plan.run_id: plan
        for plan in Plan.objects.filter(run__in=ids).only("run_id", "version", "state").order_by("version")
    }
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
    "workspace_id",
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
    gates = _Gates()
    if not rows:
        return gates
    votes: dict[UUID, list[VoteFact]] = defaultdict(list)
    for vote in Vote.objects.filter(gate__in=[row.pk for row in rows]).order_by("created_at"):
        votes[vote.gate_id].append(vote_fact(vote))
    members = members_of({(row.workspace_id, each["group"]) for row in rows for each in row.thresholds})
    people = {person for groups in members.values() for group in groups.values() for person in group}
    names = {str(pk): name for pk, name in get_user_model().objects.filter(pk__in=people).values_list("pk", "username")}
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


def need_of(call: SkillInvocation) -> Need | None:
    """Return the connection that a call waits for since it was asked for, or None."""
    if call.state != InvocationState.REQUESTED or (call.error or {}).get("code") != Code.NO_CONNECTION:
        return None
    return Need.from_json(call.workspace_id, call.error or {})


def _call_facts(runs: Sequence[Run], gates: _Gates) -> dict[UUID, tuple[CallFact, ...]]:
    calls: dict[UUID, tuple[CallFact, ...]] = defaultdict(tuple)
    rows = list(
        SkillInvocation.objects.filter(run__in=[run.pk for run in runs]).only(*LIGHT_CALL).order_by("created_at")
    )
    needs = {row.pk: need for row in rows if (need := need_of(row))}
    lacking = still_lacking(set(needs.values()))
    for row in rows:
        need = needs.get(row.pk)
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
                service=need.service if need else "",
                unconnected=lacking.get(need, "") if need else "",
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


def _stopped() -> tuple[str, dict[str, FrozenFact], dict[str, FrozenFact]]:
    """Return the name of the planner, and the agents and the skills that are disabled."""
    planner = ""
    found: dict[str, dict[str, FrozenFact]] = {"agent": {}, "skill": {}}
    with connection.cursor() as cursor:
        cursor.execute(STOPPED, [AgentKind.PLANNER])
        for kind, name, by, because, at in cursor.fetchall():
            if kind == "planner":
                planner = name
            else:
                found[kind][name] = FrozenFact(f"{kind} {name}", by, because, at)
    return planner, found["agent"], found["skill"]


def _limits(manifests: Sequence[CompiledManifest]) -> LimitFacts:
    limits = limits_among(manifests)
    return LimitFacts(
        plan_attempts=limits.plan.attempts, step_attempts=limits.step.attempts, backoff=limits.step.backoff
    )
