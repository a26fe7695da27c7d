"""What an agent may send to a model: an allow list of fields of the Messages API, and an estimate of what it will cost.

Everything that the provider itself would go out for is left out on purpose: server tools, MCP servers, containers, files,
URLs as sources. Source of the field names: the Anthropic Messages API, and the types of its official client.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from audit.core.canonical import canonical
from audit.core.refusals import Fault
from governance.core.schemas import Schema, place_of

MOST_TOKENS_OUT = 200_000
BYTES_PER_TOKEN = 3
"""A token of English has about four bytes; three keeps the estimate above what is counted later."""
TOKENS_PER_IMAGE = 5000
"""More than any image is counted as, whatever its size."""

_CACHE = {"type": "object", "additionalProperties": False, "required": ["type"],
          "properties": {"type": {"const": "ephemeral"}, "ttl": {"enum": ["5m", "1h"]}}}  # fmt: skip
_TEXT: Mapping[str, Any] = {
    "type": "object", "additionalProperties": False, "required": ["type", "text"],
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}, "cache_control": _CACHE,
                   "citations": {"type": "null"}},
}  # fmt: skip


def _inline(kind: str, *media_types: str, **also: Any) -> dict[str, Any]:
    """Return the schema of a block whose content comes along; there is no way to name an address or a stored file."""
    base64 = {
        "type": "object", "additionalProperties": False, "required": ["type", "media_type", "data"],
        "properties": {"type": {"const": "base64"}, "media_type": {"enum": list(media_types)}, "data": {"type": "string"}},
    }  # fmt: skip
    text = {
        "type": "object", "additionalProperties": False, "required": ["type", "media_type", "data"],
        "properties": {"type": {"const": "text"}, "media_type": {"const": "text/plain"}, "data": {"type": "string"}},
    }  # fmt: skip
    return {
        "type": "object", "additionalProperties": False, "required": ["type", "source"],
        "properties": {
            "type": {"const": kind}, "source": base64 if kind == "image" else {"oneOf": [base64, text]}, "cache_control": _CACHE, **also,
        },
    }  # fmt: skip


_IMAGE = _inline("image", "image/jpeg", "image/png", "image/gif", "image/webp")
_DOCUMENT = _inline(
    "document", "application/pdf", title={"type": ["string", "null"]}, context={"type": ["string", "null"]}
)
_TOOL_USE = {
    "type": "object", "additionalProperties": False, "required": ["type", "id", "name", "input"],
    "properties": {"type": {"const": "tool_use"}, "id": {"type": "string"}, "name": {"type": "string"},
                   "input": {"type": "object"}, "cache_control": _CACHE},
}  # fmt: skip
_TOOL_RESULT = {
    "type": "object", "additionalProperties": False, "required": ["type", "tool_use_id"],
    "properties": {
        "type": {"const": "tool_result"}, "tool_use_id": {"type": "string"}, "is_error": {"type": "boolean"}, "cache_control": _CACHE,
        "content": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/$defs/given"}}]},
    },
}  # fmt: skip
_THINKING = {
    "type": "object", "additionalProperties": False, "required": ["type", "thinking", "signature"],
    "properties": {"type": {"const": "thinking"}, "thinking": {"type": "string"}, "signature": {"type": "string"}},
}  # fmt: skip
_REDACTED = {
    "type": "object", "additionalProperties": False, "required": ["type", "data"],
    "properties": {"type": {"const": "redacted_thinking"}, "data": {"type": "string"}},
}  # fmt: skip


def _by_type(*blocks: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that judges a block by its type, so that a fault names the field and not every other kind."""
    kinds = [block["properties"]["type"]["const"] for block in blocks]
    return {
        "type": "object", "required": ["type"], "properties": {"type": {"enum": kinds}},
        "allOf": [
            {"if": {"properties": {"type": {"const": kind}}}, "then": block} for kind, block in zip(kinds, blocks, strict=True)
        ],
    }  # fmt: skip


_TOOL = {
    "type": "object", "additionalProperties": False, "required": ["name", "input_schema"],
    "properties": {
        "type": {"enum": ["custom", None]}, "name": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,128}$"},
        "description": {"type": "string"}, "input_schema": {"type": "object"}, "cache_control": _CACHE, "strict": {"type": "boolean"},
    },
}  # fmt: skip
_CHOICE = {
    "type": "object", "additionalProperties": False, "required": ["type"],
    "properties": {"type": {"enum": ["auto", "any", "tool", "none"]}, "name": {"type": "string"},
                   "disable_parallel_tool_use": {"type": "boolean"}},
}  # fmt: skip
_THINK = {
    "type": "object", "additionalProperties": False, "required": ["type"],
    "properties": {"type": {"enum": ["enabled", "disabled", "adaptive"]}, "budget_tokens": {"type": "integer", "minimum": 1024}},
}  # fmt: skip

_OUTPUT = {
    "type": "object", "additionalProperties": False,
    "properties": {
        "effort": {"type": ["string", "null"]},
        "format": {
            "type": ["object", "null"], "additionalProperties": False, "required": ["type", "schema"],
            "properties": {"type": {"const": "json_schema"}, "schema": {"type": "object"}},
        },
    },
}  # fmt: skip

REQUEST_SCHEMA: Mapping[str, Any] = {
    "$defs": {
        "given": _by_type(_TEXT, _IMAGE, _DOCUMENT),
        "block": _by_type(_TEXT, _IMAGE, _DOCUMENT, _TOOL_USE, _TOOL_RESULT, _THINKING, _REDACTED),
    },
    "type": "object", "additionalProperties": False, "required": ["model", "max_tokens", "messages"],
    "properties": {
        "model": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.:/@\-]{0,127}$"},
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": MOST_TOKENS_OUT},
        "messages": {
            "type": "array", "minItems": 1, "maxItems": 2000,
            "items": {
                "type": "object", "additionalProperties": False, "required": ["role", "content"],
                "properties": {
                    "role": {"enum": ["user", "assistant"]},
                    "content": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/$defs/block"}}]},
                },
            },
        },
        "system": {"oneOf": [{"type": "string"}, {"type": "array", "items": _TEXT}]},
        "temperature": {"type": "number", "minimum": 0, "maximum": 1},
        "top_p": {"type": "number", "minimum": 0, "maximum": 1},
        "top_k": {"type": "integer", "minimum": 0},
        "stop_sequences": {"type": "array", "items": {"type": "string"}, "maxItems": 100},
        "stream": {"type": "boolean"},
        "tools": {"type": "array", "maxItems": 500, "items": _TOOL},
        "tool_choice": _CHOICE,
        "output_config": _OUTPUT,
        "cache_control": _CACHE,
        "thinking": _THINK,
        # Taken, and replaced: what the provider is told about a user is the gateway's word.
        "metadata": {"type": "object"},
    },
}  # fmt: skip

_SCHEMA = Schema(REQUEST_SCHEMA)
_BETA = "beta_not_allowed"


def request_faults(body: Any, betas: Sequence[str] = (), allowed_betas: Sequence[str] = ()) -> list[Fault]:
    """Return everything in a request that agents may not send, beta headers too."""
    faults = _SCHEMA.faults(body, code="not_allowed")
    faults += [
        Fault(place_of(("anthropic-beta",)), _BETA, f"the beta {beta[:80]} is not on the list of this deployment")
        for beta in betas
        if beta not in allowed_betas
    ]
    return faults


def forwarded(body: Mapping[str, Any], user_id: str) -> dict[str, Any]:
    """Return what goes to the provider: the request as it was, with the gateway's own metadata."""
    return {**body, "metadata": {"user_id": user_id}}


def estimated_input(body: Mapping[str, Any]) -> int:
    """Return a number of input tokens that the request will not exceed, in all likelihood."""
    images, light = _weighed({key: body[key] for key in ("messages", "system", "tools") if key in body})
    return images * TOKENS_PER_IMAGE + len(canonical(light)) // BYTES_PER_TOKEN + 16


def _weighed(value: Any) -> tuple[int, Any]:
    """Count the images of a value, and return it without their bytes."""
    if isinstance(value, dict):
        if value.get("type") == "image":
            return 1, None
        found = {key: _weighed(item) for key, item in value.items()}
        return sum(images for images, _ in found.values()), {key: item for key, (_, item) in found.items()}
    if isinstance(value, list):
        items = [_weighed(item) for item in value]
        return sum(images for images, _ in items), [item for _, item in items]
    return 0, value
