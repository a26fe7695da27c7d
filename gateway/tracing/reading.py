"""Find what ledger entries say is over, and read it for a trace; exact payloads are not even fetched."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from uuid import UUID

from django.db.models import QuerySet

from audit.core.machine import Machine
from audit.models import AuditEvent
from gateway.models import LlmCall
from gateway.tracing.model_calls import ModelCall, model_span
from gateway.tracing.shapes import approval_span, call_span, denial_span, job_span, run_span, step_span, trace_of
from gateway.tracing.span import Kind, Span, Trace
from governance.core.states import GateState, ModelCallState
from governance.models import Gate, Run, SkillInvocation, Step
from runtime.core.traces import job_span_id, span_id
from runtime.models import AgentJob

Traces = Mapping[UUID, Trace]
Reader = Callable[[Sequence[UUID], Traces], list[Span]]


def spans_of(events: Sequence[AuditEvent]) -> list[Span]:
    """Return a span for each thing that the entries brought to an end, in their order."""
    ended = ended_by(events)
    traces = traces_of({event.run for event in events if event.run})
    spans = {}
    for kind, keys in ended.items():
        _, read = READERS[kind]
        for span in read(keys, traces):
            spans[span.id] = span
    # A batch tells of a job before its run: that is the order of the ledger, and of their ends.
    return sorted(spans.values(), key=lambda span: span.end)


def ended_by(events: Sequence[AuditEvent]) -> dict[str, list[UUID]]:
    """Return the keys of what the entries ended, by kind of subject."""
    ended: dict[str, list[UUID]] = {}
    for event in events:
        machine, _ = READERS.get(event.subject_kind, (None, None))
        if machine is not None and event.run and event.facts.get("after") in machine.final_states:
            ended.setdefault(event.subject_kind, []).append(UUID(event.subject_id))
    return ended


def traces_of(run_ids: set[UUID]) -> dict[UUID, Trace]:
    """Return what each run's spans carry."""
    fields = ("number", "workspace__slug", "requester_id", "correlation_id")
    runs = Run.objects.select_related("workspace").only(*fields).filter(pk__in=run_ids)
    return {run.pk: trace_of(run) for run in runs}


def _runs(keys: Sequence[UUID], traces: Traces) -> list[Span]:
    runs = Run.objects.defer("request_exact", "request_input").filter(pk__in=keys)
    return [run_span(run, traces[run.pk]) for run in runs]


def _steps(keys: Sequence[UUID], traces: Traces) -> list[Span]:
    steps = Step.objects.defer("instruction", "result", "checkpoint").filter(pk__in=keys)
    return [step_span(step, traces[step.run_id]) for step in steps]


def _jobs(keys: Sequence[UUID], traces: Traces) -> list[Span]:
    jobs = AgentJob.objects.defer("log_tail", "result_answer").filter(pk__in=keys)
    return [job_span(job, traces[job.run_id]) for job in jobs]


def _calls(keys: Sequence[UUID], traces: Traces) -> list[Span]:
    calls = SkillInvocation.objects.select_related("gate").defer("input", "output").filter(pk__in=keys)
    return [call_span(call, traces[call.run_id]) for call in calls]


def _gates(keys: Sequence[UUID], traces: Traces) -> list[Span]:
    """Tell what people were asked and what was denied; what policy allowed stands with the call that it allowed."""
    gates = list(Gate.objects.filter(pk__in=keys).exclude(state=GateState.ALLOWED))
    calls = _calls_of(gates)
    spans = []
    for gate in gates:
        trace = traces[gate.run_id]
        asked_for = calls.get((gate.step_id, gate.call_id))
        shape = denial_span if gate.state == GateState.DENIED else approval_span
        spans.append(shape(gate, trace, span_id(Kind.CALL, asked_for) if asked_for else _where(gate, trace)))
    return spans


def _calls_of(gates: Sequence[Gate]) -> dict[tuple[UUID | None, str], UUID]:
    steps = {gate.step_id for gate in gates if gate.step_id and gate.call_id}
    calls: QuerySet[SkillInvocation] = SkillInvocation.objects.filter(step__in=steps)
    return {(step, name): pk for pk, step, name in calls.values_list("pk", "step_id", "call_id")}


def _where(gate: Gate, trace: Trace) -> int:
    # People answer about a plan when its planner is gone; what was refused at the door belongs to who asked.
    is_of_job = gate.state == GateState.DENIED and gate.job_name
    return job_span_id(gate.job_name) if is_of_job else trace.root


def _model_calls(keys: Sequence[UUID], traces: Traces) -> list[Span]:
    calls = LlmCall.objects.filter(pk__in=keys)
    return [
        model_span(
            ModelCall(
                call.pk,
                traces[call.run_id],
                call.job_name,
                call.provider,
                call.model,
                call.created_at,
                call.finished_at or call.state_changed_at,
                call.input_tokens,
                call.output_tokens,
                call.cost_usd,
                step_id=call.step_id,
                finish_reason=call.stop_reason,
                cached_tokens=call.cache_read_tokens,
                error=str((call.error or {}).get("code", "")) or ("left" if call.state == ModelCallState.LEFT else ""),
            )
        )
        for call in calls
    ]


# What a kind of subject is in the ledger, when it is over, and how it is read.
READERS: Mapping[str, tuple[Machine, Reader]] = MappingProxyType({
    "governance.run": (Run.machine, _runs),
    "governance.step": (Step.machine, _steps),
    "governance.skillinvocation": (SkillInvocation.machine, _calls),
    "governance.gate": (Gate.machine, _gates),
    "runtime.agentjob": (AgentJob.machine, _jobs),
    "gateway.llmcall": (LlmCall.machine, _model_calls),
})  # fmt: skip
