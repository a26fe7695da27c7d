"""Freeze: one red button for each workspace, agent and skill, with a reason."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import Principal
from governance import queries
from governance.actions.freezing import disable, enable, freeze_workspace, thaw_workspace
from governance.core.permissions import Verb
from governance.models import Agent, Skill
from governance.people import asker_in_session, asker_of, may_everywhere
from worka_site.portal.links import to
from worka_site.portal.looks import SIDE_EFFECT
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb


@page("freeze")
def freeze_page(request: HttpRequest) -> dict[str, Any]:
    """Return what can be frozen, what is, by whom and why."""
    asker = asker_in_session(request)
    workspace, may_all = asker.workspace, may_everywhere(request.user, Verb.FREEZE)
    agents, skills = list(queries.agents()), list(queries.skills())
    frozen = [f"the workspace {workspace.name}"] if workspace.frozen_at else []
    frozen += [f"the agent {each.name}" for each in agents if not each.enabled]
    frozen += [f"the skill {each.name}" for each in skills if not each.enabled]
    own = {
        "id": workspace.slug, "name": workspace.name, "icon": "runs", "says": "Open: its runs go on.",
        "may": asker.may(Verb.FREEZE), "frozen_at": workspace.frozen_at, "frozen_by": workspace.frozen_by,
        "frozen_because": workspace.frozen_because,
    }  # fmt: skip
    return {
        "title": "Freeze",
        "crumbs": [Crumb("Freeze")],
        "frozen": frozen,
        "groups": [
            {"key": "workspace", "heading": "This workspace", "says": "all its runs wait", "lines": [own]},
            {"key": "agent", "heading": "Agents", "says": "in every workspace; it gets no new job",
             "lines": [_line(each, "agents", may=may_all) for each in agents]},
            {"key": "skill", "heading": "Skills", "says": "in every workspace; nobody may call it",
             "lines": [_line(each, SIDE_EFFECT[each.side_effect].icon, may=may_all) for each in skills]},
        ],
        "may_any": may_all or own["may"],
        "now": clock(),
    }  # fmt: skip


def _line(thing: Agent | Skill, icon: str, *, may: bool) -> dict[str, Any]:
    return {
        "id": thing.name, "name": thing.name, "icon": icon, "says": thing.description, "may": may, "frozen_at": thing.disabled_at,
        "frozen_by": thing.disabled_by, "frozen_because": thing.disabled_because,
    }  # fmt: skip


@page("freeze.do")
def freeze_now(request: HttpRequest, by: Principal) -> dict[str, Any]:
    """Freeze or lift what the form names, for whoever may."""
    kind, named, because = (request.POST.get(name, "").strip() for name in ("kind", "id", "because"))
    is_lift = request.POST.get("deed") == "lift"
    if kind == "workspace":
        name = _workspace(request, named, by, because, is_lift=is_lift)
    else:
        name = _everywhere(request, kind, named, by, because, is_lift=is_lift)
    done = "works again; what waited goes on by itself" if is_lift else "is frozen, from the next decision on"
    messages.success(request, f"{name} {done}. It is written to the ledger.")
    return {"redirect": to("freeze")}


def _workspace(request: HttpRequest, slug: str, by: Principal, because: str, *, is_lift: bool) -> str:
    workspace = asker_in_session(request).workspace
    asker = asker_of(request.user, workspace) if workspace.slug == slug else None
    if asker is None:
        raise Refused(
            "there is no such workspace for you",
            code=Code.NOT_FOUND,
            recovery="Open this page again: you have changed the workspace.",
        )
    asker.must(Verb.FREEZE)
    (thaw_workspace if is_lift else freeze_workspace)(workspace.pk, by=by, because=because)
    return f"The workspace {workspace.name}"


def _everywhere(request: HttpRequest, kind: str, name: str, by: Principal, because: str, *, is_lift: bool) -> str:
    rows: Any = {"agent": queries.agents(), "skill": queries.skills()}.get(kind)
    thing = rows.filter(name=name).first() if rows is not None else None
    if not isinstance(thing, Agent | Skill):
        raise Refused("there is nothing of that name", code=Code.NOT_FOUND)
    if not may_everywhere(request.user, Verb.FREEZE):
        raise Refused(
            f"the {kind} {name} works in every workspace, and you may not freeze in each",
            code=Code.FORBIDDEN,
            recovery="Freeze the workspace, or ask somebody who runs all of them.",
        )
    (enable if is_lift else disable)(thing, by=by, because=because)
    return f"The {kind} {name}"
