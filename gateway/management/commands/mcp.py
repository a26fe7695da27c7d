"""MCP servers from the server's own shell: what the console's page does, with the same actions."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from audit.core.refusals import Refused
from audit.management.people import add_person_arguments, person_named
from audit.principals import Principal
from audit.screens import refusal_sentence
from gateway.core.mcp import LABELS
from gateway.mcp.actions import (
    accept_tool,
    add_server,
    disable_server,
    discover,
    enable_server,
    refuse_tool,
    suspend_tool,
)
from gateway.mcp.queries import tools_of, ways_to
from gateway.models import McpServer, McpTool
from governance.core.wording import excerpt
from governance.models import SideEffect

OF_TOOLS = {"refuse": refuse_tool, "suspend": suspend_tool}
OF_SERVERS = {"disable": disable_server, "enable": enable_server}


class Command(BaseCommand):
    """Add servers, discover their tools, and decide which of them are skills."""

    help = "Add MCP servers, discover what they serve, list it, and accept, refuse or suspend tools."

    def add_arguments(self, parser: ArgumentParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True)
        deeds.add_parser("list", help="show servers and tools, with digests")
        add = deeds.add_parser("add", help="store a server; nothing of it is started")
        add.add_argument("server")
        where = add.add_mutually_exclusive_group(required=True)
        where.add_argument("--url", help="where it is spoken to by streamable HTTP")
        where.add_argument("--command", nargs="+", metavar="WORD", help="the program and its arguments, for stdio")
        add.add_argument(
            "--show", action="append", default=[], metavar="OUTSIDE[=INSIDE]", help="a place it may read, for stdio"
        )
        add.add_argument(
            "--needs-connection",
            action="store_true",
            help="it wants credentials; each workspace connects it with its own",
        )
        add_person_arguments(add)
        for deed, says in (("discover", "ask a server what it serves"), ("disable", "stop"), ("enable", "let go on")):
            asked = self._add(deeds, deed, says, "server")
            if deed == "discover":
                asked.add_argument(
                    "--connection", metavar="WORKSPACE/ACCOUNT", help="through which, where several have connected it"
                )
        for deed in ("accept", "refuse", "suspend"):
            found = self._add(deeds, deed, f"{deed} a tool", "server", "tool")
            if deed == "accept":
                found.add_argument("--digest", required=True, help="what `list` shows: you accept what you have read")
                found.add_argument("--side-effect", choices=SideEffect.values, default=str(SideEffect.EXTERNAL))
                found.add_argument("--label", action="append", choices=LABELS, help="default: all of them")
                found.add_argument("--no-label", action="store_true", help="none of them")
                found.add_argument("--idempotent", action="store_true")

    def _add(self, deeds: Any, name: str, says: str, *arguments: str) -> ArgumentParser:
        parser: ArgumentParser = deeds.add_parser(name, help=says)
        for argument in arguments:
            parser.add_argument(argument)
        add_person_arguments(parser)
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one deed; a refusal is said as a sentence, with exit code 1."""
        try:
            if options["deed"] == "list":
                self._list()
            else:
                self._do(options, person_named(options), options["because"])
        except Refused as refusal:
            raise CommandError(refusal_sentence(refusal)) from None

    def _do(self, options: dict[str, Any], by: Principal, because: str) -> None:
        deed, name = options["deed"], options["server"]
        if deed == "add":
            pairs = [shown.partition("=") for shown in options["show"]]
            transport = "http" if options["url"] else "stdio"
            add_server(
                name,
                transport,
                by=by,
                because=because,
                command=options["command"] or (),
                files={outside: inside or outside for outside, _, inside in pairs},
                url=options["url"] or "",
                needs_connection=options["needs_connection"],
            )
            self.stdout.write(f"{name} is added; discover its tools next")
            return
        server = McpServer.objects.filter(name=name).first()
        if server is None:
            raise CommandError(f"there is no server called {name!r}")
        if deed == "discover":
            through = self._through(server, options["connection"])
            for finding in discover(server.pk, by=by, because=because, connection_id=through):
                self.stdout.write(f"{finding.kind:<9} {excerpt(finding.name)}: {finding.because}")
        elif deed in OF_SERVERS:
            OF_SERVERS[deed](server.pk, by=by, because=because)
            self.stdout.write(f"{name}: {deed}d")
        else:
            self._decide(options, server, by, because)

    def _through(self, server: McpServer, named: str | None) -> UUID | None:
        if not named:
            return None
        workspace, _, account = named.partition("/")
        found = ways_to(server).filter(workspace__slug=workspace, account=account).first()
        if found is None:
            raise CommandError(f"{server.service_name} is not connected as {account!r} in {workspace!r}")
        return found.pk

    def _decide(self, options: dict[str, Any], server: McpServer, by: Principal, because: str) -> None:
        tool: McpTool | None = tools_of(server).filter(name=options["tool"]).first()
        if tool is None:
            raise CommandError(f"{server.name} has no tool called {options['tool']!r}")
        if options["deed"] == "accept":
            skill = accept_tool(
                tool.pk,
                by=by,
                because=because,
                digest=options["digest"],
                side_effect=options["side_effect"],
                labels=[] if options["no_label"] else options["label"] or LABELS,
                idempotent=options["idempotent"],
            )
            self.stdout.write(f"{skill.name} is a skill now")
        else:
            decided = OF_TOOLS[options["deed"]](tool.pk, by=by, because=because)
            self.stdout.write(f"{decided} is {decided.state}")

    def _list(self) -> None:
        for server in McpServer.objects.order_by("name"):
            state = "enabled" if server.enabled else "disabled"
            self.stdout.write(f"{server.name}  {server.transport}  {state}  {server.protocol or 'never seen'}")
            if server.error:
                self.stdout.write(f"  failed: {server.error}")
            for tool in tools_of(server):
                gone = "" if tool.served_digest else "  not served"
                self.stdout.write(f"  {tool.state:<10} {excerpt(tool.name)}  {tool.offered.digest}{gone}")
                self.stdout.write(f"  {'':<10} {excerpt(tool.offered.description, 100)}")
