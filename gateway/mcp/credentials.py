"""Servers that want credentials: each workspace connects one with headers of its own, in which secrets are named."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import re2

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.connector import Service
from gateway.mcp.endpoint import Endpoint
from gateway.mcp.queries import ways_to
from gateway.models import McpServer
from gateway.treasury.expanding import expand

# Credentials, and nothing that says what a message is, to whom it goes, or how long it is.
HEADERS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["headers"],
    "properties": {
        "headers": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 8,
            "propertyNames": {"pattern": "^(?i:authorization|api-key|x-[a-z0-9-]{1,60})$"},
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 4096},
        }
    },
}
EXAMPLE = {"headers": {"Authorization": "Bearer {{secret:name}}"}}
_VISIBLE: Any = re2.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def service_of_server(server: McpServer) -> Service:
    """Return the service that workspaces connect for a server."""
    return Service(server.service_name, server.url, HEADERS, EXAMPLE, is_one_place=True, takes_account=False)


def with_headers(endpoint: Endpoint, settings: Mapping[str, Any]) -> Endpoint:
    """Return an endpoint that is spoken to with the headers of a connection; refuses with invalid what can be no header."""
    headers = {str(name): str(value) for name, value in settings["headers"].items()}
    for name, value in headers.items():
        # The library would say which value it does not like.
        if not _VISIBLE.fullmatch(value):
            raise Refused(
                f"what stands in the header {name} can be no header: it has characters beside visible ASCII",
                code=Code.INVALID,
                recovery="Put the secret anew, without line ends.",
            )
    return replace(endpoint, headers=headers)


def for_looking(server: McpServer, endpoint: Endpoint, connection_id: UUID | None) -> tuple[Endpoint, frozenset[str]]:
    """Return the endpoint to look at a server through, and what must be masked in what it says.

    A server that wants credentials is looked at through the connection that is named, or the only one there is; refuses
    with no_connection, and as `expand` does.
    """
    if not server.needs_connection:
        return endpoint, frozenset()
    rows = ways_to(server)
    found = list(rows.filter(pk=connection_id) if connection_id else rows[:2])
    if len(found) != 1:
        why = (
            "is connected more than once"
            if found
            else "is not connected"
            if not connection_id
            else "has no such connection"
        )
        raise Refused(
            f"{server.service_name} {why}",
            code=Code.NO_CONNECTION,
            recovery="Say through which connection to look." if found else "Connect it in a workspace first.",
        )
    expansion = expand(found[0].pk, f"{server.service_name}.*", found[0].workspace_id)
    return with_headers(endpoint, expansion.turns[0].settings), expansion.secrets
