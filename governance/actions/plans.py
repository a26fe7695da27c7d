"""Take a planner's proposal: store it whole with real ids, or refuse it whole with every error at once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter_ns
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.timezone import now

from audit.core.canonical import digest
from audit.core.codes import Code
from audit.core.ids import uuid7
from audit.core.refusals import Fault
from audit.principals import SYSTEM
from audit.transition import born, transition
from governance.actions.attempts import planning_was_frozen
from governance.actions.burns import store_burn
from governance.actions.decisions import as_denial, store_gate
from governance.actions.endings import end_run
from governance.actions.locks import lock_attempt, lock_run
from governance.actions.wording import LONGEST_ERROR, harmless, told
from governance.actions.work import payload_of
from governance.caller import Caller
from governance.catalogue import catalogue_of
from governance.connections import ConnectionFact, connection_for
from governance.core.evaluate import Decision, decide_plan
from governance.core.facts import PlanFacts, PlannedStep, Request
from governance.core.masking import redact
from governance.core.plan import ParsedPlan, literal_calls, parse_plan
from governance.core.progress import backoff
from governance.core.states import PlanState, RunState, StepState
from governance.gather import active_manifests, judge, limits_of, maskers_of, skill_fact
from governance.models import Gate, Plan, Run, Skill, Step
from governance.payloads import seal_value

LONGEST_TEXT = 8000


@dataclass(frozen=True, slots=True)
class Proposed:
    """What became of a proposal: `accepted`, `held`, `refused` (with faults), `denied` (by policy or a freeze), `no_plan`."""

    state: str
    plan: Plan | None = None
    gate: Gate | None = None
    faults: tuple[Fault, ...] = ()
    code: Code | None = None
    reason: str = ""


@transaction.atomic
def propose_plan(caller: Caller, body: Any, *, playbooks: Mapping[str, str] = MappingProxyType({})) -> Proposed:
    """Decide on a plan; a refusal is a value, is committed, and counts as one of the run's attempts.

    `playbooks` maps the names of those that are served to their digests; a plan may name no other.
    """
    run, _ = lock_attempt(caller)
    request, decision, micros = judge(caller, run, None, "plan.propose")
    if decision.effect != "allow":
        gate = store_gate(
            caller,
            run,
            None,
            request,
            as_denial(decision, Code(decision.code), decision.reason),
            subject="plan",
            decision_us=micros,
        )
        if decision.code != Code.FROZEN:
            _count_attempt(run, refused=True, error=decision.reason)
        return Proposed("denied", gate=gate, code=Code(decision.code), reason=decision.reason)
    if isinstance(body, Mapping) and set(body) == {"no_plan"} and isinstance(body["no_plan"], str):
        store_gate(caller, run, None, request, decision, subject="no plan", decision_us=micros)
        reason = told(body["no_plan"], maskers_of(run.workspace_id), LONGEST_ERROR)
        end_run(run, "fail", by=caller.principal, because=f"no plan: {reason}")
        return Proposed("no_plan", reason=reason)
    manifests = active_manifests(run.workspace_id)
    parsed = parse_plan(body, replace(catalogue_of(manifests), playbooks=playbooks))
    if parsed.faults:
        return refuse_proposal(caller, run, parsed.faults, body=body, code=Code.PLAN_REFUSED)
    skills = {skill.name: skill for skill in Skill.objects.filter(name__in=parsed.skills)}
    began = perf_counter_ns()
    judged = decide_plan(manifests, _plan_facts(request, parsed, skills))
    micros += (perf_counter_ns() - began) // 1000
    if judged.effect == "deny":
        fault = Fault("", judged.subcode or judged.code, judged.reason)
        return refuse_proposal(caller, run, (fault,), body=body, code=Code(judged.code))
    return _store(caller, run, request, judged, micros, parsed, body, skills)


@transaction.atomic
def refuse_unread(caller: Caller, *, code: Code, message: str) -> Proposed:
    """Refuse a proposal that was too large or no JSON, so that it cannot even be read; it counts as an attempt."""
    run, _ = lock_attempt(caller)
    return refuse_proposal(caller, run, (Fault("", str(code), message),), body=None, code=code)


def refuse_proposal(caller: Caller, run: Run, faults: tuple[Fault, ...], *, body: Any, code: Code) -> Proposed:
    """Store the refused proposal, and nothing else of it, with its denied gate."""
    request, decision, micros = judge(caller, run, None, "plan.propose")
    maskers = maskers_of(run.workspace_id)
    reason = told(f"the plan has {len(faults)} error{'s' if len(faults) > 1 else ''}: {faults[0].message}", maskers)
    plan = _new_plan(caller, run)
    plan.faults = harmless([fault.as_json() for fault in faults[:100]], maskers)
    if body is not None:
        plan.raw = seal_value(run.pk, plan, "raw", body)
    plan.save(force_insert=True)
    born(plan, by=caller.principal, version=plan.version, faults=len(faults))
    gate = store_gate(
        caller, run, None, request, as_denial(decision, code, reason), subject="plan", plan=plan, decision_us=micros
    )
    transition(plan, "reject", by=SYSTEM, because=reason)
    _count_attempt(run, refused=True, error=reason)
    return Proposed("refused", plan, gate, faults, code, reason)


@transaction.atomic
def planning_failed(run_id: UUID, attempt: int, *, job_name: str, kind: str, reason: str) -> None:
    """Burn planning job number `attempt`, and count it as an attempt unless one of its proposals was, or a freeze stopped it."""
    run = lock_run(run_id)
    if run.state != RunState.PLANNING:
        return
    if planning_was_frozen(run, job_name):
        return
    store_burn(run, None, kind, reason, job_name=job_name, agent_name="")
    if run.planning_attempts < attempt:
        _count_attempt(run, refused=False, error=reason)


def _plan_facts(request: Request, parsed: ParsedPlan, skills: Mapping[str, Skill]) -> PlanFacts:
    steps = tuple(
        PlannedStep(step.step_ref, step.agent_name, tuple(skill_fact(skills[name]) for name in step.allowed_skills))
        for step in parsed.steps
    )
    return PlanFacts(
        agent=request.agent,
        agent_enabled=request.agent_enabled,
        steps=steps,
        taint=request.taint,
        workspace=request.workspace,
        requester=request.requester,
        frozen_because=request.frozen_because,
        run_source=request.run_source,
    )


def _store(
    caller: Caller,
    run: Run,
    request: Request,
    judged: Decision,
    micros: int,
    parsed: ParsedPlan,
    body: Any,
    skills: Mapping[str, Skill],
) -> Proposed:
    masks = maskers_of(run.workspace_id)
    ids = {step.step_ref: uuid7() for step in parsed.steps}
    normal = parsed.rewrite({ref: str(pk) for ref, pk in ids.items()})
    plan = _new_plan(caller, run)
    plan.plan_hash, plan.summary = parsed.plan_hash, told(parsed.summary, masks, LONGEST_TEXT)
    plan.raw, plan.normalised = (
        seal_value(run.pk, plan, "raw", body),
        seal_value(run.pk, plan, "normalised", parsed.as_json()),
    )
    plan.steps_redacted = redact(parsed.as_json()["steps"], masks)
    if parsed.playbook:
        plan.playbook_name, plan.playbook_digest = parsed.playbook.name, parsed.playbook.digest
    plan.save(force_insert=True)
    born(
        plan,
        by=caller.principal,
        because=plan.summary[:500],
        version=plan.version,
        plan_hash=plan.plan_hash,
        playbook=plan.playbook_name,
    )
    for sequence, step in enumerate(normal, start=1):
        _create_step(run, plan, ids[step.step_ref], sequence, step, masks)
    if judged.effect == "hold":
        gate = store_gate(
            caller,
            run,
            None,
            request,
            judged,
            subject="plan",
            plan=plan,
            decision_us=micros,
            payload=_plan_payload(run, plan, normal, ids, skills),
        )
        transition(plan, "hold", by=SYSTEM, because=judged.reason)
        transition(run, "hold", by=SYSTEM, because=judged.reason, planning_refused=False)
        return Proposed("held", plan, gate, reason=judged.reason)
    gate = store_gate(caller, run, None, request, judged, subject="plan", plan=plan, decision_us=micros)
    transition(plan, "accept", by=SYSTEM, because=judged.reason)
    transition(run, "release", by=SYSTEM, because="its plan is accepted", planning_refused=False, started_at=now())
    return Proposed("accepted", plan, gate)


def _plan_payload(
    run: Run, plan: Plan, steps: Any, ids: Mapping[str, UUID], skills: Mapping[str, Skill]
) -> dict[str, Any]:
    """Return what a yes to the plan covers: its literal calls, each with its digest; the others are asked when known."""
    covered: list[dict[str, Any]] = []
    for call in literal_calls(steps):
        skill = skills[call.skill]
        found = connection_for(run.workspace_id, call.skill, skill.side_effect, call.input)
        connection = found if isinstance(found, ConnectionFact) else None
        payload = payload_of(run, ids[call.step_ref], call.call_id, call.skill, skill.digest, call.input, connection)
        covered.append(
            {
                "step": str(ids[call.step_ref]),
                "call_id": call.call_id,
                "skill": call.skill,
                "input": call.input,
                **({"connection": connection.as_json()} if connection else {}),
                "payload_digest": digest(payload),
            }
        )
    named = {(call["step"], call["call_id"]) for call in covered}
    later = [
        {"step": str(ids[step.step_ref]), "call_id": call.call_id, "skill": call.skill}
        for step in steps
        for call in step.calls
        if (str(ids[step.step_ref]), call.call_id) not in named
    ]
    return {
        "v": 1,
        "workspace": str(run.workspace_id),
        "run": str(run.pk),
        "plan": str(plan.pk),
        "plan_hash": plan.plan_hash,
        "calls": covered,
        "asked_later": later,
    }


def _new_plan(caller: Caller, run: Run) -> Plan:
    version = Plan.objects.filter(run=run).count() + 1
    return Plan(
        workspace_id=run.workspace_id,
        run=run,
        version=version,
        created_by=caller.agent,
        job_name=caller.job_name,
        state=PlanState.PROPOSED,
    )


def _create_step(run: Run, plan: Plan, pk: UUID, sequence: int, normal: Any, masks: frozenset[str]) -> None:
    step = Step(
        id=pk,
        workspace_id=run.workspace_id,
        run=run,
        plan=plan,
        sequence=sequence,
        ref=normal.step_ref,
        agent_name=normal.agent_name,
        objective=told(normal.objective, masks, LONGEST_TEXT),
        instruction_redacted=redact(normal.instruction, masks),
        allowed_skills=list(normal.allowed_skills),
        depends_on=[UUID(each) for each in normal.depends_on],
        # A plan rests on what its planner has read, whatever its steps read themselves.
        taint=list(run.taint),
        state=StepState.PENDING,
    )
    step.instruction = seal_value(run.pk, step, "instruction", normal.instruction)
    step.save(force_insert=True)
    born(step, by=SYSTEM, because=step.objective[:500], sequence=sequence, agent=step.agent_name)


def _count_attempt(run: Run, *, refused: bool, error: str) -> None:
    """Count an attempt at planning; the last one ends the run, as refused when a refused plan was the last thing."""
    limits, error = limits_of(run.workspace_id), told(error, maskers_of(run.workspace_id), LONGEST_ERROR)
    attempts = run.planning_attempts + 1
    changes = {"planning_attempts": attempts, "planning_refused": refused, "planning_error": error}
    if attempts >= limits.plan.attempts:
        end_run(
            run,
            "refuse" if refused else "fail",
            by=SYSTEM,
            because=f"planning was tried {attempts} times; the last error: {error}"[:2000],
        )
    elif not refused:
        changes["planning_not_before"] = now() + backoff(attempts - 1, limits.step.backoff)
    Run.objects.filter(pk=run.pk).update(**changes)
