"""Who did it: a person, an agent, a service or the system itself. A value, never a foreign key."""

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["user", "agent", "service", "system"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Name whoever acts: `id` is the row's key as text, `persons` the keys of the people behind it.

    `on_behalf_of` reads like `user:ada`; `via` says through what: `session`, `api_key:<prefix>`, `agent_token`.
    """

    kind: Kind
    name: str
    id: str = ""
    persons: frozenset[str] = frozenset()
    on_behalf_of: str = ""
    via: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


SYSTEM = Principal("system", "worka")


def person(user: Any, *, via: str = "session") -> Principal:
    """Return a signed-in person as a principal."""
    key = str(user.pk)
    return Principal("user", user.get_username(), id=key, persons=frozenset({key}), via=via)


def agent(name: str, *, key: str = "", on_behalf_of: str = "", persons: frozenset[str] = frozenset()) -> Principal:
    """Return an agent as a principal; `persons` are those whom it works for."""
    return Principal("agent", name, id=key, persons=persons, on_behalf_of=on_behalf_of, via="agent_token")


def persons_behind(principal: Principal) -> frozenset[str]:
    """Return the keys of all people who speak through the principal; none for the system itself."""
    own = {principal.id} if principal.kind == "user" and principal.id else set()
    return principal.persons | own
