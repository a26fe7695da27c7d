"""A run's rows as values to draw: the plan as boxes, the time as bars."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from governance.core.states import GateState, StepState
from governance.models import Gate, Run, SkillInvocation, Step
from runtime.models import AgentJob
from worka_site.portal.drawing import PlanNode
from worka_site.portal.gantt import Bar, GanttRow
from worka_site.portal.looks import look_of
from worka_site.portal.times import span

NOT_BEGUN = {StepState.SKIPPED: "never begun", StepState.CANCELLED: "cancelled"}


def plan_nodes(steps: Sequence[Step]) -> list[PlanNode]:
    """Return the steps as boxes: who does what, how, and how long it took or what it needs."""
    numbers = {step.pk: step.sequence for step in steps}
    return [
        PlanNode(
            str(step.pk),
            step.sequence,
            step.objective,
            _how(step),
            step.state,
            tuple(str(need) for need in step.depends_on),
            _note(step, numbers),
        )
        for step in steps
    ]


def gantt_rows(
    run: Run,
    steps: Sequence[Step],
    jobs: Iterable[AgentJob],
    calls: Iterable[SkillInvocation],
    gates: Iterable[Gate],
    planner: str,
) -> list[GanttRow]:
    """Return the timeline's lines: planning, then each step with its jobs, its calls and the waits for people."""
    by_step: dict[UUID | None, list[AgentJob]] = defaultdict(list)
    for job in jobs:
        by_step[job.step_id].append(job)
    bars: dict[UUID | None, list[Bar]] = {
        owner: [_job_bar(run, job) for job in found] for owner, found in by_step.items()
    }
    for gate in gates:
        bars.setdefault(gate.step_id, []).append(_wait_bar(run, gate, by_step[gate.step_id]))
    marks: dict[UUID, list[tuple[float, float | None]]] = defaultdict(list)
    for call in calls:
        if call.started_at:
            marks[call.step_id].append((_second(run, call.started_at), _second_or_none(run, call.finished_at)))
    rows = []
    if planning := bars.get(None):
        rows.append(GanttRow("Plan", planner, _in_order(planning), tone=planning[-1].tone))
    numbers = {step.pk: step.sequence for step in steps}
    for step in steps:
        drawn = _in_order(bars.get(step.pk, []))
        attempts = sum(not bar.is_wait for bar in drawn)
        note = f"{attempts} attempts" if attempts > 1 and step.is_final else ""
        if not drawn:
            note = NOT_BEGUN.get(StepState(step.state), "") or _needs(step, numbers)
        rows.append(
            GanttRow(
                f"{step.sequence} {step.objective}",
                step.agent_name,
                drawn,
                tuple(sorted(marks[step.pk], key=lambda mark: mark[0])),
                note,
                look_of(step).tone,
            )
        )
    return rows


def _how(step: Step) -> str:
    kind = str(step.instruction_redacted.get("kind", ""))
    amount = len(step.instruction_redacted.get("calls", ())) if kind == "direct" else 0
    if amount == 1:
        return f"{step.agent_name}, {step.instruction_redacted['calls'][0].get('skill', '')}"
    return ", ".join(part for part in (step.agent_name, kind, f"{amount} calls" if amount else "") if part)


def _note(step: Step, numbers: dict[UUID, int]) -> str:
    if step.started_at and step.completed_at:
        return span(step.completed_at - step.started_at)
    return _needs(step, numbers) if step.state == StepState.PENDING else ""


def _needs(step: Step, numbers: dict[UUID, int]) -> str:
    needed = sorted(numbers[need] for need in step.depends_on if need in numbers)
    return f"needs {', '.join(str(number) for number in needed)}" if needed else ""


def _in_order(bars: Sequence[Bar]) -> tuple[Bar, ...]:
    return tuple(sorted(bars, key=lambda bar: bar.start))


def _job_bar(run: Run, job: AgentJob) -> Bar:
    start, end = _second(run, job.started_at or job.created_at), _second_or_none(run, job.finished_at)
    return Bar(start, end, look_of(job).tone if job.is_final else "work", span(end - start) if end is not None else "")


def _wait_bar(run: Run, gate: Gate, jobs: Sequence[AgentJob]) -> Bar:
    """Return the wait for people: it begins when the agent that was stopped by the gate has gone."""
    began = gate.created_at
    gone = [
        job.finished_at
        for job in jobs
        if job.finished_at and (job.started_at or job.created_at) <= began <= job.finished_at
    ]
    if gone and (gate.state == GateState.WAITING or gone[0] < gate.state_changed_at):
        began = gone[0]
    start = _second(run, began)
    if gate.state == GateState.WAITING:
        return Bar(start, None, "wait", "waits for people", is_wait=True)
    end = _second(run, gate.state_changed_at)
    return Bar(start, end, "wait", f"{gate.state}, {span(end - start)}", is_wait=True)


def _second(run: Run, moment: datetime) -> float:
    return max((moment - run.created_at).total_seconds(), 0.0)


def _second_or_none(run: Run, moment: datetime | None) -> float | None:
    return None if moment is None else _second(run, moment)
