"""The tick of the job plane: look at every open run and job, and take the next step of each."""

from time import monotonic
from uuid import UUID

import structlog
from django.conf import settings
from django.utils.timezone import now

from audit.core.refusals import Refused
from governance.actions.steps import release_step
from governance.core.progress import FinishRun, Move, ReleaseStep, StartPlanning, StartStep, next_moves
from governance.models import Run
from runtime.actions import finish_if_due, start_planning, start_step_job, withdraw_unwanted
from runtime.dispatch import backend_problem, configured_backend, reconcile, sweep_orphans
from runtime.pulse import beat
from runtime.queries import live_jobs, snapshots

log = structlog.get_logger(__name__)

BEAT_EVERY_S = 2.0
_beaten_at = 0.0


def tick() -> int:
    """Take every step that is due, once; return how many were taken. What fails is tried again at the next tick."""
    global _beaten_at
    if monotonic() - _beaten_at >= BEAT_EVERY_S:
        beat()
        _beaten_at = monotonic()
    taken = advance_runs() + withdraw_unwanted()
    reconciled = reconcile_jobs()
    # An attempt that was found dead may have ended its run: what else worked for it stops now, not at the next tick.
    return taken + reconciled + (withdraw_unwanted() if reconciled else 0)


def advance_runs() -> int:
    """Do the moves that are due for every open run."""
    runs = list(Run.objects.open().select_related("workspace").order_by("created_at"))
    free, taken = free_slots(), 0
    for run in snapshots(runs):
        for move in next_moves(run, now()):
            starts_job = isinstance(move, (StartPlanning, StartStep))
            if starts_job and free <= 0:
                continue
            done = _guarded(move, str(run.id))
            free -= done and starts_job
            taken += done
    return taken


def reconcile_jobs() -> int:
    """Bring every live job one step closer to what is wanted."""
    backend = configured_backend()
    taken = 0
    for job in live_jobs():
        try:
            taken += reconcile(job, backend).do != "wait"
        except Refused:
            continue  # somebody else was faster; the next tick sees what became of it
        except Exception:
            log.exception("job_not_reconciled", job=job.name)
    return taken


def sweep() -> None:
    """Remove what the backend runs or keeps without a live row. Rarely: every half minute is enough."""
    orphans = sweep_orphans(configured_backend())
    if orphans:
        log.warning("orphans_removed", jobs=orphans)


def capacity_lacking() -> str:
    """Say why no job can start now, or nothing when one can."""
    if backend_problem():
        return "no sandbox"
    return "" if free_slots() > 0 else f"all {settings.WORKA_MAX_JOBS} slots are taken"


def free_slots() -> int:
    """Return how many more jobs may live now; none where there is no sandbox."""
    return 0 if backend_problem() else settings.WORKA_MAX_JOBS - live_jobs().count()


def _guarded(move: Move, run: str) -> bool:
    try:
        return _do(move)
    except Refused:
        return False  # overtaken; the next tick decides again
    except Exception:
        log.exception("move_failed", run=run, move=str(move))
        return False


def _do(move: Move) -> bool:
    match move:
        case StartPlanning(run_id, attempt):
            return start_planning(UUID(run_id), attempt) is not None
        case StartStep(step_id, attempt):
            return start_step_job(UUID(step_id), attempt) is not None
        case ReleaseStep(step_id):
            return release_step(UUID(step_id), because="all that it waited for is there")
        case FinishRun():
            return finish_if_due(move)
