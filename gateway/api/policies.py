"""/v1/policies: read the policy, and check a manifest without storing it."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.core.ids import parse_id
from gateway.api.base import Resource, paged, read
from gateway.api.schema import PAGING, page
from gateway.keys import Scope
from governance import queries
from governance.actions.manifests import check_manifest
from governance.core.states import ManifestState

POLICY_READ = {"GET": Scope.POLICY_READ}


class PolicyShape(serializers.Serializer[Any]):
    """A version of policy; `scope` is the workspace's slug or `platform`."""

    id = serializers.UUIDField()
    scope = serializers.SerializerMethodField()
    version = serializers.IntegerField()
    state = serializers.CharField()
    digest = serializers.CharField()
    author = serializers.CharField()
    activated_by = serializers.CharField(allow_null=True)
    activated_because = serializers.CharField(allow_null=True)
    activated_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()

    def get_scope(self, manifest: Any) -> str:
        return manifest.workspace.slug if manifest.workspace else "platform"


class FullPolicyShape(PolicyShape):
    """A version with its text."""

    source = serializers.CharField()  # type: ignore[assignment]  # the field's name is the API's


class Policies(Resource):
    """GET /v1/policies."""

    scopes = POLICY_READ

    @extend_schema(responses=page(PolicyShape), parameters=PAGING)
    def get(self, request: Request) -> Response:
        """List the versions of the workspace's policy and of the platform's, newest first."""
        return paged(request, queries.manifests_visible_to(self.asker), lambda rows: PolicyShape(rows, many=True).data)


class OnePolicy(Resource):
    """GET /v1/policies/{id}."""

    scopes = POLICY_READ

    @extend_schema(responses=FullPolicyShape)
    def get(self, request: Request, policy: str) -> Response:
        """Show a version with its text."""
        found = queries.manifests_visible_to(self.asker).filter(pk=parse_id(policy)).first()
        return Response(FullPolicyShape(queries.found_or_refused(found, "policy", policy)).data)


class ActivePolicies(Resource):
    """GET /v1/policies/active."""

    scopes = POLICY_READ

    @extend_schema(responses=page(FullPolicyShape))
    def get(self, request: Request) -> Response:
        """Show what is in force: the platform's ceiling and the workspace's own."""
        found = queries.manifests_visible_to(self.asker).filter(state=ManifestState.ACTIVE).order_by("workspace")
        return Response({"items": FullPolicyShape(found, many=True).data, "next_cursor": None})


class CheckPolicy(Resource):
    """POST /v1/policies/check."""

    scopes = {"POST": Scope.POLICY_READ}

    @extend_schema_serializer(component_name="CheckedText")
    class Input(serializers.Serializer[Any]):
        source = serializers.CharField(max_length=200_000, trim_whitespace=False)  # type: ignore[assignment]  # the field's name is the API's

    @extend_schema_serializer(component_name="CheckedPolicy")
    class Checked(serializers.Serializer[Any]):
        valid = serializers.BooleanField()
        digest = serializers.CharField()
        warnings = serializers.ListField(child=serializers.DictField())

    @extend_schema(request=Input, responses=Checked)
    def post(self, request: Request) -> Response:
        """Compile a manifest for this workspace and store nothing; every error comes with its line and column."""
        compiled = check_manifest(self.asker.workspace_id, read(self.Input, request.data)["source"])
        return Response(
            {"valid": True, "digest": compiled.digest, "warnings": [each.as_json() for each in compiled.warnings]}
        )
