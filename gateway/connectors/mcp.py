"""Call tools of MCP servers that an operator has accepted, as long as they are served exactly as they were accepted."""

from collections.abc import Mapping
from typing import Any

from django.db import close_old_connections, connection

from audit.core.canonical import check
from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import SYSTEM
from gateway.connector import CallContext, Connector, Json, Outcome, Service, SkillFailed
from gateway.core.mcp import Definition, ToolState, changes, text_of
from gateway.mcp.actions import endpoint_of, suspend_moved
from gateway.mcp.credentials import service_of_server, with_headers
from gateway.models import McpServer, McpTool
from governance.core.schemas import compiled
from governance.core.wording import excerpt
from governance.models import SideEffect


class Mcp(Connector):
    """Perform `mcp.<server>.<tool>`. Its skills are rows: people make them by accepting what a server serves."""

    skills = ()
    has_accepted_skills = True

    @classmethod
    def services(cls) -> tuple[Service, ...]:
        """Return the servers that each workspace connects with credentials of its own."""
        rows = McpServer.objects.filter(needs_connection=True, enabled=True)
        return tuple(map(service_of_server, rows))

    @classmethod
    def service_for(cls, verb: str) -> Service | None:
        """Return the server of a tool where it needs credentials."""
        name = verb.partition(".")[0]
        server = None if "\x00" in name else McpServer.objects.filter(name=name, needs_connection=True).first()
        return service_of_server(server) if server else None

    def call(self, verb: str, arguments: Json, context: CallContext) -> Outcome:
        """Call the tool in a conversation of its own that first shows that it is still the accepted one."""
        from gateway.mcp.session import Moved, ServerFailed, call

        tool = _accepted(verb)
        try:
            endpoint = endpoint_of(tool.server)
            if tool.server.needs_connection:
                endpoint = with_headers(endpoint, _settings_for(tool.server, context))
        except Refused as refusal:
            raise SkillFailed(str(refusal), code=Code.UNAVAILABLE, recovery=refusal.recovery) from None
        # Reading is all that it does: when it fails, nothing has happened outside.
        effect: Any = "none" if tool.side_effect == SideEffect.READ_ONLY else "maybe"
        if not connection.in_atomic_block:
            close_old_connections()  # a server's slowness holds no connection
        try:
            answer = call(endpoint, tool.name, tool.digest, arguments, deadline=context.deadline)
        except ServerFailed as failure:
            said = f"the MCP server {tool.server.name} failed: {failure}"
            if failure.is_unauthorized and not failure.sent:
                raise SkillFailed(said, code=Code.UNAUTHORIZED) from None
            raise SkillFailed(said, effect=effect if failure.sent else "none") from None
        if isinstance(answer, Moved):
            raise _moved(tool, answer.tool, answer.tools)
        if answer.is_error:
            raise SkillFailed(f"the tool says that it failed: {excerpt(text_of(answer.output), 300)}", effect=effect)
        _must_fit(tool, answer.output, effect)
        return Outcome(dict(answer.output))


def _settings_for(server: McpServer, context: CallContext) -> Mapping[str, Any]:
    """Return the settings to speak to a server with: those of the call's connection, if it is one to this very server."""
    found = context.connection
    if found is None or (found.service, found.base_url) != (server.service_name, server.url):
        raise Refused(f"{server.service_name} is not connected in this workspace", code=Code.NO_CONNECTION)
    return found.settings


def _accepted(verb: str) -> McpTool:
    server, _, name = verb.partition(".")
    found = McpTool.objects.select_related("server").filter(server__name=server, name=name)
    tool = found.filter(state=ToolState.ACCEPTED, server__enabled=True).first() if name and "\x00" not in verb else None
    if tool is None:
        raise SkillFailed(
            "that is no accepted tool of an MCP server in use",
            code=Code.NOT_FOUND,
            recovery="An admin can accept it on the page of MCP servers.",
        )
    return tool


def _moved(tool: McpTool, now: Definition | None, tools: tuple[Definition, ...]) -> SkillFailed:
    """Suspend a tool that is not what was accepted, and return the failure that says so."""
    if now is not None:
        because = f"the server changed its {', '.join(changes(tool.definition, now))}"
    else:
        likeness = tool.definition.likeness
        new_name = next((each.name for each in tools if each.likeness == likeness), "")
        because = f"the server serves it as {new_name} now" if new_name else "the server serves it no more"
    suspend_moved(tool.pk, tool.digest, now, by=SYSTEM, because=because)
    return SkillFailed(
        f"{tool} is suspended, and was not called: {because}",
        code=Code.NOT_FOUND,
        recovery="An admin has to look at it and accept it again.",
    )


def _must_fit(tool: McpTool, output: Any, effect: Any) -> None:
    try:
        check(output)
    except Refused as refusal:
        raise SkillFailed(f"the tool's answer has no canonical form: {refusal}", effect=effect) from None
    if tool.output_schema is not None and not compiled(tool.output_schema).accepts(output.get("structured")):
        raise SkillFailed("the tool's answer does not fit the schema that was accepted", effect=effect)
