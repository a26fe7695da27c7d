"""MCP servers and their tools, for those who may run what exists once for all workspaces."""

from typing import Any

from django.db.models import Count, Q, QuerySet

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import subject_of
from audit.models import AuditEvent
from gateway.core.mcp import ToolState
from gateway.core.states import ConnectionState
from gateway.models import Connection, McpServer, McpTool
from governance.core.permissions import Verb
from governance.people import may_everywhere

ENTRIES = 20


def may_manage(user: Any) -> bool:
    """Say whether a person may add servers and accept their tools: a skill is there for every workspace."""
    return may_everywhere(user, Verb.MANAGE_CONNECTIONS)


def servers_visible_to(user: Any) -> QuerySet[McpServer]:
    """Return the servers with their counts of `accepted` and `open_tools` tools; refuses with forbidden."""
    _must_manage(user)
    states = (ToolState.DISCOVERED, ToolState.SUSPENDED)
    return McpServer.objects.annotate(
        accepted=Count("tools", filter=Q(tools__state=ToolState.ACCEPTED)),
        open_tools=Count("tools", filter=Q(tools__state__in=states)),
    ).order_by("name")


def tools_visible_to(user: Any) -> QuerySet[McpTool]:
    """Return the tools of all servers; refuses with forbidden."""
    _must_manage(user)
    return McpTool.objects.select_related("server").order_by("server__name", "name")


def tools_of(server: McpServer) -> QuerySet[McpTool]:
    """Return the tools of a server that the asker may see, without those that are gone for good."""
    return McpTool.objects.filter(server=server).exclude(state=ToolState.WITHDRAWN).select_related("server")


def ways_to(server: McpServer) -> QuerySet[Connection]:
    """Return the connections through which a server that wants credentials can be looked at."""
    rows = Connection.objects.filter(service=server.service_name, state=ConnectionState.CONNECTED)
    rows = rows if server.needs_connection else rows.none()
    return rows.select_related("workspace").order_by("workspace__name", "account")


def entries_of(server: McpServer) -> QuerySet[AuditEvent]:
    """Return the newest entries of the ledger about a server and its tools."""
    tools = McpTool.objects.filter(server=server)
    subjects = [subject_of(server), *(f"gateway.mcptool:{pk}" for pk in tools.values_list("pk", flat=True))]
    return AuditEvent.objects.filter(subject__in=subjects).newest_first()[:ENTRIES]


def _must_manage(user: Any) -> None:
    if not may_manage(user):
        raise Refused(
            "MCP servers work in every workspace, and you may not manage connections in each",
            code=Code.FORBIDDEN,
            recovery="Ask an admin or owner of all workspaces.",
        )
