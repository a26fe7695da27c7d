"""Decide the next command from what we want and what we see. Nothing else."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from runtime.core.jobs import OPEN_JOB, Ended, JobState, Phase, Seen

# An accepted result or plan gives the job this long to leave by itself (flush traces, close files); then it is killed.
TIME_TO_GO = timedelta(seconds=10)
# The backend's own clock ends a job at its deadline; the server steps in only when that clock has failed.
DEADLINE_GRACE = timedelta(seconds=15)


class Do(StrEnum):
    SUBMIT = "submit"
    WAIT = "wait"
    KILL = "kill"
    RECORD_START = "record_start"
    RECORD_SUCCESS = "record_success"
    RECORD_FAILURE = "record_failure"
    RECORD_TIMEOUT = "record_timeout"
    RECORD_LOST = "record_lost"
    RECORD_CANCEL = "record_cancel"


class BurnKind(StrEnum):
    """The kinds of burn that a job's end can be."""

    JOB_FAILED = "job_failed"
    JOB_TIMEOUT = "job_timeout"
    JOB_LOST = "job_lost"
    OOM = "oom"
    BAD_OUTPUT = "bad_output"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Command:
    """What to do next; `kind` is the burn of a bad end, `because` the sentence for the ledger."""

    do: Do
    because: str = ""
    kind: BurnKind | None = None


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What the row says. `deadline_at` counts from submission; `result_at` is when a result or plan was accepted.

    Read the row again after observing, not before: a result that was accepted in between would look like none.
    """

    state: JobState
    wanted: bool
    deadline_at: datetime | None = None
    result_at: datetime | None = None


WAIT = Command(Do.WAIT)


def next_command(job: JobFacts, seen: Seen, now: datetime) -> Command:
    """Say the one thing to do for this job now."""
    if job.state not in OPEN_JOB:
        return WAIT
    alive = seen.phase in (Phase.PENDING, Phase.RUNNING)
    if job.state is JobState.QUEUED:
        return _queued(job, seen, alive, now)
    if alive:
        return _alive(job, seen, now)
    if job.result_at is not None:
        return Command(Do.RECORD_SUCCESS, "its result was accepted")
    if not job.wanted:
        return Command(Do.RECORD_CANCEL, "it was no longer wanted")
    if seen.phase is Phase.UNKNOWN:
        return Command(Do.RECORD_LOST, "it is gone without a trace", BurnKind.JOB_LOST)
    return _bad_end(job, seen, now)


def _queued(job: JobFacts, seen: Seen, alive: bool, now: datetime) -> Command:
    if not job.wanted:
        return (
            Command(Do.KILL, "it is no longer wanted")
            if alive
            else Command(Do.RECORD_CANCEL, "it was no longer wanted")
        )
    # A job that is seen while its row is still queued was submitted just before a crash: submitting again is harmless.
    if seen.phase is Phase.UNKNOWN and job.deadline_at is not None and now >= job.deadline_at:
        return Command(Do.RECORD_FAILURE, "it could not be started before its deadline", BurnKind.JOB_TIMEOUT)
    return Command(Do.SUBMIT)


def _alive(job: JobFacts, seen: Seen, now: datetime) -> Command:
    if not job.wanted:
        return Command(Do.KILL, "it is no longer wanted")
    if job.result_at is not None and now >= job.result_at + TIME_TO_GO:
        return Command(Do.KILL, f"its result was accepted, and it did not leave within {TIME_TO_GO.seconds} seconds")
    if job.deadline_at is not None and now >= job.deadline_at + DEADLINE_GRACE:
        return Command(Do.KILL, "its deadline has passed")
    if job.state is JobState.SUBMITTED and seen.phase is Phase.RUNNING:
        return Command(Do.RECORD_START)
    return WAIT


def _bad_end(job: JobFacts, seen: Seen, now: datetime) -> Command:
    match seen.ended:
        case Ended.TIMED_OUT:
            return Command(Do.RECORD_TIMEOUT, seen.detail or "it ran out of time", BurnKind.JOB_TIMEOUT)
        case Ended.KILLED if job.deadline_at is not None and now >= job.deadline_at:
            return Command(Do.RECORD_TIMEOUT, "it was killed after its deadline", BurnKind.JOB_TIMEOUT)
        case Ended.KILLED:
            return Command(Do.RECORD_FAILURE, seen.detail or "it was killed from outside", BurnKind.JOB_FAILED)
        case Ended.OOM:
            return Command(Do.RECORD_FAILURE, seen.detail or "it used more memory than it may", BurnKind.OOM)
        case Ended.EXITED if seen.exit_code == 0:
            return Command(Do.RECORD_FAILURE, "it exited without handing in a result", BurnKind.BAD_OUTPUT)
        case Ended.EXITED | Ended.SIGNALLED:
            return Command(
                Do.RECORD_FAILURE, seen.detail or f"it exited with code {seen.exit_code}", BurnKind.JOB_FAILED
            )
        case Ended.NOT_STARTED:
            return Command(Do.RECORD_FAILURE, seen.detail or "its sandbox could not be started", BurnKind.INTERNAL)
        case _:
            return Command(Do.RECORD_LOST, seen.detail or "it was lost", BurnKind.JOB_LOST)
