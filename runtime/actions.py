"""Make jobs, and write down what became of them. The only writer of job rows."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils.timezone import now

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import record
from audit.principals import SYSTEM, Principal
from audit.transition import born, transition
from governance.actions.attempts import count_refused
from governance.actions.locks import lock_run, lock_step
from governance.actions.plans import planning_failed
from governance.actions.runs import finish_run
from governance.actions.steps import fail_attempt, start_step
from governance.caller import Caller
from governance.core.progress import FinishRun, next_moves
from governance.core.states import OPEN_RUN, RunState, StepState
from governance.gather import limits_of
from governance.models import Agent, AgentKind, Run, Step
from runtime.core.jobs import OPEN_JOB, JobState, Limits, Seen
from runtime.core.printing import fit_to_show
from runtime.models import AgentJob, Purpose
from runtime.queries import snapshots

LONGEST_LOG = 64 * 1024
MOST_REFUSED = 100
REFUSED_TOO_OFTEN = "attempt made too many refused requests"
PLANNING_TIMEOUT = timedelta(minutes=5)
EVENTS = {
    "record_success": "succeed",
    "record_failure": "fail",
    "record_timeout": "time_out",
    "record_lost": "lose",
    "record_cancel": "cancel",
}


@transaction.atomic
def start_planning(run_id: UUID, attempt: int) -> AgentJob | None:
    """Make the planning job of a run, unless there is a live one or nobody plans."""
    run = lock_run(run_id)
    planner = Agent.objects.filter(kind=AgentKind.PLANNER, enabled=True).order_by("created_at").first()
    if run.planning_attempts + 1 != attempt:
        return None
    if (
        planner is None
        or run.state not in (RunState.RECEIVED, RunState.PLANNING)
        or _has_live_job(run=run, purpose=Purpose.PLAN)
    ):
        return None
    if run.state == RunState.RECEIVED:
        transition(run, "plan", by=SYSTEM, because="it was asked for")
    return _create_job(run, None, planner, attempt, _planning_name(run, attempt), PLANNING_TIMEOUT)


@transaction.atomic
def start_step_job(step_id: UUID, attempt: int) -> AgentJob | None:
    """Start the next attempt of a ready step together with its job, unless somebody was faster."""
    run = lock_run(Step.objects.only("run_id").get(pk=step_id).run_id)
    step = lock_step(step_id)
    if run.state != RunState.RUNNING or step.state != StepState.READY or step.attempt + 1 != attempt:
        return None
    if _has_live_job(step=step):
        return None
    agent = Agent.objects.get(name=step.agent_name)
    timeout = limits_of(run.workspace_id).step.timeout
    start_step(run, step, because="all that it needs is there")
    return _create_job(run, step, agent, step.attempt, f"worka-{step.pk}-{step.attempt}", timeout)


@transaction.atomic
def finish_if_due(move: FinishRun) -> bool:
    """End a run as it was decided, unless that is not due any more: an approval in between has moved its deadline, say."""
    run = lock_run(UUID(move.run_id))
    if move not in next_moves(snapshots([run])[0], now()):
        return False
    finish_run(run.pk, move.event, because=move.reason)
    return True


@transaction.atomic
def accept_answer(job_id: UUID, *, digest: str, status: int, answer: Mapping[str, Any]) -> None:
    """Note on the job the plan or result that was accepted from it, and the answer it got, for an identical repeat."""
    AgentJob.objects.filter(pk=job_id, result_at=None).update(
        result_digest=digest, result_answer={"status": status, "body": dict(answer)}, result_at=now()
    )


def note_sign_of_life(job_id: UUID) -> None:
    AgentJob.objects.filter(pk=job_id).update(last_sign_at=now())


def record_submitted(job: AgentJob) -> None:
    transition(job, "submit", by=SYSTEM, because=f"handed to the backend {job.backend}", submitted_at=now())


def record_started(job: AgentJob, seen: Seen) -> None:
    transition(job, "start", by=SYSTEM, because="its process runs", started_at=seen.started_at or now())


def record_end(job: AgentJob, do: str, because: str, kind: str | None, seen: Seen, logs: str) -> None:
    """Write down how a job ended; a bad end spends a retry of what it worked on, in the same transaction."""
    with transaction.atomic():
        lock_run(job.run_id)
        if kind is not None:
            if job.step_id is None:
                planning_failed(job.run_id, job.attempt, job_name=job.name, kind=kind, reason=because)
            else:
                fail_attempt(job.step_id, job.attempt, job_name=job.name, kind=kind, reason=because)
        transition(
            job,
            EVENTS[do],
            by=SYSTEM,
            because=because,
            finished_at=now(),
            exit_code=seen.exit_code,
            ended_because=because,
            log_tail=fit_to_show(logs[-LONGEST_LOG:]),
        )


def withdraw_unwanted() -> int:
    """Find live jobs that nobody wants any more (a cancel, a retry, an end of the run) and say so on their rows."""
    over_run = ~Q(run__state__in=OPEN_RUN)
    over_plan = Q(purpose=Purpose.PLAN) & ~Q(run__state=RunState.PLANNING)
    over_step = Q(purpose=Purpose.STEP) & (~Q(step__state=StepState.RUNNING) | ~Q(step__attempt=F("attempt")))
    jobs = AgentJob.objects.filter(over_run | over_plan | over_step, state__in=OPEN_JOB, wanted=True, result_at=None)
    found = 0
    for job in jobs.select_related("run"):
        found += withdraw_job(
            job,
            by=SYSTEM,
            because=f"the run is {job.run.state}" if job.run.state not in OPEN_RUN else "its attempt is over",
        )
    return found


@transaction.atomic
def withdraw_job(job: AgentJob, *, by: Principal, because: str) -> bool:
    """Say that a job is not wanted any more; the tick stops it. Say whether it was this call that did."""
    moved = AgentJob.objects.filter(pk=job.pk, wanted=True, state__in=OPEN_JOB).update(
        wanted=False, unwanted_because=because
    )
    if moved:
        record("job.withdraw", job, by=by, because=because)
    return bool(moved)


@transaction.atomic
def kill_job(job_id: UUID, *, by: Principal, because: str) -> AgentJob:
    """Stop a live job for a person; what it worked on spends a retry. Refuses with transition_refused when it has ended."""
    run_id = AgentJob.objects.only("run_id").get(pk=job_id).run_id
    lock_run(run_id)
    job = AgentJob.objects.select_for_update().get(pk=job_id)
    if job.state not in OPEN_JOB:
        raise Refused(f"the job has ended: it {job.state}", code=Code.TRANSITION_REFUSED)
    withdraw_job(job, by=by, because=because)
    if job.step_id is None:
        planning_failed(run_id, job.attempt, job_name=job.name, kind="job_failed", reason=f"{by} stopped it: {because}")
    else:
        fail_attempt(
            job.step_id, job.attempt, job_name=job.name, kind="job_failed", reason=f"{by} stopped it: {because}"
        )
    job.refresh_from_db()
    return job


@transaction.atomic
def end_if_refused_too_often(job: AgentJob, caller: Caller) -> bool:
    """End an attempt that was refused a hundred times: its token is dead, and it has failed. Say whether it was this call that did."""
    if count_refused(caller) < MOST_REFUSED:
        return False
    lock_run(caller.run_id)
    if not withdraw_job(job, by=SYSTEM, because=REFUSED_TOO_OFTEN):
        return False
    if caller.step_id is None:
        planning_failed(caller.run_id, caller.attempt, job_name=job.name, kind="policy", reason=REFUSED_TOO_OFTEN)
    else:
        fail_attempt(caller.step_id, caller.attempt, job_name=job.name, kind="policy", reason=REFUSED_TOO_OFTEN)
    return True


def mark_forgotten(job: AgentJob) -> None:
    AgentJob.objects.filter(pk=job.pk).update(forgotten=True)


def _planning_name(run: Run, attempt: int) -> str:
    # An attempt that did not count, because of a freeze, is made again.
    before = AgentJob.objects.filter(run=run, purpose=Purpose.PLAN, attempt=attempt).count()
    return f"worka-{run.pk}-plan-{attempt}" + (f"-{before + 1}" if before else "")


def _create_job(run: Run, step: Step | None, agent: Agent, attempt: int, name: str, timeout: timedelta) -> AgentJob:
    limits = Limits(wall_s=max(1, int(timeout.total_seconds())), **settings.WORKA_JOB_LIMITS)
    job = AgentJob(
        workspace_id=run.workspace_id,
        run=run,
        step=step,
        purpose=Purpose.STEP if step else Purpose.PLAN,
        name=name,
        agent_name=agent.name,
        attempt=attempt,
        backend=settings.WORKA_BACKEND,
        image=agent.image,
        limits=limits.as_json(),
        state=JobState.QUEUED,
    )
    job.deadline_at = job.created_at + timeout
    job.save(force_insert=True)
    born(job, by=SYSTEM, because=f"attempt {attempt} of {agent.name}", agent=agent.name, attempt=attempt)
    return job


def _has_live_job(**about: Any) -> bool:
    return AgentJob.objects.filter(state__in=OPEN_JOB, **about).exists()
