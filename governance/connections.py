"""Through which connection a call would go out: the gateway knows, and consent is bound to what it says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from governance.core.egress import Egress


@dataclass(frozen=True, slots=True)
class ConnectionFact:
    """A connection as people see it and as the payload names it; `digest` is over its settings, with secrets named only."""

    id: str
    service: str
    account: str
    base_url: str
    access: str
    digest: str

    def as_json(self) -> dict[str, str]:
        """Return what stands in the payload that people consent to."""
        return {
            "id": self.id,
            "service": self.service,
            "account": self.account,
            "base_url": self.base_url,
            "access": self.access,
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class NoConnection:
    """A skill needs a connection, and there is none that it could use; `because` says it to people."""

    service: str
    because: str


# What a skill with this input would go out through in a workspace; None where it needs no connection.
Resolve = Callable[[UUID, str, str, Mapping[str, Any]], "ConnectionFact | NoConnection | None"]

# What of a skill's call policy lets nobody reach, or nothing.
Bounds = Callable[[str, Mapping[str, Any], Egress], str]

_resolve: Resolve | None = None
_bounds: Bounds | None = None


def register(resolve: Resolve, bounds: Bounds) -> None:
    """Say who knows the connections and the way out: the gateway, at start."""
    global _resolve, _bounds
    _resolve, _bounds = resolve, bounds


def connection_for(
    workspace_id: UUID, skill: str, side_effect: str, value: Mapping[str, Any]
) -> ConnectionFact | NoConnection | None:
    """Return the connection that a call would use now, why there is none, or None where it needs none."""
    return _resolve(workspace_id, skill, side_effect, value) if _resolve else None


def out_of_bounds(skill: str, value: Mapping[str, Any], egress: Egress) -> str:
    """Say what of a call policy lets nobody reach, or nothing: nobody is asked about what cannot go out anyway."""
    return _bounds(skill, value, egress) if _bounds else ""
