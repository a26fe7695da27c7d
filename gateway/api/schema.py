"""What the OpenAPI document says beside the shapes: who may call, how lists are paged, and how everything is refused."""

from functools import lru_cache
from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_bearer_security_scheme_object
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

from audit.core.codes import Code
from gateway.api.credentials import WORKSPACE_HEADER
from gateway.problems import MEDIA_TYPE

PAGING = [
    OpenApiParameter("cursor", str, description="`next_cursor` of the page before"),
    OpenApiParameter("limit", int, description="how many items at most, 1 to 200; 50 unless told"),
]
IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    str,
    location="header",
    required=True,
    description="your own name of this request; the same for repeats",
)
# What any call may be refused with, and what one with a body may.
REFUSALS = (400, 401, 403, 404, 405, 406, 429, 503)
REFUSALS_OF_WRITES = (*REFUSALS, 409, 413, 415, 422)


@lru_cache
def page(shape: type[serializers.Serializer[Any]]) -> Any:
    """Return the shape of a page of a list; the same one for each list of the same things."""
    cursor = serializers.CharField(allow_null=True, help_text="the cursor of the next page, null on the last")
    return inline_serializer(
        f"{shape.__name__.removesuffix('Shape')}Page", {"items": shape(many=True), "next_cursor": cursor}
    )


class Operation(AutoSchema):
    """An operation named by its method and path, grouped by the first part of the path."""

    def get_operation_id(self) -> str:
        words = [part.strip("{}") for part in self.path.removeprefix("/v1/").split("/")]
        return "_".join([str(self.method).lower(), *words]).replace(".", "_")

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix("/v1/").split("/")[0]]


class KeyScheme(OpenApiAuthenticationExtension):
    """An API key."""

    target_class = "gateway.api.credentials.KeyAuthentication"
    name = "api_key"

    def get_security_definition(self, auto_schema: Any) -> Any:
        return build_bearer_security_scheme_object("Authorization", "Bearer", bearer_format="wk_<prefix>_<secret>")


class PersonScheme(SessionScheme):
    """A signed-in session; what writes needs the CSRF token too."""

    target_class = "gateway.api.credentials.PersonAuthentication"
    name = "session"


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add to the document what no view declares: the refusals of every operation, and the event stream."""
    components = result["components"]
    components["schemas"]["Problem"] = PROBLEM
    components["responses"] = {
        "Refused": {
            "description": "It was understood, and refused: `code` is for programs, `detail` for people.",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "headers": {"X-Correlation-Id": {"schema": {"type": "string"}}},
        }
    }
    result["paths"]["/v1/events/stream"] = STREAM
    _let_null_be_anything(components["schemas"])
    for operations in result["paths"].values():
        for method, operation in operations.items():
            for status in REFUSALS if method == "get" else REFUSALS_OF_WRITES:
                operation["responses"].setdefault(str(status), {"$ref": "#/components/responses/Refused"})
            if operation.get("security"):
                operation.setdefault("parameters", []).append(
                    {
                        "name": WORKSPACE_HEADER,
                        "in": "header",
                        "schema": {"type": "string"},
                        "required": False,
                        "description": "with a session: the slug of the workspace; not needed by who has only one, nor with a key",
                    }
                )
    return result


def _let_null_be_anything(shape: Any) -> None:
    """Say `{}` for JSON of any kind: null fits "one of anything and null" twice, so it would not fit at all."""
    for key, value in shape.items() if isinstance(shape, dict) else enumerate(shape) if isinstance(shape, list) else ():
        if isinstance(value, dict) and value.get("oneOf") == [{}, {"type": "null"}]:
            shape[key] = {name: each for name, each in value.items() if name != "oneOf"}
        else:
            _let_null_be_anything(value)


PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457). Some codes add members of their own: `gate`, `reason`, `workspaces`.",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": [str(code) for code in Code]},
        "required": {"type": "string", "description": "the scope that the key lacks"},
        "recovery": {"type": "string", "description": "the way out"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "code", "message"],
                "properties": {name: {"type": "string"} for name in ("path", "code", "message")},
            },
        },
        "correlation_id": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code", "correlation_id"],
}
STREAM: dict[str, Any] = {
    "get": {
        "operationId": "get_events_stream",
        "tags": ["events"],
        "description": "Follow what happens, as server-sent events from sealed positions. `id` is the position to resume after.",
        "parameters": [
            {
                "name": "cursor",
                "in": "query",
                "schema": {"type": "string"},
                "description": "the position to go on after",
            },
            {
                "name": "Last-Event-ID",
                "in": "header",
                "schema": {"type": "string"},
                "description": "the same, as browsers send it",
            },
        ],
        "security": [{"api_key": []}, {"session": []}],
        "responses": {
            "200": {
                "description": "A stream without an end.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        },
    }
}
