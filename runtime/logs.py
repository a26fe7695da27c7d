"""What running agents say: lines of progress, shown live and kept with the job."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import F, Value
from django.db.models.functions import Concat, Right
from django.utils.timezone import now

from runtime.core.printing import fit_to_show
from runtime.dispatch import configured_backend
from runtime.models import AgentJob

MOST_KEPT = 64 * 1024


def keep_lines(job_id: UUID, lines: Sequence[str]) -> None:
    """Append lines to a job's progress, masked, keeping the last 64 KiB; they count as a sign of life."""
    text = fit_to_show("\n".join(lines) + "\n") if lines else ""
    if text:
        AgentJob.objects.filter(pk=job_id).update(
            progress=Right(Concat(F("progress"), Value(text)), MOST_KEPT), last_sign_at=now()
        )


def log_of(job: AgentJob) -> str:
    """Return what a job has printed so far: from its backend while it lives, from its row afterwards."""
    return job.log_tail if job.finished_at else fit_to_show(configured_backend().logs(job.name)[-MOST_KEPT:])
