"""What a step is told to do: three kinds, each with a strict JSON Schema (agents.md, section 3)."""

from collections.abc import Mapping
from typing import Any

from audit.core.refusals import Fault
from governance.core.schemas import Schema

DIRECT = "direct"
RENDER = "render"
AGENTIC = "agentic"

DEFAULT_TURNS = 20

_CALL = {
    "type": "object",
    "additionalProperties": False,
    "required": ["call_id", "skill", "input"],
    "properties": {
        "call_id": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$"},
        "skill": {"type": "string", "minLength": 1, "maxLength": 96},
        "input": {"type": "object"},
    },
}

SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    DIRECT: {
        "type": "object",
        "additionalProperties": False,
        "required": ["kind", "calls"],
        "properties": {
            "kind": {"const": DIRECT},
            "calls": {"type": "array", "minItems": 1, "maxItems": 50, "items": _CALL},
            "output": {},
        },
    },
    RENDER: {
        "type": "object",
        "additionalProperties": False,
        "required": ["kind", "template"],
        "properties": {
            "kind": {"const": RENDER},
            # A shipped template's name, never a path: an agent must not choose files.
            "template": {"type": "string", "pattern": r"^[a-z0-9][a-z0-9_\-]*(\.[a-z0-9]+)*$", "maxLength": 100},
            "data": {"type": "object"},
            "artifact": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "media_type"],
                "properties": {
                    "name": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9 _.\-]*$", "maxLength": 120},
                    "media_type": {"type": "string", "pattern": r"^[a-z]+/[a-z0-9.+\-]+$", "maxLength": 80},
                },
            },
        },
    },
    AGENTIC: {
        "type": "object",
        "additionalProperties": False,
        "required": ["kind", "goal"],
        "properties": {
            "kind": {"const": AGENTIC},
            "goal": {"type": "string", "minLength": 1, "maxLength": 20_000},
            "max_turns": {"type": "integer", "minimum": 1, "maximum": 200},
        },
    },
}

_COMPILED = {kind: Schema(schema) for kind, schema in SCHEMAS.items()}


def instruction_faults(instruction: Any, at: str = "") -> list[Fault]:
    """Return everything wrong with the form of an instruction, as faults with JSON pointers below `at`."""
    kind = instruction.get("kind") if isinstance(instruction, dict) else None
    if not isinstance(kind, str) or kind not in _COMPILED:
        return [Fault(f"{at}/kind", "bad_schema", f"an instruction's kind is one of {', '.join(SCHEMAS)}")]
    return _COMPILED[kind].faults(instruction, at)


def normal_instruction(instruction: Mapping[str, Any]) -> dict[str, Any]:
    """Return a valid instruction with its defaults written out and its own texts trimmed; inputs stay as they are."""
    normal = dict(instruction)
    if normal["kind"] == RENDER:
        normal.setdefault("data", {})
    elif normal["kind"] == AGENTIC:
        normal["goal"] = normal["goal"].strip()
        normal["max_turns"] = int(normal.get("max_turns", DEFAULT_TURNS))
    return normal
