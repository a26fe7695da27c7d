"""Connections: to which accounts of which services calls go out, and connecting another one."""

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import Principal
from audit.screens import Pressable
from gateway.admin.treasury import ConnectionAdmin, may_manage
from gateway.connector import all_services
from gateway.core.placeholders import names_in
from gateway.models import Connection
from gateway.treasury.connections import connect
from gateway.treasury.queries import connections_visible_to
from governance.core.permissions import Verb
from governance.people import asker_in_session
from worka_site.portal.links import to
from worka_site.portal.paging import page_of
from worka_site.portal.registry import page
from worka_site.portal.shapes import Choice, Crumb


@page("gateway.connection.list")
def connections_page(request: HttpRequest) -> dict[str, Any]:
    """Return the workspace's connections; the names of their secrets are for who manages them."""
    asker = asker_in_session(request)
    may = asker.may(Verb.MANAGE_CONNECTIONS)
    rows, pages = page_of(request, connections_visible_to(asker))
    return {
        "title": "Connections",
        "crumbs": [Crumb("Connections")],
        "here": to("gateway_connection_changelist"),
        "connections": [
            {
                "connection": each,
                "secrets": names_in(each.settings) if may else [],
                "buttons": _buttons(request.user, each) if may else [],
            }
            for each in rows
        ],
        "pages": pages,
        "may": may,
        "now": clock(),
    }


def _buttons(user: Any, connection: Connection) -> list[Pressable]:
    return [
        Pressable(button, to("gateway_connection_press", connection.pk, button.event))
        for button in ConnectionAdmin.buttons
        if button.is_possible(connection) and may_manage(user, connection)
    ]


@page("connection_new")
def new_connection(request: HttpRequest) -> dict[str, Any]:
    """Return the form with what was typed so far."""
    asker_in_session(request).must(Verb.MANAGE_CONNECTIONS)
    typed = request.POST
    chosen = typed.get("service", "")
    return {
        "title": "Connect a service",
        "crumbs": [Crumb("Connections", to("gateway_connection_changelist")), Crumb("Connect a service")],
        "services": [Choice(name, name, name == chosen) for name in sorted(all_services())],
        "hints": [(each.name, each.base_url, json.dumps(each.example)) for each in all_services().values()],
        "account": typed.get("account", ""),
        "base_url": typed.get("base_url", ""),
        "access": typed.get("access", "read"),
        # What was typed as settings does not come back: somebody may have typed a secret in clear.
        "faults": [],
    }


@page("connection_new.do")
def connect_now(request: HttpRequest, by: Principal) -> dict[str, Any]:
    """Connect what the form names; refuses as `connect` does."""
    asker, typed = asker_in_session(request), request.POST
    try:
        settings = json.loads(typed.get("settings", ""))
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise Refused("the settings are not a JSON object", code=Code.INVALID)
    made = connect(
        asker.workspace,
        typed.get("service", ""),
        typed.get("account", "").strip(),
        by=by,
        because=typed.get("because", ""),
        settings=settings,
        access=typed.get("access", ""),
        base_url=typed.get("base_url", ""),
    )
    messages.success(request, f"{made} is connected. Grant it the secrets that it names; until then no call goes out.")
    return {"redirect": to("gateway_connection_changelist")}
