"""Add MCP servers, look at what they serve, and let people decide which of their tools are skills."""

import time
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.timezone import now as clock

from audit.core.canonical import digest as digest_of_value
from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import record
from audit.principals import Principal
from audit.transition import ReasonMissing, born, transition
from gateway.connector import SkillSpec, digest_of
from gateway.core.mcp import (
    LABELS,
    SERVER_NAME,
    Definition,
    Finding,
    Known,
    ToolState,
    compare,
    output_schema,
    skill_name,
)
from gateway.mcp.credentials import for_looking
from gateway.mcp.endpoint import Endpoint, checked
from gateway.models import McpServer, McpTool
from gateway.treasury.connections import why_not_base
from governance.actions.freezing import disable
from governance.actions.registry import install_skill
from governance.actions.wording import told
from governance.core.masking import redact_text
from governance.core.schemas import Schema
from governance.models import SideEffect, Skill

DISCOVERY_S = 30.0
MASKERS = ("email", "token")


def endpoint_of(server: McpServer) -> Endpoint:
    """Return where a server is and what it may see, by what this installation allows now; refuses as `checked` does."""
    return checked(
        server.transport,
        command=server.command,
        files=server.files,
        url=server.url,
        roots=settings.WORKA_MCP_ROOTS,
        hosts=settings.WORKA_MCP_HOSTS,
        home=settings.WORKA_HOME,
    )


@transaction.atomic
def add_server(
    name: str,
    transport: str,
    *,
    by: Principal,
    because: str,
    command: Iterable[str] = (),
    files: Mapping[str, str] | None = None,
    url: str = "",
    needs_connection: bool = False,
) -> McpServer:
    """Store a server; nothing of it is started or used. Refuses with `invalid`, `forbidden` or `https_required`.

    One that `needs_connection` is spoken to with the credentials that a workspace has connected it with.
    """
    _demand_reason(because)
    if not SERVER_NAME.fullmatch(name):
        raise Refused(
            "a server's name is lower-case letters, digits and hyphens, at most 32, and begins with a letter",
            code=Code.INVALID,
        )
    server = McpServer(
        name=name,
        transport=transport,
        command=list(command) if transport == "stdio" else [],
        files=dict(files or {}) if transport == "stdio" else {},
        url=url if transport == "http" else "",
        needs_connection=needs_connection,
        added_by=str(by),
        added_because=because,
    )
    endpoint_of(server)
    if needs_connection and (why := why_not_base(server.url) if transport == "http" else "a program has no network"):
        raise Refused(f"credentials cannot be sent to it: {why}", code=Code.INVALID)
    try:
        with transaction.atomic():
            server.save(force_insert=True)
    except IntegrityError:
        raise Refused(f"there is a server called {name} already", code=Code.INVALID) from None
    told_of = {
        "transport": transport,
        "command": server.command,
        "files": server.files,
        "url": server.url,
        "needs_connection": needs_connection,
    }
    record("mcp_server.add", server, by=by, because=because, **told_of)
    return server


def discover(
    server_id: UUID, *, by: Principal, because: str, connection_id: UUID | None = None, seconds: float = DISCOVERY_S
) -> list[Finding]:
    """Ask a server what it serves, outside any transaction, and store what differs; return what did.

    Refuses with `unavailable` when it does not answer properly, `frozen` when it is disabled, `no_connection` when it
    needs one and it is not clear which, and as `checked` and `expand` do.
    """
    from gateway.mcp.session import ServerFailed, look

    _demand_reason(because)
    server = McpServer.objects.get(pk=server_id)
    _must_be_enabled(server)
    endpoint, secrets = for_looking(server, endpoint_of(server), connection_id)
    try:
        seen = look(endpoint, deadline=time.monotonic() + seconds)
    except ServerFailed as failure:
        error = told(redact_text(str(failure), (), secrets), MASKERS)
        _note_failure(server_id, error, by=by, because=because)
        raise Refused(
            f"the server {server.name} could not be used: {error}",
            code=Code.UNAVAILABLE,
            recovery="Mend the server, then discover again.",
        ) from None
    return store_discovery(server_id, seen.protocol, seen.tools, seen.unusable, by=by, because=because)


@transaction.atomic
def store_discovery(
    server_id: UUID,
    protocol: str,
    tools: Iterable[Definition],
    unusable: Mapping[str, str],
    *,
    by: Principal,
    because: str,
) -> list[Finding]:
    """Compare what a server serves with what is stored and write down each difference; nothing is accepted by it."""
    server = McpServer.objects.select_for_update().get(pk=server_id)
    stored = McpTool.objects.select_for_update().filter(server=server).exclude(state=ToolState.WITHDRAWN)
    rows = {row.name: row for row in stored}
    served = list(tools)
    known = [Known(row.state, row.definition, row.served_digest) for row in rows.values()]
    findings = compare(known, served)
    for finding in findings:
        _apply(server, rows.get(finding.name), finding, by=by)
    server.protocol, server.unusable = protocol, dict(unusable)
    server.seen_at, server.error, server.failed_at = clock(), "", None
    server.save(update_fields=["protocol", "unusable", "seen_at", "error", "failed_at"])
    counts = {"served": len(served), "unusable": len(unusable), "differences": len(findings)}
    record("mcp_server.discover", server, by=by, because=because, protocol=protocol, **counts)
    return findings


def _apply(server: McpServer, row: McpTool | None, finding: Finding, *, by: Principal) -> None:
    because = told(finding.because, MASKERS)
    if row is None:
        assert finding.served is not None
        tool = McpTool(server=server, state=ToolState.DISCOVERED, reason=because, **_columns(finding.served))
        tool.save(force_insert=True)
        born(tool, by=by, because=because, digest=tool.digest)
        return
    match finding.kind:
        case "suspend":
            _suspend(row, finding.served, by=by, because=because)
        case "withdraw":
            transition(row, "withdraw", by=by, because=because, reason=because, served=None, served_digest="")
        case "changed":
            assert finding.served is not None
            _write(row, {**_columns(finding.served), "reason": because})
            record("mcp_tool.change", row, by=by, because=because, digest=row.digest)
        case _:
            _write(row, {**_served(row, finding.served), "reason": because})
            record("mcp_tool.change", row, by=by, because=because, served_digest=row.served_digest)


@transaction.atomic
def accept_tool(
    tool_id: UUID,
    *,
    by: Principal,
    because: str,
    digest: str,
    side_effect: str = SideEffect.EXTERNAL,
    labels: Iterable[str] = LABELS,
    idempotent: bool = False,
) -> Skill:
    """Make a skill of a tool exactly as somebody saw it, with what they say of its effect; return the skill.

    Refuses with `skill_changed` when the digest is not that of what is served, `not_found` when it is served no more,
    `frozen` when its server is disabled, `transition_refused`, and `invalid` what cannot be a skill.
    """
    tool = _locked(tool_id)
    _must_be_enabled(tool.server)
    if not tool.served_digest:
        raise Refused("the server serves this tool no more", code=Code.NOT_FOUND, recovery="Discover again.")
    offered = tool.offered
    if digest != offered.digest:
        raise Refused(
            "the tool is not what you have seen", code=Code.SKILL_CHANGED, recovery="Look at it again, then decide."
        )
    spec = _spec(tool, offered, side_effect, frozenset(labels), idempotent=idempotent)
    transition(
        tool,
        "accept",
        by=by,
        because=because,
        details={"digest": offered.digest, "side_effect": spec.side_effect, "labels": spec.labels},
        reason=because,
        side_effect=spec.side_effect,
        labels=sorted(spec.labels),
        idempotent=spec.idempotent,
        **_columns(offered),
    )
    # People consent to the tool as its server describes it, so its hints are in the skill's digest, too.
    bound = digest_of_value({"skill": digest_of(spec), "tool": offered.digest})
    return install_skill(
        {
            "name": spec.name,
            "description": spec.description,
            "input_schema": dict(spec.input_schema),
            "output_schema": dict(spec.output_schema),
            "digest": bound,
            "side_effect": spec.side_effect,
            "labels": sorted(spec.labels),
            "lock_key": spec.lock_key,
            "idempotent": spec.idempotent,
            "timeout_s": spec.timeout_s,
        },
        by=by,
        because=because,
    )


@transaction.atomic
def refuse_tool(tool_id: UUID, *, by: Principal, because: str) -> McpTool:
    """Decide that a tool shall not be a skill; refuses with `transition_refused`."""
    tool = _locked(tool_id)
    transition(tool, "refuse", by=by, because=because, reason=because)
    return tool


@transaction.atomic
def suspend_tool(tool_id: UUID, *, by: Principal, because: str) -> McpTool:
    """Take an accepted tool out of use from the next decision on; refuses with `transition_refused`."""
    tool = _locked(tool_id)
    _suspend(tool, tool.offered if tool.served_digest else None, by=by, because=because)
    return tool


@transaction.atomic
def suspend_moved(tool_id: UUID, digest: str, served: Definition | None, *, by: Principal, because: str) -> bool:
    """Suspend a tool that was found to be another than the accepted one, unless somebody was faster; say whether."""
    tool = _locked(tool_id)
    if tool.state != ToolState.ACCEPTED or tool.digest != digest:
        return False
    _suspend(tool, served, by=by, because=told(because, MASKERS))
    return True


@transaction.atomic
def disable_server(server_id: UUID, *, by: Principal, because: str) -> McpServer:
    """Take a server out of use with all its tools; after it works again, each has to be accepted again."""
    _demand_reason(because)
    server = McpServer.objects.select_for_update().get(pk=server_id)
    if server.enabled:
        server.enabled = False
        server.save(update_fields=["enabled"])
        record("mcp_server.disable", server, by=by, because=because)
        for tool in McpTool.objects.select_for_update().filter(server=server, state=ToolState.ACCEPTED):
            _suspend(tool, tool.offered, by=by, because=f"the server was disabled: {because}")
    return server


@transaction.atomic
def enable_server(server_id: UUID, *, by: Principal, because: str) -> McpServer:
    """Let a server be spoken to again; its tools stay suspended until they are accepted."""
    _demand_reason(because)
    server = McpServer.objects.select_for_update().get(pk=server_id)
    if not server.enabled:
        server.enabled = True
        server.save(update_fields=["enabled"])
        record("mcp_server.enable", server, by=by, because=because)
    return server


@transaction.atomic
def _note_failure(server_id: UUID, error: str, *, by: Principal, because: str) -> None:
    server = McpServer.objects.select_for_update().get(pk=server_id)
    server.error, server.failed_at = error, clock()
    server.save(update_fields=["error", "failed_at"])
    record("mcp_server.fail", server, by=by, because=because, error=error)


def _suspend(tool: McpTool, served: Definition | None, *, by: Principal, because: str) -> None:
    transition(tool, "suspend", by=by, because=because, reason=because, **_served(tool, served))
    skill = Skill.objects.filter(name=skill_name(tool.server.name, tool.name)).first()
    if skill is not None:
        disable(skill, by=by, because=because)


def _spec(
    tool: McpTool, offered: Definition, side_effect: str, labels: frozenset[str], *, idempotent: bool
) -> SkillSpec:
    name = skill_name(tool.server.name, tool.name)
    if not name:
        raise Refused("the tool's name cannot be a skill's: it is too long, or has odd characters", code=Code.INVALID)
    if side_effect not in SideEffect.values or not labels <= frozenset(LABELS):
        raise Refused("there is no such side effect or label", code=Code.INVALID)
    Schema(offered.input_schema)
    if offered.output_schema is not None:
        Schema(offered.output_schema)
    return SkillSpec(
        name=name,
        description=offered.description,
        input_schema=offered.input_schema,
        output_schema=output_schema(offered),
        side_effect=side_effect,  # type: ignore[arg-type]  # checked above
        labels=labels,  # type: ignore[arg-type]
        idempotent=idempotent or side_effect == SideEffect.READ_ONLY,
    )


def _columns(tool: Definition) -> dict[str, Any]:
    """Return the columns of a tool that is as it is served."""
    return {**tool.as_json(), "digest": tool.digest, "served": None, "served_digest": tool.digest}


def _served(row: McpTool, served: Definition | None) -> dict[str, Any]:
    """Return what to store of what is served now beside a definition that somebody has decided about."""
    if served is None:
        return {"served": None, "served_digest": ""}
    return {"served": None if served.digest == row.digest else served.as_json(), "served_digest": served.digest}


def _write(row: McpTool, columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        setattr(row, name, value)
    row.save(update_fields=list(columns))


def _locked(tool_id: UUID) -> McpTool:
    """Lock a tool behind its server: else one could be accepted while its server is being disabled."""
    server_id = McpTool.objects.values_list("server_id", flat=True).get(pk=tool_id)
    server = McpServer.objects.select_for_update().get(pk=server_id)
    tool = McpTool.objects.select_for_update().get(pk=tool_id)
    tool.server = server
    return tool


def _must_be_enabled(server: McpServer) -> None:
    if not server.enabled:
        raise Refused(f"the server {server.name} is disabled", code=Code.FROZEN, recovery="Enable it first.")


def _demand_reason(because: str) -> None:
    if not because.strip():
        raise ReasonMissing("say why")
