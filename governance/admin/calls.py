"""Calls in the console: what agents had done, and the buttons that settle one of which nobody knows the outcome."""

from typing import Any

from django.contrib import admin

from audit.principals import Principal
from audit.screens import Button, DecisionAdmin
from governance.actions.outcomes import settle_call
from governance.core.permissions import Verb
from governance.models import SkillInvocation
from governance.people import asker_in_session, asker_of
from governance.queries import calls_visible_to


def why_not_settle(user: Any, call: SkillInvocation) -> str:
    """Say why a person may not settle a call, or nothing when they may."""
    asker = asker_of(user, call.run.workspace)
    if asker is None or not asker.may(Verb.SETTLE_CALLS):
        return "an admin or owner of the workspace settles it"
    if asker.principal.persons & set(call.run.requester_persons):
        return "you asked for this run, so another admin or owner settles it"
    return ""


def may_settle(user: Any, call: SkillInvocation) -> bool:
    """Say whether a person may settle a call: admins and owners who did not ask for its run."""
    return not why_not_settle(user, call)


def it_happened(call: SkillInvocation, *, by: Principal, because: str) -> None:
    """Settle a call as performed."""
    settle_call(call.pk, by=by, because=because, outcome="succeeded")


def it_did_not(call: SkillInvocation, *, by: Principal, because: str) -> None:
    """Settle a call as not performed."""
    settle_call(call.pk, by=by, because=because, outcome="failed")


@admin.register(SkillInvocation)
class CallAdmin(DecisionAdmin):
    """A privileged call of a skill."""

    visible_to = staticmethod(
        lambda request: calls_visible_to(asker_in_session(request)).select_related("run__workspace")
    )
    list_page = "worka/pages/calls.html"
    row_page = "worka/pages/call.html"
    buttons = (
        Button("settle_succeeded", "It happened", it_happened, may_settle, icon="succeeded", tone="yes"),
        Button("settle_failed", "It did not", it_did_not, may_settle, icon="failed", tone="no"),
    )
