"""Agents and skills in the console: what exists, and the buttons that stop one everywhere at once."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from audit.principals import Principal
from audit.screens import Button, DecisionAdmin
from governance import queries
from governance.actions.freezing import disable, enable
from governance.core.permissions import Verb
from governance.models import Agent, Skill
from governance.people import asker_in_session, may_everywhere


def may_disable(user: Any, thing: Agent | Skill) -> bool:
    """Say whether a person may stop it: it exists once for all workspaces, so they need the right in each."""
    return thing.enabled and may_everywhere(user, Verb.FREEZE)


def may_enable(user: Any, thing: Agent | Skill) -> bool:
    """Say whether a person may let it work again."""
    return not thing.enabled and may_everywhere(user, Verb.FREEZE)


def stop(thing: Agent | Skill, *, by: Principal, because: str) -> str:
    """Disable it from the next decision on."""
    disable(thing, by=by, because=because)
    return f"{thing.name} is disabled, from the next decision on. Steps that need it wait and lose no attempt."


def let_go(thing: Agent | Skill, *, by: Principal, because: str) -> str:
    """Let it work again."""
    enable(thing, by=by, because=because)
    return f"{thing.name} works again. Steps that waited for it go on by themselves."


SWITCHES = (
    Button(
        "disable",
        "Disable",
        stop,
        may_disable,
        icon="paused",
        tone="danger",
        consequence="Everywhere, from the next decision on. What is being done is finished; steps wait.",
    ),
    Button(
        "enable", "Enable", let_go, may_enable, icon="check", tone="primary", consequence="Steps that waited go on."
    ),
)


class _Registered(DecisionAdmin):
    buttons = SWITCHES

    def _back(self, request: HttpRequest, subject: Any) -> HttpResponse:
        return redirect("admin:governance_agent_changelist")


def _known(request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
    asker_in_session(request)  # Who is in no workspace does not learn what there is.
    return rows


@admin.register(Agent)
class AgentAdmin(_Registered):
    """An agent; skills stand on the same page."""

    visible_to = staticmethod(lambda request: _known(request, queries.agents()))
    list_page = "worka/pages/agents.html"


@admin.register(Skill)
class SkillAdmin(_Registered):
    """A skill; it has no page of its own."""

    visible_to = staticmethod(lambda request: _known(request, queries.skills()))
