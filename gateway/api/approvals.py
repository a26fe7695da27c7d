"""/v1/approvals: what is asked of me, exactly what it is, and my answer. Also settling calls of unknown effect."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.api.base import Resource, paged, read
from gateway.api.schema import PAGING, page
from gateway.api.shapes import CallShape, GateShape
from gateway.keys import Scope
from governance import queries
from governance.actions.outcomes import settle_call
from governance.actions.votes import vote
from governance.core.permissions import Verb
from governance.inputs import artifact_ids
from governance.models import Gate

SHOWN_BYTES = 200_000


class ApprovalShape(GateShape):
    """A waiting gate with everything that a yes binds to."""

    payload = serializers.JSONField(allow_null=True)
    artifacts = serializers.ListField(child=serializers.DictField())
    votes = serializers.ListField(child=serializers.DictField())
    missing = serializers.ListField(child=serializers.DictField())
    you_may_answer = serializers.BooleanField()
    unmeetable = serializers.CharField()
    plan_hash = serializers.CharField()
    taint = serializers.ListField(child=serializers.CharField())


class Approvals(Resource):
    """GET /v1/approvals."""

    scopes = {"GET": Scope.APPROVALS_READ}

    @extend_schema(responses=page(GateShape), parameters=PAGING)
    def get(self, request: Request) -> Response:
        """List the waiting gates that the caller may answer."""
        return paged(request, queries.approvals_for(self.asker), lambda rows: GateShape(rows, many=True).data)


class OneApproval(Resource):
    """GET /v1/approvals/{gate}."""

    scopes = {"GET": Scope.APPROVALS_READ}

    @extend_schema(responses=ApprovalShape)
    def get(self, request: Request, gate: str) -> Response:
        """Show a gate with the exact payload, the content of what it carries, its digest, the rules that asked, the votes."""
        return Response(show(self, queries.gate_of(self.asker, gate)))


def show(resource: Resource, gate: Gate) -> Any:
    """Render an approval for whoever asks; opening the payload is a ledger entry."""
    asker, outcome = resource.asker, queries.gate_outcome(gate)
    gate.payload_value = queries.gate_payload(asker, gate)  # type: ignore[attr-defined]
    carried = [] if gate.payload_value is None else queries.gate_artifacts(gate, artifact_ids(gate.payload_value))  # type: ignore[attr-defined]
    rendered = dict(GateShape(gate).data)
    rendered |= {
        "payload": gate.payload_value,  # type: ignore[attr-defined]
        "artifacts": [
            {
                "id": str(row.pk),
                "name": row.name,
                "media_type": row.media_type,
                "size": row.size,
                "sha256": row.sha256,
                "content": content[:SHOWN_BYTES].decode("utf-8", "replace"),
                "truncated": len(content) > SHOWN_BYTES,
            }
            for row, content in carried
        ],
        "votes": [
            {"voter": each.voter, "verdict": each.verdict, "because": each.because, "at": each.created_at}
            for each in gate.votes.all()
        ],
        "missing": [{"group": each.group, "needed": each.needed, "missing": each.missing} for each in outcome.missing],
        "you_may_answer": bool(asker.principal.persons) and asker.principal.persons <= outcome.may_answer,
        "unmeetable": outcome.unmeetable,
        "plan_hash": gate.plan_hash,
        "taint": list(gate.step.taint) if gate.step else [],
    }
    return rendered


class VoteOnApproval(Resource):
    """POST /v1/approvals/{gate}/vote."""

    scopes = {"POST": Scope.APPROVALS_WRITE}

    @extend_schema_serializer(component_name="NewVote")
    class Input(serializers.Serializer[Any]):
        verdict = serializers.ChoiceField(choices=["approve", "reject"])
        because = serializers.CharField(max_length=2000)
        payload_digest = serializers.CharField(max_length=64)

    @extend_schema(request=Input, responses=ApprovalShape)
    def post(self, request: Request, gate: str) -> Response:
        """Answer a gate; `payload_digest` is the one that was seen."""
        asked = read(self.Input, request.data)
        found = queries.gate_of(self.asker, gate)
        if self.asker.user is not None:
            self.asker.must(Verb.ANSWER_GATES)
        vote(found.pk, by=self.asker.principal, user=self.asker.user, channel="api", **asked)
        return Response(show(self, queries.gate_of(self.asker, gate)))


class Settle(Resource):
    """POST /v1/invocations/{id}/settle."""

    scopes = {"POST": Scope.APPROVALS_WRITE}

    @extend_schema_serializer(component_name="Settlement")
    class Input(serializers.Serializer[Any]):
        outcome = serializers.ChoiceField(choices=["succeeded", "failed"])
        because = serializers.CharField(max_length=2000)
        output = serializers.DictField(required=False)

    @extend_schema(request=Input, responses=CallShape)
    def post(self, request: Request, call: str) -> Response:
        """Say what really happened to a call of unknown effect."""
        asked = read(self.Input, request.data)
        calls = queries.calls_visible_to(self.asker)
        found = queries.found_or_refused(calls.filter(pk=queries.parse_id(call)).first(), "call", call)
        self.asker.must(Verb.SETTLE_CALLS)
        if self.asker.user is None:
            raise Refused("a person says what really happened, not a service account", code=Code.FORBIDDEN)
        settle_call(
            found.pk,
            by=self.asker.principal,
            because=asked["because"],
            outcome=asked["outcome"],
            output=asked.get("output"),
        )
        return Response(CallShape(calls.get(pk=found.pk)).data)
