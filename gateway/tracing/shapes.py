"""Turn rows that have come to their end into spans. Only what is stored for reading is told, never an exact payload."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.tracing.span import Kind, Level, Span, Trace
from governance.core.states import GateState, InvocationState, RunState, StepState
from governance.models import Gate, Run, SkillInvocation, Step
from runtime.core.jobs import JobState
from runtime.core.traces import job_span_id, span_id
from runtime.models import AgentJob

_WELL = frozenset(
    {RunState.SUCCEEDED, StepState.SUCCEEDED, JobState.SUCCEEDED, InvocationState.SUCCEEDED, GateState.APPROVED}
)
# What people or policy ended is not what was hoped for, and no fault.
_STOPPED = frozenset(
    {RunState.CANCELLED, RunState.REFUSED, StepState.SKIPPED, InvocationState.DENIED}
    | {GateState.REJECTED, GateState.EXPIRED, GateState.WITHDRAWN}
)


def trace_of(run: Run) -> Trace:
    """Return what every span of a run carries; who asked is told as a key, not by name."""
    requester = f"user:{run.requester_id}" if run.requester_id else ""
    return Trace(run.pk, run.number, run.workspace.slug, requester, run.correlation_id)


def run_span(run: Run, trace: Trace) -> Span:
    """Return the root of the trace."""
    return Span(
        trace,
        Kind.RUN,
        trace.root,
        None,
        "run",
        run.created_at,
        _end(run.created_at, run.finished_at or run.state_changed_at),
        about={"number": run.number, "source": run.source, "state": run.state},
        input=run.request_text,
        output=run.outcome,
        **_how(run.state, run.reason),
    )


def step_span(step: Step, trace: Trace) -> Span:
    """Return the span of a step, from its first attempt to its end; one that never began is a point in time."""
    end = step.completed_at or step.state_changed_at
    start = step.started_at or end
    return Span(
        trace,
        Kind.STEP,
        span_id(Kind.STEP, step.pk),
        trace.root,
        f"step {step.sequence}",
        start,
        _end(start, end),
        about={
            "step_id": step.pk,
            "ref": step.ref,
            "objective": step.objective,
            "agent": step.agent_name,
            "attempts": step.attempt,
            "retries": step.retries,
            "taint": sorted(step.taint),
            "state": step.state,
        },
        input=step.instruction_redacted,
        output=step.result_redacted,
        **_how(step.state, step.last_error),
    )


def job_span(job: AgentJob, trace: Trace) -> Span:
    """Return the span of one attempt of an agent: to plan the run, or to work a step."""
    moments = (("submitted", job.submitted_at), ("started", job.started_at), ("result_accepted", job.result_at))
    return Span(
        trace,
        Kind.JOB,
        job_span_id(job.name),
        span_id(Kind.STEP, job.step_id) if job.step_id else trace.root,
        f"invoke_agent {job.agent_name}",
        job.created_at,
        _end(job.created_at, job.finished_at or job.state_changed_at),
        about={
            "job": job.name,
            "step_id": job.step_id,
            "purpose": job.purpose,
            "attempt": job.attempt,
            "backend": job.backend,
            "exit_code": job.exit_code,
            "state": job.state,
        },
        standard={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": job.agent_name},
        moments=tuple((name, at) for name, at in moments if at is not None),
        **_how(job.state, job.ended_because),
    )


def call_span(call: SkillInvocation, trace: Trace) -> Span:
    """Return the span of a gated call of a skill, from its request to its outcome, with the decision about it."""
    gate, error = call.gate, call.error or {}
    return Span(
        trace,
        Kind.CALL,
        span_id(Kind.CALL, call.pk),
        job_span_id(f"worka-{call.step_id}-{call.attempt}"),
        f"execute_tool {call.skill_name}",
        call.created_at,
        _end(call.created_at, call.finished_at or call.state_changed_at),
        about={
            "invocation_id": call.pk,
            "step_id": call.step_id,
            "attempt": call.attempt,
            "call_id": call.call_id,
            "side_effect": call.side_effect,
            "input_digest": call.input_digest,
            "payload_digest": call.payload_digest,
            "state": call.state,
            **(_decision(gate) if gate else {}),
        },
        standard={
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.skill_name,
            "gen_ai.tool.call.id": call.call_id,
            "error.type": error.get("code") or ("failed" if call.state == InvocationState.FAILED else None),
        },
        input=call.input_redacted,
        output=call.output_redacted,
        moments=(("performing", call.started_at),) if call.started_at else (),
        cost_usd=float(call.cost_usd) if call.cost_usd else None,
        **_how(call.state, str(error.get("message", ""))),
    )


def approval_span(gate: Gate, trace: Trace, parent: int) -> Span:
    """Return the span of a question to people, from asked to answered."""
    end = _end(gate.created_at, gate.state_changed_at)
    return Span(
        trace,
        Kind.APPROVAL,
        span_id(Kind.APPROVAL, gate.pk),
        parent,
        "approval",
        gate.created_at,
        end,
        about={
            "step_id": gate.step_id,
            "action": gate.action,
            "subject": gate.subject,
            "call_id": gate.call_id,
            "state": gate.state,
            "waited_s": round((end - gate.created_at).total_seconds(), 3),
            "asked": sorted({each["group"] for each in gate.thresholds}),
            "payload_digest": gate.payload_digest,
            **_decision(gate),
        },
        **_how(gate.state, "" if gate.state == GateState.APPROVED else f"it was {gate.state}"),
    )


def denial_span(gate: Gate, trace: Trace, parent: int) -> Span:
    """Return a denied request as a point in time."""
    return Span(
        trace,
        Kind.DENIAL,
        span_id(Kind.DENIAL, gate.pk),
        parent,
        f"denied {gate.action}",
        gate.created_at,
        gate.created_at,
        about={
            "step_id": gate.step_id,
            "action": gate.action,
            "subject": gate.subject,
            "call_id": gate.call_id,
            "state": gate.state,
            **_decision(gate),
        },
        standard={"error.type": gate.code or "denied"},
        level=Level.WARNING,
        says=gate.reason,
    )


def _decision(gate: Gate) -> dict[str, Any]:
    return {
        "gate_id": gate.pk,
        "effect": gate.effect,
        "reason": gate.reason,
        "decision_us": gate.decision_us,
        "manifests": list(gate.manifest_digests),
    }


def _how(state: str, says: str) -> Mapping[str, Any]:
    level = Level.DEFAULT if state in _WELL else Level.WARNING if state in _STOPPED else Level.ERROR
    return {"level": level, "says": "" if level is Level.DEFAULT else says or state}


def _end(start: datetime, end: datetime) -> datetime:
    # Two machines write the two times: a clock that is behind must not end a span before it began.
    return max(start, end)
