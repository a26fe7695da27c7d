"""/v1/audit: read a workspace's ledger, its seals, and the proof of an entry."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.core.codes import Code
from audit.core.ids import parse_id
from audit.core.refusals import Refused
from audit.models import Seal
from audit.queries import Filter, entry, page_of, visible_entries
from audit.sealing import proof_of
from gateway.api.base import Resource, page_limit
from gateway.api.parsing import time_of
from gateway.api.schema import PAGING, page
from gateway.api.shapes import EntryShape
from gateway.keys import Scope
from governance.core.permissions import Verb

AUDIT_READ = {"GET": Scope.AUDIT_READ}


class Entries(Resource):
    """GET /v1/audit/events."""

    scopes = AUDIT_READ

    @extend_schema(
        responses=page(EntryShape),
        parameters=[*PAGING]
        + [
            OpenApiParameter(name, str)
            for name in ("type", "subject", "actor", "run", "correlation_id", "since", "until", "text")
        ],
    )
    def get(self, request: Request) -> Response:
        """Search the ledger of the workspace, newest first."""
        self.asker.must(Verb.SEE_ALL_RUNS)
        wanted = request.query_params
        found = visible_entries(
            [self.asker.workspace_id],
            Filter(
                type=wanted.get("type", ""),
                subject=wanted.get("subject", ""),
                actor=wanted.get("actor", ""),
                run=parse_id(wanted["run"]) if wanted.get("run") else None,
                correlation_id=wanted.get("correlation_id", ""),
                since=time_of("since", wanted["since"]) if wanted.get("since") else None,
                until=time_of("until", wanted["until"]) if wanted.get("until") else None,
                text=wanted.get("text", ""),
            ),
        )
        shown = page_of(found, cursor=wanted.get("cursor", ""), limit=page_limit(request))
        return Response({"items": EntryShape(shown.entries, many=True).data, "next_cursor": shown.next_cursor or None})


class SealShape(serializers.Serializer[Any]):
    """A sealed batch and the signed head of the log after it."""

    number = serializers.IntegerField()
    sealed_at = serializers.DateTimeField()
    head = serializers.SerializerMethodField()

    def get_head(self, seal: Any) -> dict[str, Any]:
        head: dict[str, Any] = seal.head.as_json()
        return head


class Seals(Resource):
    """GET /v1/audit/seals."""

    scopes = AUDIT_READ

    @extend_schema(responses=page(SealShape), parameters=PAGING)
    def get(self, request: Request) -> Response:
        """List the newest seals: signed heads that say nothing about what was written, only that it stays."""
        self.asker.must(Verb.VERIFY_LEDGER)
        limit, seals = page_limit(request), Seal.objects.order_by("-number").defer("digests", "edge")
        if cursor := request.query_params.get("cursor"):
            if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):  # a bigint
                raise Refused("the cursor is not one that was given out", code=Code.BAD_REQUEST)
            seals = seals.filter(number__lt=int(cursor))
        found = list(seals[: limit + 1])
        last = str(found[limit - 1].number) if len(found) > limit else None
        return Response({"items": SealShape(found[:limit], many=True).data, "next_cursor": last})


class EntryProof(Resource):
    """GET /v1/audit/proof/{event}."""

    scopes = AUDIT_READ

    @extend_schema(responses={200: dict})
    def get(self, request: Request, event: int) -> Response:
        """Prove that one of the workspace's own entries stands in the log; `verify_ledger --proof` checks it anywhere."""
        found = entry(event, [self.asker.workspace_id])
        self.asker.must(Verb.VERIFY_LEDGER)
        return Response(proof_of(found).as_json())
