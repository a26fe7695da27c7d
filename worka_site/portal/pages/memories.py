"""Memories: what agents remember of earlier runs, where it comes from, and erasing it."""

from typing import Any

from django.contrib.admin import site
from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.screens import Pressable
from gateway.models import MemoryEntry
from gateway.remembering.queries import memories_about, namespaces_of
from governance.models import Membership
from governance.people import asker_in_session
from worka_site.portal.links import to, to_run
from worka_site.portal.paging import page_of
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb, Filter


@page("gateway.memoryentry.list")
def memories_page(request: HttpRequest) -> dict[str, Any]:
    """Return a page of memories, of one agent, one person or with some words in them (`?agent=`, `?person=`, `?q=`)."""
    asker = asker_in_session(request)
    agent, person, words = (request.GET.get(name, "") for name in ("agent", "person", "q"))
    rows, pages = page_of(request, memories_about(asker, namespace=agent, person=person, words=words))
    members = Membership.objects.filter(workspace=asker.workspace_id).order_by("user__username")
    people = [(str(pk), name) for pk, name in members.values_list("user", "user__username")]
    agents = [(each, each.partition(":")[2]) for each in namespaces_of(asker)]
    # All of them are of this workspace, so that one answer about what this person may do is enough.
    buttons = site._registry[MemoryEntry].buttons_for  # type: ignore[attr-defined]
    may = bool(rows) and buttons(request.user, rows[0])
    return {
        "title": "Memories",
        "crumbs": [Crumb("Memories")],
        "memories": [
            {"memory": each, "href": to_run(each.run_id), "asker": each.run.requester_name.partition(":")[2],
             "buttons": _pressable(may, each)}
            for each in rows
        ],
        "q": words,
        "filters": [Filter.of("agent", "Agent", agents, agent), Filter.of("person", "Asked for by", people, person)],
        "pages": pages,
        "now": clock(),
    }  # fmt: skip


def _pressable(offered: Any, memory: MemoryEntry) -> list[Pressable]:
    return [
        Pressable(each.button, to("gateway_memoryentry_press", memory.pk, each.button.event)) for each in offered or ()
    ]
