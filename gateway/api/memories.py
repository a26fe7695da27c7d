"""/v1/memories: what agents remember of earlier runs, and erasing it."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.core.codes import Code
from audit.core.refusals import Fault, Refused
from gateway.api.base import Resource, paged, read
from gateway.api.schema import PAGING, page
from gateway.keys import Scope
from gateway.remembering import forgetting
from gateway.remembering.queries import memories_about
from governance import queries
from governance.core.permissions import Verb
from governance.people import person_known_in

LONGEST = 200


class MemoryShape(serializers.Serializer[Any]):
    """What one agent remembers of one run, with what that run had read (`taint`)."""

    id = serializers.UUIDField()
    namespace = serializers.CharField()
    text = serializers.CharField()
    run = serializers.UUIDField(source="run_id")
    run_number = serializers.IntegerField(source="run.number")
    requester = serializers.CharField(source="run.requester_name")
    taint = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)


class Memories(Resource):
    """GET /v1/memories."""

    scopes = {"GET": Scope.RUNS_READ}

    @extend_schema(
        responses=page(MemoryShape),
        parameters=[
            *PAGING,
            OpenApiParameter("namespace", str, description="of one agent: `agent:<name>`"),
            OpenApiParameter("q", str, description="with these words in them"),
        ],
    )
    def get(self, request: Request) -> Response:
        """List what agents remember, newest first; for those who may erase it."""
        namespace, words = (request.query_params.get(name, "")[:LONGEST] for name in ("namespace", "q"))
        rows = memories_about(self.asker, namespace=namespace, words=words)
        return paged(request, rows, lambda found: MemoryShape(found, many=True).data)


class ForgetInput(serializers.Serializer[Any]):
    """Whose memories go: a run's (number or id), a person's (user name) or an agent's (`agent:<name>`); and why."""

    run = serializers.CharField(required=False, max_length=40)
    person = serializers.CharField(required=False, max_length=150)
    namespace = serializers.CharField(required=False, max_length=64)
    because = serializers.CharField(max_length=2000)


class ForgotShape(serializers.Serializer[Any]):
    """How many memories were erased."""

    forgotten = serializers.IntegerField()


class Forget(Resource):
    """POST /v1/memories/forget."""

    scopes = {"POST": Scope.ADMIN}

    @extend_schema(request=ForgetInput, responses=ForgotShape)
    def post(self, request: Request) -> Response:
        """Erase for good what agents remember of a run, of a person's runs, or all of one agent's."""
        asked = read(ForgetInput, request.data)
        self.asker.must(Verb.FORGET_MEMORIES)
        named = [name for name in ("run", "person", "namespace") if name in asked]
        if len(named) != 1:
            fault = Fault("", "invalid", "exactly one of `run`, `person` and `namespace` is named")
            raise Refused("say what shall be forgotten", code=Code.INVALID, faults=[fault])
        who = {"by": self.asker.principal, "because": asked["because"]}
        match named[0]:
            case "run":
                count = forgetting.forget_run(queries.run_of(self.asker, asked["run"]), **who)
            case "person":
                person = person_known_in(self.asker.workspace, asked["person"])
                count = forgetting.forget_person(self.asker.workspace, [str(person.pk)], **who)
            case _:
                count = forgetting.forget_namespace(self.asker.workspace, asked["namespace"], **who)
        return Response({"forgotten": count})
