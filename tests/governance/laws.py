"""The rules that hold always (domain.md, sections 2 and 3), read from the rows: asserted after every move of a machine."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.utils.timezone import now

from audit.core.canonical import digest
from audit.models import AuditEvent
from audit.sealing import verify
from governance.actions.work import payload_of
from governance.core.explain import CODES, explain, explain_step
from governance.core.states import OPEN_INVOCATION, OPEN_STEP
from governance.models import Budget, Consent, Gate, Plan, Run, Skill, SkillInvocation, Step, Vote
from governance.models.base import Stateful
from governance.run_facts import waits_of
from runtime.core.jobs import OPEN_JOB
from runtime.models import AgentJob
from runtime.queries import snapshots

NOT_BEGUN = ("requested", "held", "released")
ASKED = {"bob", "ben", "dora"}


@dataclass
class Memory:
    """What must not change its mind between two looks. `deeds` is what really happened outside: (invocation, verb, input)."""

    deeds: list[tuple[Any, str, dict[str, Any]]] = field(default_factory=list)
    taint: dict[Any, set[str]] = field(default_factory=dict)
    spent: dict[Any, int] = field(default_factory=dict)
    attempts: dict[Any, int] = field(default_factory=dict)


class Rows:
    """All rows at one moment."""

    def __init__(self) -> None:
        self.runs = list(Run.objects.select_related("workspace").order_by("number"))
        self.steps = {step.pk: step for step in Step.objects.defer("instruction", "result", "checkpoint")}
        self.plans = list(Plan.objects.defer("raw", "normalised"))
        self.jobs = list(AgentJob.objects.all())
        self.gates = {gate.pk: gate for gate in Gate.objects.all()}
        self.calls = {call.pk: call for call in SkillInvocation.objects.defer("input", "output")}
        self.consents = list(Consent.objects.all())
        self.votes = list(Vote.objects.select_related("user"))
        self.run = {run.pk: run for run in self.runs}
        self.calls_of: dict[Any, list[SkillInvocation]] = defaultdict(list)
        for call in self.calls.values():
            self.calls_of[call.step_id].append(call)


def check(memory: Memory) -> None:
    """Assert every rule that can be seen in the rows."""
    rows = Rows()
    assert [run.number for run in rows.runs] == list(range(1, len(rows.runs) + 1))
    _one_of_each(rows)
    _waits_are_named(rows)
    _ended_means_closed(rows)
    _jobs_and_steps(rows)
    _consents(rows)
    _deeds(rows, memory)
    _budgets(rows, memory)
    _only_grows(rows, memory)
    _everything_says_why(rows)


def _one_of_each(rows: Rows) -> None:
    def most(keys: Any) -> int:
        return max(Counter(keys).values(), default=0)

    live = [job for job in rows.jobs if job.state in OPEN_JOB]
    assert most(job.step_id for job in live if job.step_id) <= 1
    assert most(job.run_id for job in live if not job.step_id) <= 1
    assert most(plan.run_id for plan in rows.plans if plan.state in ("proposed", "held", "accepted")) <= 1
    assert most((call.step_id, call.call_id) for call in rows.calls.values()) <= 1
    assert most((vote.gate_id, vote.user_id) for vote in rows.votes) <= 1
    for vote in rows.votes:
        assert str(vote.user_id) not in rows.run[rows.gates[vote.gate_id].run_id].requester_persons
        assert vote.user.username in ASKED


def _waits_are_named(rows: Rows) -> None:
    waiting = [gate for gate in rows.gates.values() if gate.state == "waiting"]
    held = [call for call in rows.calls.values() if call.state == "held"]
    held_plans = [plan for plan in rows.plans if plan.state == "held"]
    assert not [plan for plan in rows.plans if plan.state == "proposed"]
    assert sorted(gate.plan_id for gate in waiting if gate.plan_id) == sorted(plan.pk for plan in held_plans)
    assert sorted(gate.pk for gate in waiting if not gate.plan_id) == sorted(call.gate_id for call in held)
    assert {run.pk for run in rows.runs if run.state == "held"} == {plan.run_id for plan in held_plans}
    for gate in waiting:
        assert rows.run[gate.run_id].is_open
        assert gate.thresholds and gate.expires_at and gate.payload_digest
        assert gate.step_id is None or rows.steps[gate.step_id].state in OPEN_STEP
    for step in rows.steps.values():
        if step.state == "suspended":
            waits = waits_of(step.waits_for)
            assert waits is not None and (waits.calls or waits.until or waits.frozen)
            assert set(waits.calls) <= {call.call_id for call in rows.calls_of[step.pk]}


def _ended_means_closed(rows: Rows) -> None:
    for run in rows.runs:
        steps = [step for step in rows.steps.values() if step.run_id == run.pk]
        calls = [call for call in rows.calls.values() if call.run_id == run.pk]
        if run.is_open:
            assert run.finished_at is None and (run.started_at is None) == (run.state != "running")
            continue
        assert run.finished_at is not None and run.reason
        assert not [step for step in steps if step.state in OPEN_STEP]
        assert not [gate for gate in rows.gates.values() if gate.run_id == run.pk and gate.state == "waiting"]
        assert not [call for call in calls if call.state in NOT_BEGUN]
        assert not [plan for plan in rows.plans if plan.run_id == run.pk and plan.state in ("proposed", "held")]
        if run.state == "succeeded":
            assert {step.state for step in steps} == {"succeeded"}
            assert not [call for call in calls if call.state in OPEN_INVOCATION]
            assert run.outcome is not None
    for step in rows.steps.values():
        if step.state not in OPEN_STEP:
            assert step.completed_at is not None
            assert not [call for call in rows.calls_of[step.pk] if call.state in NOT_BEGUN]


def _jobs_and_steps(rows: Rows) -> None:
    jobs = defaultdict(list)
    for job in rows.jobs:
        jobs[job.step_id].append(job)
    for step in rows.steps.values():
        assert sorted(job.attempt for job in jobs[step.pk]) == list(range(1, step.attempt + 1))
        assert step.retries <= min(step.attempt, 3)
        newest = max(jobs[step.pk], key=lambda job: job.attempt, default=None)
        if step.state == "running":
            assert newest is not None and newest.state in OPEN_JOB and newest.result_at is None
        if step.state in ("succeeded", "suspended"):
            # A freeze puts a step to sleep that has handed nothing in.
            assert newest is not None and (newest.result_at is not None or step.waits_for["frozen"])


def _consents(rows: Rows) -> None:
    used = [consent.used_by for consent in rows.consents if consent.used_by]
    assert len(used) == len(set(used))
    for consent in rows.consents:
        assert rows.gates[consent.gate_id].state == "approved"
        assert (consent.used_at is None) == (consent.used_by is None)
        if consent.used_by:
            call = rows.calls[consent.used_by]
            assert (call.step_id, call.call_id) == (consent.step_id, consent.call_id)
            assert call.payload_digest == consent.payload_digest


def _deeds(rows: Rows, memory: Memory) -> None:
    """What was done has the digest that was decided on; what is not idempotent was done once, and again only with consent."""
    counted = Counter(invocation for invocation, _, _ in memory.deeds)
    agreed = {consent.used_by: consent for consent in rows.consents if consent.used_by}
    skills = dict(Skill.objects.values_list("name", "digest")) if memory.deeds else {}
    for invocation, verb, exact in memory.deeds:
        call = rows.calls[invocation]
        name = f"desk.{verb}"
        done = digest(payload_of(rows.run[call.run_id], call.step_id, call.call_id, name, skills[name], exact))
        assert done == call.payload_digest
        if invocation in agreed:
            assert agreed[invocation].payload_digest == done
        if call.policy_status == "hold":
            assert invocation in agreed and rows.gates[call.gate_id].payload_digest == done
        assert call.idempotent or counted[invocation] == 1
        assert call.idempotent or call.state not in NOT_BEGUN, "it was done, and would be done again"
    attempts = defaultdict(set)
    for invocation in counted:
        call = rows.calls[invocation]
        if not call.idempotent and invocation not in agreed:
            attempts[call.step_id, call.skill_name, call.input_digest].add(call.attempt)
    assert all(len(each) == 1 for each in attempts.values()), "done again in a later attempt, and nobody was asked"


def _budgets(rows: Rows, memory: Memory) -> None:
    for budget in Budget.objects.filter(kind="invocations").exclude(limit=None):
        calls = [call for call in rows.calls.values() if call.run_id == budget.scope]
        under_way = [call for call in calls if call.state in ("running", "unknown")]
        requeued = [call for call in calls if call.state == "released" and call.lease_id]
        assert budget.reserved == len(under_way) + len(requeued)
        assert memory.spent.get(budget.scope, 0) <= budget.spent <= budget.limit - budget.reserved
        memory.spent[budget.scope] = budget.spent


def _only_grows(rows: Rows, memory: Memory) -> None:
    for step in rows.steps.values():
        assert memory.taint.get(step.pk, set()) <= set(step.taint)
        assert memory.attempts.get(step.pk, 0) <= step.attempt
        memory.taint[step.pk], memory.attempts[step.pk] = set(step.taint), step.attempt
    for call in rows.calls.values():
        if call.skill_name == "desk.read" and call.state in ("running", "unknown", "succeeded"):
            assert memory.taint[call.step_id] == {"reads_private", "untrusted_output"}
    for step in rows.steps.values():
        for needed in step.depends_on if step.attempt else ():
            assert memory.taint[needed] <= memory.taint[step.pk]


def _everything_says_why(rows: Rows) -> None:
    unknown = {call.run_id for call in rows.calls.values() if call.state == "unknown"}
    for run, fact in zip(rows.runs, snapshots(rows.runs), strict=True):
        why = explain(fact, now())
        assert why.code in CODES and why.sentence
        assert (why.code == "finished") == (not run.is_open)
        if run.state == "held":
            assert why.code in ("awaiting_approval", "frozen")
        if run.is_open and run.pk in unknown:
            assert why.code in ("awaiting_settlement", "frozen")
        for step in fact.steps:
            assert (explain_step(fact, step, now()).code == "finished") == (not step.is_open)


def check_ledger() -> None:
    """Assert that the ledger verifies, and that for each row its last entry says the state it is in."""
    verification = verify()
    assert verification.is_whole, verification.sentence
    last: dict[str, str] = {}
    for subject, facts in AuditEvent.objects.order_by("id").values_list("subject", "facts"):
        if "after" in facts:
            last[subject] = facts["after"]
    for model in apps.get_models():
        if issubclass(model, Stateful):
            for pk, state in model.objects.values_list("pk", "state"):
                assert last[f"{model._meta.label_lower}:{pk}"] == state
