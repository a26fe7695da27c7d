"""Tools of MCP servers, decided with values: what a tool is, whether it is still the one that was accepted, what came back.

What a server says of itself is a claim. A tool is known by a digest over all that people and models read of it, and it is
used only as long as the server serves exactly that.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from audit.core.canonical import digest
from audit.core.machine import Machine

SERVER_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
# A skill's name is matched by globs and read by people, so a tool whose name is anything else cannot become one.
TOOL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
LONGEST_SKILL = 96
LABELS = ("reads_private", "sends_outside", "untrusted_output")


class ToolState(StrEnum):
    DISCOVERED = "discovered"
    ACCEPTED = "accepted"
    SUSPENDED = "suspended"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


TOOL = Machine(
    "mcp_tool",
    {ToolState.DISCOVERED: "discover"},
    {
        (ToolState.DISCOVERED, "accept"): ToolState.ACCEPTED,
        (ToolState.SUSPENDED, "accept"): ToolState.ACCEPTED,
        (ToolState.REFUSED, "accept"): ToolState.ACCEPTED,
        (ToolState.ACCEPTED, "suspend"): ToolState.SUSPENDED,
        (ToolState.DISCOVERED, "refuse"): ToolState.REFUSED,
        (ToolState.SUSPENDED, "refuse"): ToolState.REFUSED,
        (ToolState.DISCOVERED, "withdraw"): ToolState.WITHDRAWN,
        (ToolState.REFUSED, "withdraw"): ToolState.WITHDRAWN,
    },
)


@dataclass(frozen=True, slots=True)
class Definition:
    """A tool as a server describes it; `output_schema` is None where it names none, `annotations` are its own hints."""

    name: str
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Return the SHA-256, in hex, over everything here; refuses with `not_canonical` what has no canonical form."""
        return digest(self.as_json())

    @property
    def likeness(self) -> str:
        """Return the digest of everything but the name: two tools of one likeness are one tool under two names."""
        return digest({**self.as_json(), "name": ""})

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description,
            "input_schema": dict(self.input_schema),
            "output_schema": None if self.output_schema is None else dict(self.output_schema),
            "annotations": dict(self.annotations),
        }


@dataclass(frozen=True, slots=True)
class Known:
    """A tool as it is stored: its state, its definition, and the digest last served, empty when it was served no more."""

    state: str
    definition: Definition
    served_digest: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at a server has found of one tool.

    `kind`: `new`; `changed` (nobody relies on it yet); `suspend` (it was accepted, and is not what is served); `withdraw`
    (it is served no more, and nobody relied on it); `noted` (a suspended or refused one is served otherwise than before).
    `served` is None where the server has no tool of that name; `because` says what happened.
    """

    kind: str
    name: str
    served: Definition | None
    because: str


def compare(known: Iterable[Known], served: Sequence[Definition]) -> list[Finding]:
    """Return what differs between what is stored of a server's tools and what it serves now, by name."""
    offered = {tool.name: tool for tool in served}
    stored = {tool.definition.name: tool for tool in known}
    renamed = {tool.likeness: tool.name for tool in served if tool.name not in stored}
    findings = [
        Finding("new", name, tool, "the server serves it") for name, tool in offered.items() if name not in stored
    ]
    for name, tool in stored.items():
        now = offered.get(name)
        finding = _moved(tool, now, renamed.get(tool.definition.likeness, "") if now is None else "")
        findings += [finding] if finding else []
    return sorted(findings, key=lambda finding: finding.name)


def _moved(tool: Known, now: Definition | None, new_name: str) -> Finding | None:
    name = tool.definition.name
    if now is None:
        because = f"the server serves it as {new_name} now" if new_name else "the server serves it no more"
        if tool.state == ToolState.ACCEPTED:
            return Finding("suspend", name, None, because)
        if tool.state in (ToolState.DISCOVERED, ToolState.REFUSED):
            return Finding("withdraw", name, None, because)
        return Finding("noted", name, None, because) if tool.served_digest else None
    changed = ", ".join(changes(tool.definition, now))
    if tool.state == ToolState.ACCEPTED:
        return Finding("suspend", name, now, f"the server changed its {changed}") if changed else None
    if now.digest == tool.served_digest:
        return None
    if tool.state == ToolState.DISCOVERED:
        return Finding("changed", name, now, f"the server changed its {changed}")
    return Finding("noted", name, now, f"the server changed its {changed}" if changed else "it is served as before")


def changes(before: Definition, after: Definition) -> list[str]:
    """Return which parts of a tool differ, in words."""
    old, new = before.as_json(), after.as_json()
    return [part.replace("_", " ") for part in old if digest(old[part]) != digest(new[part])]


def skill_name(server: str, tool: str) -> str:
    """Return the name of the skill that a tool becomes, or nothing where its name cannot be a skill's."""
    name = f"mcp.{server}.{tool}"
    return name if TOOL_NAME.fullmatch(tool) and len(name) <= LONGEST_SKILL else ""


def output_schema(tool: Definition) -> dict[str, Any]:
    """Return the schema of what the gateway hands on of a tool's answers.

    The tool's own schema keeps its references: they resolve inside it, because it is a resource of its own.
    """
    structured = {"$id": "urn:worka:mcp:structured", **tool.output_schema} if tool.output_schema else {}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["content"],
        "properties": {"content": {"type": "array", "items": {"type": "object"}}, "structured": structured},
    }


def answer_of(blocks: Iterable[Mapping[str, Any]], structured: Any) -> dict[str, Any]:
    """Return a tool's answer as agents get it: texts whole, links as they are, of everything else its kind and size."""
    answer: dict[str, Any] = {"content": [_block(block) for block in blocks]}
    return answer if structured is None else {**answer, "structured": structured}


def _block(block: Mapping[str, Any]) -> dict[str, Any]:
    resource = block.get("resource")
    match block.get("type"):
        case "text":
            return {"type": "text", "text": str(block.get("text", ""))}
        case "resource_link":
            return {"type": "resource_link", "uri": str(block.get("uri", "")), "name": str(block.get("name", ""))}
        case "resource" if isinstance(resource, Mapping) and isinstance(resource.get("text"), str):
            return {"type": "text", "text": resource["text"], "uri": str(resource.get("uri", ""))}
        case kind:
            held: Mapping[str, Any] = resource if isinstance(resource, Mapping) else block
            data = held.get("blob", held.get("data", ""))
            media_type = str(held.get("mimeType", ""))
            return {
                "type": str(kind),
                "media_type": media_type,
                "characters": len(data) if isinstance(data, str) else 0,
            }


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a value, names of fields too."""
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield str(key)
                yield from texts_in(item)
        case list():
            for item in value:
                yield from texts_in(item)


def text_of(answer: Mapping[str, Any]) -> str:
    """Return the texts of an answer, one after the other."""
    return "\n".join(block["text"] for block in answer["content"] if block["type"] == "text")
