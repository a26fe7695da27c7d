"""Where a person can go, and what waits there."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from django.urls import NoReverseMatch, reverse


@dataclass(frozen=True, slots=True)
class Place:
    """A page of the console: its name, icon and URL name; `below` are the URL names of pages that stand under it."""

    label: str
    icon: str
    url_name: str
    below: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A place as it is drawn: `count` 0 shows nothing; `waits` marks a count that needs this person."""

    label: str
    icon: str
    href: str
    is_current: bool = False
    count: int = 0
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Places that belong together; the first group has no heading."""

    heading: str
    links: tuple[Link, ...] = field(default_factory=tuple)


PLACES: tuple[tuple[str, tuple[Place, ...]], ...] = (
    ("", (
        Place("Desk", "desk", "index"),
        Place("New request", "plus", "new_request"),
    )),
    ("Work", (
        Place("Runs", "runs", "governance_run_changelist", ("governance_run", "governance_artifact")),
        Place("Approvals", "approvals", "governance_gate_changelist", ("governance_gate", "governance_skillinvocation")),
        Place("Jobs", "jobs", "runtime_agentjob_changelist", ("runtime_agentjob",)),
        Place("Models", "models", "gateway_llmcall_changelist", ("gateway_llmcall",)),
        Place("Burns", "burns", "governance_burn_changelist", ("governance_burn",)),
    )),
    ("Rules", (
        Place("Policy", "policy", "governance_policymanifest_changelist", ("governance_policymanifest",)),
        Place("Agents and skills", "agents", "governance_agent_changelist", ("governance_agent", "governance_skill")),
        Place("Connections", "allow", "gateway_connection_changelist", ("gateway_connection", "connection")),
        Place("Secrets", "key", "gateway_secret_changelist", ("gateway_secret", "secret")),
        Place("MCP servers", "download", "gateway_mcpserver_changelist", ("gateway_mcpserver", "mcp")),
        Place("Memories", "document", "gateway_memoryentry_changelist", ("gateway_memoryentry",)),
        Place("Freeze", "freeze", "freeze"),
    )),
    ("Proof", (
        Place("Ledger", "ledger", "audit_auditevent_changelist", ("audit_auditevent",)),
        Place("Health", "health", "health"),
    )),
)  # fmt: skip

PEOPLE: tuple[Place, ...] = (Place("People and groups", "person", "auth_user_changelist", ("auth_user", "auth_group")),)


def navigation(
    current: str, counts: Mapping[str, int], *, with_people: bool = False, closed: Collection[str] = ()
) -> tuple[Group, ...]:
    """Return the navigation for the page with this URL name (without its namespace).

    `counts` maps URL names to figures; the one of the approvals is what waits for this person. A place whose page this
    installation does not have is left out, and so are the `closed` ones.
    """
    groups = [*PLACES, ("People", PEOPLE)] if with_people else list(PLACES)
    drawn = (Group(heading, tuple(_links(places, current, counts, closed))) for heading, places in groups)
    return tuple(group for group in drawn if group.links)


def _links(places: tuple[Place, ...], current: str, counts: Mapping[str, int], closed: Collection[str]) -> list[Link]:
    links = []
    for place in places:
        if place.url_name in closed:
            continue
        try:
            href = reverse(f"admin:{place.url_name}")
        except NoReverseMatch:
            continue
        here = current == place.url_name or any(current.startswith(f"{name}_") for name in place.below)
        waits = place.url_name == "governance_gate_changelist"
        links.append(Link(place.label, place.icon, href, here, counts.get(place.url_name, 0), waits))
    return links
