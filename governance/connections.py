"""Through which connection a call would go out: the gateway knows, and consent is bound to what it says."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self
from uuid import UUID

from governance.core.egress import Egress


@dataclass(frozen=True, slots=True)
class Need:
    """What a call wants to go out through: its workspace's connection of a service, of one account where the input names it."""

    workspace_id: UUID
    skill: str
    service: str
    account: str = ""
    access: Literal["read", "write"] = "read"

    def as_json(self) -> dict[str, str]:
        """Return what is kept with a call that waits for it."""
        return {"skill": self.skill, "service": self.service, "account": self.account, "access": self.access}

    @classmethod
    def from_json(cls, workspace_id: UUID, value: Mapping[str, Any]) -> Self:
        """Read what was kept."""
        access: Literal["read", "write"] = "write" if value.get("access") == "write" else "read"
        skill, service, account = (str(value.get(name, "")) for name in ("skill", "service", "account"))
        return cls(workspace_id, skill, service, account, access)


@dataclass(frozen=True, slots=True)
class ConnectionFact:
    """A connection as people see it and as the payload names it; `digest` is over its settings, with secrets named only."""

    id: str
    service: str
    account: str
    base_url: str
    access: str
    digest: str
    need: Need

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
    """A skill needs a connection and has none; `because` says it to people.

    With `is_choice` there are some, and the input names none or a wrong one: not people have to act then, but who asked.
    """

    need: Need
    because: str
    is_choice: bool = False


# What a skill with this input would go out through in a workspace; None where it needs no connection.
Resolve = Callable[[UUID, str, str, Mapping[str, Any]], "ConnectionFact | NoConnection | None"]

# What of a skill's call policy lets nobody reach, or nothing.
Bounds = Callable[[str, Mapping[str, Any], Egress], str]

# Which of some needs are not met yet, and why: nothing is connected, or it may not use its secrets.
Lacking = Callable[[Collection[Need]], Mapping[Need, str]]

_resolve: Resolve | None = None
_bounds: Bounds | None = None
_lacking: Lacking | None = None


def register(resolve: Resolve, bounds: Bounds, lacking: Lacking) -> None:
    """Say who knows the connections and the way out: the gateway, at start."""
    global _resolve, _bounds, _lacking
    _resolve, _bounds, _lacking = resolve, bounds, lacking


def connection_for(
    workspace_id: UUID, skill: str, side_effect: str, value: Mapping[str, Any]
) -> ConnectionFact | NoConnection | None:
    """Return the connection that a call would use now, why there is none, or None where it needs none."""
    return _resolve(workspace_id, skill, side_effect, value) if _resolve else None


def still_lacking(needs: Collection[Need]) -> Mapping[Need, str]:
    """Return which of these needs have no connection now that could be used, and why."""
    return _lacking(needs) if _lacking and needs else {}


def out_of_bounds(skill: str, value: Mapping[str, Any], egress: Egress) -> str:
    """Say what of a call policy lets nobody reach, or nothing: nobody is asked about what cannot go out anyway."""
    return _bounds(skill, value, egress) if _bounds else ""
