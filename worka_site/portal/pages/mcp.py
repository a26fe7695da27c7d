"""MCP servers: what they serve, what of it was accepted, how the two differ, and a form to add one."""

import json
import shlex
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import site
from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import Principal
from audit.screens import Pressable
from gateway.core.mcp import LABELS, Definition, ToolState, skill_name
from gateway.mcp import queries
from gateway.mcp.actions import add_server
from gateway.models import McpServer, McpTool
from governance.models import SideEffect
from worka_site.portal.difference import difference
from worka_site.portal.links import to
from worka_site.portal.looks import SIDE_EFFECT
from worka_site.portal.registry import page
from worka_site.portal.shapes import Choice, Crumb, Fact
from worka_site.portal.stories import entries_about

SERVERS = "gateway_mcpserver_changelist"


@page("gateway.mcpserver.list")
def servers_page(request: HttpRequest) -> dict[str, Any]:
    """Return the servers with how many of their tools are accepted, and how many wait for a decision."""
    return {
        "title": "MCP servers",
        "crumbs": [Crumb("MCP servers")],
        "servers": [
            {"server": server, "where": _where(server), "href": to("gateway_mcpserver_change", server.pk)}
            for server in queries.servers_visible_to(request.user)
        ],
        "now": clock(),
    }


@page("gateway.mcpserver.row")
def server_page(request: HttpRequest, server: McpServer) -> dict[str, Any]:
    """Return a server with its tools: what each was when it was accepted, against what is served now."""
    tools = list(queries.tools_of(server))
    return {
        "title": server.name,
        "crumbs": [Crumb("MCP servers", to(SERVERS)), Crumb(server.name)],
        "server": server,
        "through": [
            Choice(str(each.pk), f"{each.account} in {each.workspace.slug}") for each in queries.ways_to(server)
        ],
        "tools": [_tool(request, tool) for tool in tools],
        "facts": _facts(server),
        "unusable": sorted(server.unusable.items()),
        "effects": [(value, SIDE_EFFECT[value].word) for value in SideEffect.values],
        "labels": LABELS,
        "entries": entries_about(queries.entries_of(server)),
        "now": clock(),
    }


def _tool(request: HttpRequest, tool: McpTool) -> dict[str, Any]:
    """Return a tool as it is drawn; what would be accepted is what is offered, and never what was."""
    offered, is_served = tool.offered, bool(tool.served_digest)
    changed = difference(_text(tool.definition), _text(offered)) if tool.served else None
    buttons: list[Pressable] = site._registry[McpTool].buttons_for(request.user, tool)  # type: ignore[attr-defined]
    accept = next((each for each in buttons if each.button.event == "accept"), None)
    return {
        "tool": tool,
        "skill": skill_name(tool.server.name, tool.name),
        "is_served": is_served,
        "changed": changed,
        "definition": offered.as_json(),
        "digest": offered.digest,
        "description": offered.description,
        "hints": [f"{name}: {json.dumps(value)}" for name, value in sorted(offered.annotations.items())],
        "accept": accept if is_served and tool.server.enabled else None,
        "buttons": [each for each in buttons if each is not accept],
        "is_accepted": tool.state == ToolState.ACCEPTED,
    }


def _text(tool: Definition) -> str:
    """Write a definition so that lines can be compared: its description as lines, the rest as JSON."""
    rest = {name: value for name, value in tool.as_json().items() if name != "description"}
    return f"{tool.description}\n\n{json.dumps(rest, indent=2, ensure_ascii=False, sort_keys=True)}"


def _where(server: McpServer) -> str:
    return server.url or shlex.join(server.command)


def _facts(server: McpServer) -> list[Fact]:
    shown = [outside if outside == inside else f"{outside} as {inside}" for outside, inside in server.files.items()]
    facts = [Fact("Speaks", "stdio, in a cage without network" if server.transport == "stdio" else "streamable HTTP")]
    facts.append(Fact("Command" if server.command else "Address", _where(server), "code"))
    if server.transport == "stdio":
        facts.append(Fact("Sees", "\n".join(shown) or "the system, read-only", "lines"))
    if server.needs_connection:
        facts.append(Fact("Credentials", f"those of each workspace's connection to {server.service_name}"))
    if server.protocol:
        facts.append(Fact("Protocol", server.protocol))
    facts.append(Fact("Added by", server.added_by.partition(":")[2]))
    facts.append(Fact("Because", server.added_because))
    if server.seen_at:
        facts.append(Fact("Last seen", server.seen_at, "time"))
    return facts


@page("mcp_add")
def add_page(request: HttpRequest) -> dict[str, Any]:
    """Return the form that adds a server, with what was sent and what this installation allows."""
    queries.servers_visible_to(request.user)
    names = ("name", "transport", "command", "files", "url", "needs_connection", "because")
    return {
        "title": "Add an MCP server",
        "crumbs": [Crumb("MCP servers", to(SERVERS)), Crumb("Add")],
        "sent": {name: request.POST.get(name, "") for name in names},
        "roots": [str(root) for root in settings.WORKA_MCP_ROOTS],
        "hosts": list(settings.WORKA_MCP_HOSTS),
        "now": clock(),
    }


@page("mcp_add.do")
def add_now(request: HttpRequest, by: Principal) -> dict[str, Any]:
    """Add the server that the form describes; nothing of it is started yet."""
    queries.servers_visible_to(request.user)
    sent = {name: str(value).strip() for name, value in request.POST.items()}
    try:
        command = shlex.split(sent.get("command", ""))
    except ValueError as error:
        raise Refused(f"the command cannot be read: {error}", code=Code.INVALID) from None
    server = add_server(
        sent.get("name", ""),
        sent.get("transport", ""),
        by=by,
        because=sent.get("because", ""),
        command=command,
        files=files_in(sent.get("files", "").splitlines()),
        url=sent.get("url", ""),
        needs_connection=bool(sent.get("needs_connection")),
    )
    first = f"connect {server.service_name}, then " if server.needs_connection else ""
    messages.success(
        request, f"The server {server.name} is added. Nothing of it has been started; {first}discover its tools next."
    )
    return {"redirect": to("gateway_mcpserver_change", server.pk)}


def files_in(lines: list[str]) -> dict[str, str]:
    """Return the places that lines name: `/outside`, or `/outside = /inside`."""
    pairs = [[part.strip() for part in line.split("=", 1)] for line in lines if line.strip()]
    return {pair[0]: pair[-1] for pair in pairs}
