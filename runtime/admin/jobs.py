"""Jobs in the console: what is wanted, what is seen, and the button that stops one."""

from typing import Any

from django.contrib import admin

from audit.principals import Principal
from audit.screens import Button, DecisionAdmin
from governance.core.permissions import Verb
from governance.people import asker_in_session, asker_of
from governance.queries import runs_visible_to
from runtime.actions import kill_job
from runtime.models import AgentJob
from runtime.queries import jobs_of


def may_kill(user: Any, job: AgentJob) -> bool:
    """Say whether a person may stop a job: whoever may cancel any run."""
    asker = asker_of(user, job.workspace)
    return asker is not None and asker.may(Verb.CANCEL_RUNS)


def kill(job: AgentJob, *, by: Principal, because: str) -> None:
    """Stop a live job for a person."""
    kill_job(job.pk, by=by, because=because)


@admin.register(AgentJob)
class JobAdmin(DecisionAdmin):
    """One attempt of one agent."""

    visible_to = staticmethod(lambda request: jobs_of(runs_visible_to(asker_in_session(request))))
    list_page = "worka/pages/jobs.html"
    row_page = "worka/pages/job.html"
    buttons = (
        Button(
            "cancel",
            "Kill",
            kill,
            may_kill,
            icon="close",
            tone="danger",
            consequence="The process ends now. The step spends one of its attempts, and is tried again if it has any left.",
        ),
    )
