"""Carry out what reconcile decides: talk to the backend, then write down what came of it."""

from functools import lru_cache
from time import monotonic
from typing import Any

import structlog
from django.conf import settings
from django.utils.timezone import now

from runtime.actions import mark_forgotten, record_end, record_started, record_submitted
from runtime.backend import Backend, BackendSettings, NoCapacity, SubmitFailed, all_backends
from runtime.core.jobs import OPEN_JOB, JobState
from runtime.core.reconcile import Command, Do, JobFacts, next_command
from runtime.models import AgentJob
from runtime.spec import spec_of

log = structlog.get_logger(__name__)

PROBLEM_KNOWN_S = 5.0
_problem: dict[str, Any] = {"until": 0.0, "why": ""}


@lru_cache(maxsize=1)
def configured_backend() -> Backend:
    """Return the backend that the deployment has chosen; one instance a process."""
    return all_backends()[settings.WORKA_BACKEND].from_settings(
        BackendSettings(
            jobs_dir=settings.WORKA_JOBS_FOLDER,
            runtime_dir=settings.WORKA_RUNTIME_FOLDER,
            door_socket=settings.WORKA_DOOR_SOCKET,
            packages=settings.WORKA_AGENT_PACKAGES,
            requirements=settings.WORKA_AGENT_REQUIREMENTS,
            python=settings.WORKA_AGENT_PYTHON or "",
            allow_unsandboxed=settings.WORKA_ALLOW_UNSANDBOXED,
            options=settings.WORKA_BACKEND_OPTIONS,
        )
    )


def backend_problem() -> str:
    """Say why no job can run here, or nothing; asked again after some seconds, because looking may start a process."""
    now_s = monotonic()
    if now_s >= _problem["until"]:
        _problem.update(until=now_s + PROBLEM_KNOWN_S, why=configured_backend().unavailable())
    return str(_problem["why"])


def reconcile(job: AgentJob, backend: Backend) -> Command:
    """Bring one job one step closer to what is wanted."""
    seen = backend.observe(job.name)
    # Read again after observing: a result that came in between would look like none.
    job.refresh_from_db()
    facts = JobFacts(JobState(job.state), job.wanted, job.deadline_at, job.result_at)
    command = next_command(facts, seen, now())
    match command.do:
        case Do.WAIT:
            pass
        case Do.SUBMIT:
            _submit(job, backend)
        case Do.KILL:
            backend.kill(job.name)
        case Do.RECORD_START:
            record_started(job, seen)
        case do:
            if job.state == JobState.SUBMITTED and do is Do.RECORD_SUCCESS and seen.started_at:
                record_started(job, seen)
            record_end(job, str(do), command.because, command.kind and str(command.kind), seen, backend.logs(job.name))
            forget(job, backend)
    return command


def _submit(job: AgentJob, backend: Backend) -> None:
    try:
        backend.submit(spec_of(job))
    except NoCapacity:
        return
    except SubmitFailed as error:
        log.warning("job_not_submitted", job=job.name, error=str(error))
        return
    record_submitted(job)


def forget(job: AgentJob, backend: Backend) -> None:
    """Remove what the backend keeps of a job whose end is in the ledger."""
    backend.forget(job.name)
    mark_forgotten(job)


def sweep_orphans(backend: Backend) -> list[str]:
    """Stop and remove what runs or lies around without a live row; return the names."""
    known = set(AgentJob.objects.filter(state__in=OPEN_JOB).values_list("name", flat=True))
    orphans = [name for name in backend.names() if name not in known]
    # A row may have been made since; only what still has none is an orphan.
    orphans = sorted(
        set(orphans) - set(AgentJob.objects.filter(name__in=orphans, state__in=OPEN_JOB).values_list("name", flat=True))
    )
    for name in orphans:
        backend.kill(name)
        backend.forget(name)
    AgentJob.objects.filter(name__in=orphans).update(forgotten=True)
    return orphans
