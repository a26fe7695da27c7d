"""Read jobs: for the snapshots of governance, for the tick, and for people."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from audit.rows import Asked, Wanted
from governance.core.snapshot import JobFact, RunFact
from governance.core.states import RunState, StepState
from governance.models import Run
from governance.run_facts import run_facts
from runtime.core.jobs import OPEN_JOB
from runtime.models import AgentJob

SEEN_AMONG = 500  # jobs, the newest


def snapshots(runs: Iterable[Run], *, no_capacity: str = "") -> list[RunFact]:
    """Return the snapshots of runs (read with their workspaces) with their live jobs, in a fixed number of queries."""
    found = list(runs)
    by_step: dict[UUID, JobFact] = {}
    by_run: dict[UUID, JobFact] = {}
    for job in live_jobs().filter(run__in=[run.pk for run in found]):
        fact = JobFact(
            name=job.name,
            state=job.state,
            created_at=job.created_at,
            last_sign_at=job.last_sign_at or job.started_at,
            accepted=job.result_at is not None,
            deadline_at=job.deadline_at,
        )
        if job.step_id is None:
            by_run[job.run_id] = fact
        else:
            by_step[job.step_id] = fact
    return run_facts(found, step_jobs=by_step, planning_jobs=by_run, no_capacity=no_capacity)


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether the run wants a job's attempt now, and whom it works for."""

    is_wanted: bool
    requester: str
    persons: frozenset[str]


HEAVY_JOB = ("limits", "log_tail", "progress", "ended_because")
# Asked with every request of an agent, so it is not composed anew each time.
STANDING = """
    SELECT run.state, run.requester_name, run.requester_persons, step.state, step.attempt
    FROM runtime_agentjob job JOIN governance_run run ON run.id = job.run_id
    LEFT JOIN governance_step step ON step.id = job.step_id WHERE job.id = %s
"""


def job_and_standing_asked(key: UUID) -> tuple[Wanted[AgentJob], Asked]:
    """Return what reads a job and its standing."""
    return Wanted(AgentJob, {"pk": key}, locked=False, without=HEAVY_JOB), Asked(STANDING, (key,))


def job_and_standing(job: AgentJob | None, row: Sequence[Any] | None) -> tuple[AgentJob, Standing] | None:
    """Return a job, and whether its attempt is the one that its run wants now; None where there is no such job."""
    if job is None or row is None:
        return None
    run_state, requester, persons, step_state, attempt = row
    if job.step_id is None:
        is_wanted = run_state == RunState.PLANNING
    else:
        is_wanted = run_state == RunState.RUNNING and step_state == StepState.RUNNING and attempt == job.attempt
    return job, Standing(is_wanted, requester, frozenset(persons))


def live_jobs() -> QuerySet[AgentJob]:
    return AgentJob.objects.filter(state__in=OPEN_JOB).order_by("created_at")


def jobs_of(runs: QuerySet[Run] | Iterable[Run]) -> QuerySet[AgentJob]:
    """Return the jobs of runs that the asker may see, newest first."""
    return AgentJob.objects.filter(run__in=runs).select_related("run", "step", "workspace")


def last_seen_of_agents(runs: QuerySet[Run]) -> dict[str, datetime]:
    """Return when each agent last gave a sign of life in the newest jobs of these runs, by the agent's name."""
    seen: dict[str, datetime] = {}
    newest = AgentJob.objects.filter(run__in=runs.values("pk")).order_by("-pk")
    for name, sign, created in newest.values_list("agent_name", "last_sign_at", "created_at")[:SEEN_AMONG]:
        at = sign or created
        seen[name] = max(at, seen.get(name, at))
    return seen
