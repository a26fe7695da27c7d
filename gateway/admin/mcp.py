"""MCP servers in the console: the buttons of a server and of each of its tools, for those who run every workspace."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from audit.core.ids import parse_id
from audit.principals import Principal
from audit.screens import Button, DecisionAdmin
from gateway.core.mcp import LABELS
from gateway.mcp.actions import accept_tool, disable_server, discover, enable_server, refuse_tool, suspend_tool
from gateway.mcp.queries import may_manage, servers_visible_to, tools_visible_to
from gateway.models import McpServer, McpTool
from governance.core.wording import count


def look_at(server: McpServer, *, by: Principal, because: str, connection: str) -> str:
    """Ask a server what it serves."""
    found = discover(server.pk, by=by, because=because, connection_id=parse_id(connection) if connection else None)
    if not found:
        return f"The server {server.name} serves what it served before."
    return f"{count(len(found), 'difference')} found and written down. Nothing was accepted."


def stop(server: McpServer, *, by: Principal, because: str) -> str:
    """Take a server out of use."""
    disable_server(server.pk, by=by, because=because)
    return f"The server {server.name} is disabled, from the next decision on, and its tools are suspended."


def let_go(server: McpServer, *, by: Principal, because: str) -> str:
    """Let a server be spoken to again."""
    enable_server(server.pk, by=by, because=because)
    return f"The server {server.name} may be used again. Its tools stay suspended until they are accepted."


def accept(
    tool: McpTool, *, by: Principal, because: str, digest: str, side_effect: str, idempotent: str, **labels: str
) -> str:
    """Make a skill of a tool, as the page showed it."""
    skill = accept_tool(
        tool.pk,
        by=by,
        because=because,
        digest=digest,
        side_effect=side_effect,
        labels=[label for label in LABELS if labels[label]],
        idempotent=bool(idempotent),
    )
    return f"The tool is the skill {skill.name} now. Who may call it is said by the policy."


def refuse(tool: McpTool, *, by: Principal, because: str) -> str:
    """Decide that a tool shall be no skill."""
    refuse_tool(tool.pk, by=by, because=because)
    return f"The tool {tool} is refused."


def suspend(tool: McpTool, *, by: Principal, because: str) -> str:
    """Take a tool out of use."""
    suspend_tool(tool.pk, by=by, because=because)
    return f"The tool {tool} is suspended, from the next decision on."


def _may(user: Any, subject: Any) -> bool:
    return may_manage(user)


def _may_use(user: Any, server: McpServer) -> bool:
    return server.enabled and may_manage(user)


def _may_enable(user: Any, server: McpServer) -> bool:
    return not server.enabled and may_manage(user)


@admin.register(McpServer)
class McpServerAdmin(DecisionAdmin):
    """A server, with its tools on its page."""

    visible_to = staticmethod(lambda request: servers_visible_to(request.user))
    list_page = "worka/pages/mcp_servers.html"
    row_page = "worka/pages/mcp_server.html"
    buttons = (
        Button(
            "discover", "Discover", look_at, _may_use, icon="search", tone="primary",
            consequence="The server is started or spoken to, and asked what it serves. Nothing is accepted.",
            fields=("connection",),
        ),
        Button(
            "disable", "Disable", stop, _may_use, icon="paused", tone="danger",
            consequence="Its tools are suspended from the next decision on. Each must be accepted again afterwards.",
        ),
        Button(
            "enable", "Enable", let_go, _may_enable, icon="check", tone="primary",
            consequence="It may be spoken to again. Its tools stay suspended.",
        ),
    )  # fmt: skip


@admin.register(McpTool)
class McpToolAdmin(DecisionAdmin):
    """A tool; it has no page of its own."""

    visible_to = staticmethod(lambda request: tools_visible_to(request.user))
    buttons = (
        Button(
            "accept", "Accept", accept, _may, icon="check", tone="primary",
            consequence="It becomes a skill, exactly as it is shown here. If the server changes it, it is suspended.",
            fields=("digest", "side_effect", "idempotent", *LABELS),
        ),
        Button("refuse", "Refuse", refuse, _may, icon="refused", consequence="It is no skill. It can be accepted later."),
        Button(
            "suspend", "Suspend", suspend, _may, icon="paused", tone="danger",
            consequence="From the next decision on. It must be accepted again.",
        ),
    )  # fmt: skip

    def _back(self, request: HttpRequest, subject: Any) -> HttpResponse:
        return redirect("admin:gateway_mcpserver_change", subject.server_id)
