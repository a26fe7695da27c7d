"""Why is it waiting? One code and one sentence from a snapshot, never from text stored earlier (domain.md, section 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from governance.core.progress import waits_over
from governance.core.snapshot import CallFact, FrozenFact, GateFact, JobFact, RunFact, StepFact
from governance.core.states import InvocationState, RunState, StepState
from governance.core.wording import ago, count, duration, excerpt, listed, until

WhyCode = Literal[
    "awaiting_settlement", "awaiting_approval", "awaiting_connection", "frozen", "stuck", "running", "awaiting_planner",
    "awaiting_capacity", "awaiting_retry", "awaiting_time", "awaiting_dependency", "finished",
]  # fmt: skip
# In the order in which a run with several open steps speaks of them: first what only people can move.
CODES: tuple[WhyCode, ...] = get_args(WhyCode)

_LONGEST_REASON = 300
_ENDED: Mapping[str, str] = {
    "succeeded": "succeeded", "failed": "failed", "refused": "was refused", "cancelled": "was cancelled",
    "skipped": "was skipped",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Why:
    """Why something is as it is: `since` when, and in `detail` what the sentence was made of (JSON, times as RFC 3339)."""

    code: WhyCode
    sentence: str
    since: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)


def explain(run: RunFact, now: datetime) -> Why:
    """Say why this run is where it is."""
    if not run.is_open:
        return _finished("The run", run.state, run.reason, run.state_changed_at, now)
    if run.frozen:
        return _frozen(run.frozen, now)
    if run.state in (RunState.RECEIVED, RunState.PLANNING):
        return _planning(run, now)
    if run.state == RunState.HELD:
        if run.gate and run.gate.is_waiting:
            return _approval([run.gate], now)
        return Why(
            "stuck", "The plan is held, and nobody is asked: an operator has to look at this run.", run.state_changed_at
        )
    whys = [
        _settlement(step, call, now)
        for step in run.steps
        for call in step.calls
        if call.state == InvocationState.UNKNOWN
    ]
    if gates := [gate for step in run.steps if step.is_open for gate in _gates(step)]:
        whys.append(_approval(gates, now))
    whys += [explain_step(run, step, now) for step in run.steps if step.is_open]
    return min(whys, key=lambda why: CODES.index(why.code)) if whys else _closing(run, now)


def explain_step(run: RunFact, step: StepFact, now: datetime) -> Why:
    """Say why this step of the run is where it is."""
    if not step.is_open:
        return _finished(_title(step), step.state, step.last_error, step.state_changed_at, now)
    for call in step.calls:
        if call.state == InvocationState.UNKNOWN:
            return _settlement(step, call, now)
    if gates := _gates(step):
        return _approval(gates, now)
    match step.state:
        case StepState.PENDING:
            return _pending(run, step)
        case StepState.READY:
            return _ready(run, step, now)
        case StepState.RUNNING:
            return _running(run, step, now)
    return _suspended(run, step, now)


def _planning(run: RunFact, now: datetime) -> Why:
    attempt = f"attempt {run.planning_attempts + 1} of {run.limits.plan_attempts}"
    detail = {"agent": run.planner, "attempt": run.planning_attempts + 1, "attempts": run.limits.plan_attempts}
    job = run.planning_job
    if job is not None:
        told = _job(run, job, f"The planner {run.planner}", now)
        since = job.created_at
        sentence = f"{run.planner} has been planning for {duration(now - since)} ({attempt}); {_sign(job, now)}."
        return told or Why("awaiting_planner", sentence, since, detail | _of_job(job))
    since = run.state_changed_at
    last = f"; the last error: {excerpt(run.planning_error, _LONGEST_REASON)}" if run.planning_error else ""
    if run.planning_attempts >= run.limits.plan_attempts:
        sentence = f"Planning was tried {count(run.planning_attempts, 'time')}, and the run ends in a moment{last}."
        return Why("awaiting_planner", sentence, since, detail)
    if run.planning_not_before and run.planning_not_before > now:
        sentence = f"Planning is tried again {until(run.planning_not_before, now)} ({attempt}){last}."
        return Why("awaiting_retry", sentence, since, detail | {"next_at": run.planning_not_before.isoformat()})
    if run.no_capacity:
        return _no_capacity(run, f"{run.planner} cannot start to plan", since)
    return Why("awaiting_planner", f"{run.planner} starts to plan in a moment ({attempt}).", since, detail)


def _pending(run: RunFact, step: StepFact) -> Why:
    needed = [other for other in run.steps if other.id in step.depends_on and other.state != StepState.SUCCEEDED]
    if not needed:
        return _soon(run, step, "is next")
    names = listed([f"{_name(other)} ({other.state})" for other in needed])
    detail = {"step": step.sequence, "waits_for": [other.sequence for other in needed]}
    return Why("awaiting_dependency", f"{_title(step)} waits for {names}.", step.state_changed_at, detail)


def _ready(run: RunFact, step: StepFact, now: datetime) -> Why:
    if stopped := run.frozen or step.frozen:
        return _frozen(stopped, now, step)
    if step.not_before is None or step.not_before <= now:
        return _soon(run, step, "is ready")
    attempt, most = step.retries + 1, run.limits.step_attempts
    last = f"; the last error: {excerpt(step.last_error, _LONGEST_REASON)}" if step.last_error else ""
    sentence = f"{_title(step)} is tried again {until(step.not_before, now)} (attempt {attempt} of {most}){last}."
    detail = {"step": step.sequence, "attempt": attempt, "attempts": most, "next_at": step.not_before.isoformat()}
    return Why("awaiting_retry", sentence, step.state_changed_at, detail | {"last_error": step.last_error})


def _running(run: RunFact, step: StepFact, now: datetime) -> Why:
    since, job = step.state_changed_at, step.live_job
    detail = {"step": step.sequence, "agent": step.agent_name}
    if job is None:
        sentence = f"{step.agent_name} has left {_name(step)}; what it left behind is being looked at."
        return Why("running", sentence, since, detail)
    if told := _job(run, job, f"{_title(step)}: {step.agent_name}", now):
        return told
    sentence = f"{step.agent_name} has been working on {_name(step)} for {duration(now - since)}; {_sign(job, now)}."
    return Why("running", sentence, since, detail | _of_job(job))


def _suspended(run: RunFact, step: StepFact, now: datetime) -> Why:
    if step.awaited_calls:
        return _awaited(step, step.awaited_calls[0], now)
    waits, since = step.waits_for, step.state_changed_at
    if waits and waits.frozen and (stopped := run.frozen or step.frozen):
        return _frozen(stopped, now, step)
    if waits and waits.until and not waits_over(run, step, now):
        sentence = f"{_title(step)} sleeps, and goes on {until(waits.until, now)}."
        return Why("awaiting_time", sentence, since, {"step": step.sequence, "until": waits.until.isoformat()})
    if step.live_job:
        sentence = f"{_title(step)} goes on as soon as its last job has gone."
        return Why(
            "running", sentence, since, {"step": step.sequence, "agent": step.agent_name} | _of_job(step.live_job)
        )
    return _soon(run, step, "has all that it waited for")


def _awaited(step: StepFact, call: CallFact, now: datetime) -> Why:
    """Explain a call that a suspended step waits for and that neither people nor settling can bring on."""
    since, detail = call.state_changed_at, _of_call(step, call)
    deed = f"{call.skill} ({_call_name(step, call)})"
    if call.state == InvocationState.HELD:
        return Why("stuck", f"{deed} is held, and nobody is asked: an operator has to look at this run.", since, detail)
    if call.unconnected:
        sentence = (
            f"{deed} waits for a connection: {excerpt(call.unconnected, _LONGEST_REASON)}. "
            "An admin or owner of the workspace can see to that."
        )
        return Why("awaiting_connection", sentence, since, detail | {"service": call.service})
    if call.state == InvocationState.RUNNING:
        return Why("running", f"{deed} has been going on for {duration(now - since)}.", since, detail)
    if call.not_before and call.not_before > now:
        because = f" because of {call.delayed_by}" if call.delayed_by else ""
        sentence = f"{deed} is allowed, and is put off{because}; it is tried again {until(call.not_before, now)}."
        return Why("awaiting_capacity", sentence, since, detail | {"next_at": call.not_before.isoformat()})
    return Why("running", f"{deed} is allowed, and is performed in a moment.", since, detail)


def _job(run: RunFact, job: JobFact, who: str, now: datetime) -> Why | None:
    """Explain a live job that does not work: not begun for want of room, or silent for too long."""
    if job.state == "queued" and run.no_capacity:
        return _no_capacity(run, f"{who} cannot start", job.created_at)
    heard = job.last_sign_at or job.created_at
    if job.accepted or now - heard <= run.limits.sign_of_life:
        return None
    sentence = f"{who} has given no sign of life for {duration(now - heard)}; {duration(run.limits.sign_of_life)} is the limit."
    return Why("stuck", sentence, heard, _of_job(job))


def _sign(job: JobFact, now: datetime) -> str:
    if job.accepted:
        return "it has handed in, and is leaving"
    return f"last sign of life {ago(job.last_sign_at, now)}" if job.last_sign_at else "no sign of life yet"


def _no_capacity(run: RunFact, what: str, since: datetime) -> Why:
    return Why("awaiting_capacity", f"{what}: {run.no_capacity}.", since, {"limit": run.no_capacity})


def _soon(run: RunFact, step: StepFact, how: str) -> Why:
    if run.no_capacity:
        return _no_capacity(run, f"{_title(step)} {how}, and no job can start", step.state_changed_at)
    return Why(
        "awaiting_capacity",
        f"{_title(step)} {how}, and starts in a moment.",
        step.state_changed_at,
        {"step": step.sequence},
    )


def _approval(gates: Sequence[GateFact], now: datetime) -> Why:
    first = min(gates, key=lambda gate: gate.asked_at)
    outcome = first.outcome
    asked = [_group(first, place) for place, missing in enumerate(outcome.missing) if missing.missing]
    who = listed(asked) if asked else "somebody"
    lacking = [f"{missing.missing} from {missing.group}" for missing in outcome.missing if missing.missing]
    total = sum(missing.missing for missing in outcome.missing)
    if outcome.unmeetable:
        state = f", but {outcome.unmeetable}"
    elif outcome.state != "open":
        state = ": enough have voted, and what follows from it is being done"
    else:
        by_group = f" ({', '.join(lacking)})" if len(lacking) > 1 else ""
        state = f": {count(total, 'approval')} {'is' if total == 1 else 'are'} missing{by_group}"
    ends = f", expires {until(first.expires_at, now)}" if first.expires_at else ""
    more = (
        f" {count(len(gates) - 1, 'more approval')} {'waits' if len(gates) == 2 else 'wait'}." if len(gates) > 1 else ""
    )
    sentence = f"Waiting for {who} to approve {first.what}{state}. Asked {ago(first.asked_at, now)}{ends}.{more}"
    return Why("awaiting_approval", sentence, first.asked_at, {"gates": [_of_gate(gate) for gate in gates]})


def _group(gate: GateFact, place: int) -> str:
    names = _able(gate, place)
    group = gate.thresholds[place].group
    return f"{group} ({listed(names, 'or')})" if names else group


def _able(gate: GateFact, place: int) -> list[str]:
    members = gate.members.get(gate.thresholds[place].group, frozenset())
    return sorted(gate.names.get(person, person) for person in members & gate.outcome.may_answer)


def _of_gate(gate: GateFact) -> dict[str, Any]:
    outcome = gate.outcome
    thresholds = [
        {"group": each.group, "needed": each.needed, "missing": each.missing, "may_answer": _able(gate, place)}
        for place, each in enumerate(outcome.missing)
    ]
    return {
        "id": gate.id, "what": gate.what, "asked_at": gate.asked_at.isoformat(),
        "expires_at": gate.expires_at.isoformat() if gate.expires_at else None,
        "unmeetable": outcome.unmeetable, "thresholds": thresholds,
    }  # fmt: skip


def _settlement(step: StepFact, call: CallFact, now: datetime) -> Why:
    error = f" ({excerpt(call.error, _LONGEST_REASON)})" if call.error else ""
    sentence = (
        f"Nobody knows whether {call.skill} ({_call_name(step, call)}) took effect{error}. "
        f"Somebody who did not ask for this run has to look and settle it; open for {duration(now - call.state_changed_at)}."
    )
    return Why("awaiting_settlement", sentence, call.state_changed_at, _of_call(step, call))


def _frozen(freeze: FrozenFact, now: datetime, step: StepFact | None = None) -> Why:
    because = f": {excerpt(freeze.because, _LONGEST_REASON)}" if freeze.because else ""
    sentence = f"{freeze.by} stopped the {freeze.what} {ago(freeze.since, now)}{because}. Nothing new starts until that is lifted."
    detail = {"what": freeze.what, "by": freeze.by, "because": freeze.because}
    return Why("frozen", sentence, freeze.since, detail | ({"step": step.sequence} if step else {}))


def _finished(what: str, state: str, reason: str, since: datetime, now: datetime) -> Why:
    told = f": {excerpt(reason, _LONGEST_REASON)}" if reason and state != "succeeded" else ""
    return Why(
        "finished", f"{what} {_ENDED[state]} {ago(since, now)}{told}.", since, {"state": state, "reason": reason}
    )


def _closing(run: RunFact, now: datetime) -> Why:
    since = max((step.state_changed_at for step in run.steps), default=run.state_changed_at)
    for step in run.steps:
        for call in step.calls:
            if call.is_under_way:
                return _awaited(step, call, now)
    return Why("running", "Every step is over, and the run ends in a moment.", since)


def _gates(step: StepFact) -> list[GateFact]:
    return [call.waiting_gate for call in step.calls if call.waiting_gate]


def _name(step: StepFact) -> str:
    return f"step {step.sequence} (“{excerpt(step.objective)}”)"


def _title(step: StepFact) -> str:
    return f"S{_name(step)[1:]}"


def _call_name(step: StepFact, call: CallFact) -> str:
    return f"call {call.call_id} of step {step.sequence}"


def _of_call(step: StepFact, call: CallFact) -> dict[str, Any]:
    return {"step": step.sequence, "call_id": call.call_id, "skill": call.skill, "invocation": call.id}


def _of_job(job: JobFact) -> dict[str, Any]:
    return {"job": job.name, "last_sign_at": job.last_sign_at.isoformat() if job.last_sign_at else None}
