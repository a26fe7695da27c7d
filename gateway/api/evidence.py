"""/v1/artifacts, /v1/agents, /v1/skills, /v1/connections."""

from typing import Any
from urllib.parse import quote

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.base import Resource, paged
from gateway.api.schema import PAGING, page
from gateway.keys import Scope
from gateway.treasury.queries import connections_visible_to
from governance import queries
from governance.actions.artifacts import MEDIA_TYPES

UNKNOWN = "application/octet-stream"
RUNS_READ = {"GET": Scope.RUNS_READ}


class ArtifactContent(Resource):
    """GET /v1/artifacts/{id}/content."""

    scopes = RUNS_READ

    @extend_schema(responses={(200, media_type): OpenApiTypes.BINARY for media_type in (*sorted(MEDIA_TYPES), UNKNOWN)})
    def get(self, request: Request, artifact: str) -> HttpResponse:
        """Give the content of an artifact, as a download that no browser opens in place."""
        row, content = queries.artifact_content(self.asker, artifact)
        media_type = row.media_type if row.media_type in MEDIA_TYPES else UNKNOWN
        return HttpResponse(
            content,
            content_type=f"{media_type}; charset=utf-8",
            headers={
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(row.name, safe='')}",
                "Content-Security-Policy": "sandbox",
                "X-Content-Type-Options": "nosniff",
            },
        )


class AgentShape(serializers.Serializer[Any]):
    """An agent."""

    name = serializers.CharField()
    kind = serializers.CharField()
    description = serializers.CharField()
    model = serializers.CharField()
    enabled = serializers.BooleanField()
    disabled_because = serializers.CharField()


class Agents(Resource):
    """GET /v1/agents."""

    scopes = RUNS_READ

    @extend_schema(responses=page(AgentShape))
    def get(self, request: Request) -> Response:
        """List the agents."""
        return Response({"items": AgentShape(queries.agents(), many=True).data, "next_cursor": None})


class SkillShape(serializers.Serializer[Any]):
    """A skill with all that policy knows of it."""

    name = serializers.CharField()
    description = serializers.CharField()
    input_schema = serializers.JSONField()
    output_schema = serializers.JSONField()
    digest = serializers.CharField()
    side_effect = serializers.CharField()
    labels = serializers.ListField(child=serializers.CharField())
    idempotent = serializers.BooleanField()
    lock_key = serializers.CharField()
    timeout_s = serializers.IntegerField()
    enabled = serializers.BooleanField()
    disabled_because = serializers.CharField()


class Skills(Resource):
    """GET /v1/skills."""

    scopes = RUNS_READ

    @extend_schema(responses=page(SkillShape))
    def get(self, request: Request) -> Response:
        """List the skills."""
        return Response({"items": SkillShape(queries.skills(), many=True).data, "next_cursor": None})


class ConnectionShape(serializers.Serializer[Any]):
    """A connection to an account of a service outside; never its settings or secrets."""

    id = serializers.UUIDField()
    service = serializers.CharField()
    account = serializers.CharField()
    base_url = serializers.CharField()
    access = serializers.CharField()
    state = serializers.CharField()
    state_changed_at = serializers.DateTimeField()
    disabled_because = serializers.CharField()
    connected_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)


class Connections(Resource):
    """GET /v1/connections."""

    scopes = RUNS_READ

    @extend_schema(responses=page(ConnectionShape), parameters=PAGING)
    def get(self, request: Request) -> Response:
        """List the workspace's connections, newest first."""
        return paged(request, connections_visible_to(self.asker), lambda rows: ConnectionShape(rows, many=True).data)
