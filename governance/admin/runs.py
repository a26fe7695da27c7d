"""Runs in the console: every request, and the button that stops one."""

from typing import Any

from django.contrib import admin

from audit.principals import Principal
from audit.screens import Button, DecisionAdmin
from governance.actions.runs import cancel_run
from governance.core.permissions import Verb
from governance.models import Run
from governance.people import asker_in_session, asker_of
from governance.queries import runs_visible_to


def may_cancel(user: Any, run: Run) -> bool:
    """Say whether a person may cancel a run: admins any, members their own."""
    asker = asker_of(user, run.workspace)
    if asker is None:
        return False
    own = bool(asker.principal.persons & set(run.requester_persons))
    return asker.may(Verb.CANCEL_OWN_RUNS if own else Verb.CANCEL_RUNS)


def cancel(run: Run, *, by: Principal, because: str) -> None:
    """Cancel a run for a person."""
    cancel_run(run.pk, by=by, because=because)


@admin.register(Run)
class RunAdmin(DecisionAdmin):
    """A run; its number is what people call it by."""

    visible_to = staticmethod(lambda request: runs_visible_to(asker_in_session(request)))
    list_page = "worka/pages/runs.html"
    row_page = "worka/pages/run.html"
    buttons = (
        Button(
            "cancel",
            "Cancel",
            cancel,
            may_cancel,
            icon="close",
            tone="danger",
            consequence="Its agents stop at once, what waits for people is withdrawn, and nothing further is done.",
        ),
    )
