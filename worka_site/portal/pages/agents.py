"""Agents and skills: what exists, who may use it by the policy in force, how it is used, and a switch for each."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.screens import Pressable
from governance import queries, rulebook
from governance.admin.registry import SWITCHES
from governance.core.evaluate import Permission
from governance.core.permissions import Verb
from governance.core.verdicts import Effect, Require
from governance.people import asker_in_session, may_everywhere
from runtime.queries import last_seen_of_agents
from worka_site.portal.links import to
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb

UNUSED = rulebook.Use(0, 0, None)


@page("governance.agent.list")
def agents_page(request: HttpRequest) -> dict[str, Any]:
    """Return agents and skills with what the policy in force makes of them."""
    asker = asker_in_session(request)
    permissions, use = rulebook.permissions(asker), rulebook.recent_use(asker)
    seen = last_seen_of_agents(queries.runs_visible_to(asker))
    may = may_everywhere(request.user, Verb.FREEZE)
    return {
        "title": "Agents and skills",
        "crumbs": [Crumb("Agents and skills")],
        "here": to("governance_agent_changelist"),
        "agents": [
            {
                "agent": agent,
                **_of_agent([each for each in permissions if each.agent == agent.name]),
                "last_at": seen.get(agent.name),
                "buttons": _switch("agent", agent, may=may),
            }
            for agent in queries.agents()
        ],
        "skills": [
            {
                "skill": skill,
                **_of_skill([each for each in permissions if each.skill == skill.name]),
                "calls": (used := use.get(skill.name, UNUSED)).calls,
                "failed": used.failed,
                "last_at": used.last_at,
                "buttons": _switch("skill", skill, may=may),
            }
            for skill in queries.skills()
        ],
        "counted": rulebook.COUNTED,
        "now": clock(),
    }


def _of_agent(found: Sequence[Permission]) -> dict[str, Any]:
    """Say what an agent may use freely, and what only when people agree, always or on a condition."""
    free = [each.skill for each in found if each.effect == Effect.ALLOW and not _holds(each)]
    asked = [
        each.skill for each in found if each.effect == Effect.HOLD or (each.effect == Effect.ALLOW and _holds(each))
    ]
    return {"skills": free, "asked": asked}


def _of_skill(found: Sequence[Permission]) -> dict[str, Any]:
    """Say who may use a skill, and every rule that may yet hold or deny a call of it."""
    usable = [each for each in found if each.effect != Effect.DENY]
    said = [spoken for each in usable for spoken in (*each.spoken, *each.conditions) if spoken.effect != Effect.ALLOW]
    notes: dict[str, None] = {}
    for spoken in said:
        verdict = spoken.verdict
        if isinstance(verdict, Require):
            asked = " and ".join(
                f"{each.approve} of {each.group}" if each.approve > 1 else each.group for each in verdict.thresholds
            )
            notes[f"Asks {asked} when {verdict.because}."] = None
        else:
            notes[f"Denied when a rule says: {verdict.because}."] = None
    return {"agents": [each.agent for each in usable], "notes": list(notes)}


def _holds(permission: Permission) -> bool:
    return any(spoken.effect == Effect.HOLD for spoken in permission.conditions)


def _switch(kind: str, thing: Any, *, may: bool) -> list[Pressable]:
    if not may:
        return []
    button = SWITCHES[0] if thing.enabled else SWITCHES[1]
    return [Pressable(button, to(f"governance_{kind}_press", thing.pk, button.event))]
