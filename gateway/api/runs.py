"""/v1/runs: ask for runs, look at them, cancel them."""

from collections.abc import Sequence
from typing import Any

from django.utils.timezone import now
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.queries import Filter, page_of, visible_entries
from gateway.api.base import Resource, page_limit, paged, read
from gateway.api.parsing import time_of
from gateway.api.schema import IDEMPOTENCY, PAGING, page
from gateway.api.shapes import (
    ArtifactShape,
    BurnShape,
    CallShape,
    EntryShape,
    GateShape,
    ModelCallShape,
    PlanShape,
    RunShape,
    StepShape,
)
from gateway.idempotency import once
from gateway.keys import Scope
from gateway.model_queries import CallFilter, model_calls_visible_to
from governance import queries
from governance.actions.runs import cancel_run, request_run
from governance.core.explain import explain
from governance.core.permissions import Verb
from governance.core.states import RunState
from governance.models import Run, Source
from runtime.queries import snapshots
from runtime.tasks import capacity_lacking

RUNS_READ = {"GET": Scope.RUNS_READ}
FILTERS = [
    OpenApiParameter("state", str, description="only runs in this state; may be given several times"),
    OpenApiParameter("requester", str, description="only runs of this user name"),
    OpenApiParameter("since", str, description="only runs asked for at or after this time (RFC 3339)"),
    OpenApiParameter("until", str, description="only runs asked for before this time"),
]


def render_runs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Render runs with their why, in a fixed number of queries."""
    whys = {fact.id: explain(fact, now()) for fact in snapshots(runs, no_capacity=capacity_lacking())}
    for run in runs:
        run.why = whys[str(run.pk)]  # type: ignore[attr-defined]
        run.url = f"/v1/runs/{run.pk}"  # type: ignore[attr-defined]
    return [dict(RunShape(run).data) for run in runs]


class Runs(Resource):
    """POST and GET /v1/runs."""

    scopes = {"POST": Scope.TRIGGER_WRITE, "GET": Scope.RUNS_READ}

    @extend_schema_serializer(component_name="NewRun")
    class Input(serializers.Serializer[Any]):
        request = serializers.CharField(max_length=20_000, required=False)
        workflow = serializers.CharField(max_length=120, required=False)
        input = serializers.DictField(required=False)
        deliver_to = serializers.DictField(required=False)
        metadata = serializers.DictField(required=False)

    @extend_schema_serializer(component_name="AcceptedRun")
    class Accepted(serializers.Serializer[Any]):
        id = serializers.UUIDField()
        number = serializers.IntegerField()
        state = serializers.CharField()
        url = serializers.CharField()

    @extend_schema(
        request=Input,
        responses={202: Accepted},
        parameters=[IDEMPOTENCY],
    )
    def post(self, request: Request) -> Response:
        """Ask for a run."""
        asked = read(self.Input, request.data)
        self.asker.must(Verb.ASK_FOR_RUNS)
        if "workflow" in asked:
            raise Refused(
                "there are no workflows to start here yet",
                code=Code.NO_ACTIVE_DEPLOYMENT,
                recovery="Send a `request` in words.",
            )
        if "request" not in asked:
            raise serializers.ValidationError(
                {"request": [serializers.ErrorDetail("this field is missing", code="required")]}
            )
        status, answer = once(
            request.headers.get("Idempotency-Key", ""),
            workspace_id=self.asker.workspace_id,
            by=self.asker.principal,
            endpoint="POST /v1/runs",
            payload=request.data,
            create=lambda: self._create(asked),
        )
        return Response(answer, status=status)

    def _create(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        run = request_run(
            self.asker.workspace_id,
            by=self.asker.principal,
            user=self.asker.user,
            text=asked["request"],
            source=Source.API,
            deliver_to=asked.get("deliver_to"),
            metadata=asked.get("metadata"),
        )
        return 202, {"id": str(run.pk), "number": run.number, "state": run.state, "url": f"/v1/runs/{run.pk}"}

    @extend_schema(responses=page(RunShape), parameters=[*FILTERS, *PAGING])
    def get(self, request: Request) -> Response:
        """List runs, newest first, each with its why."""
        rows = queries.runs_visible_to(self.asker)
        wanted = request.query_params
        if states := wanted.getlist("state"):
            unknown = sorted(set(states) - set(RunState))
            if unknown:
                raise Refused(
                    f"a run is never {unknown[0]}", code=Code.BAD_REQUEST, recovery=f"States: {', '.join(RunState)}."
                )
            rows = rows.filter(state__in=states)
        if requester := wanted.get("requester"):
            rows = rows.filter(requester_name=f"user:{requester}")
        for name, lookup in (("since", "created_at__gte"), ("until", "created_at__lt")):
            if text := wanted.get(name):
                rows = rows.filter(**{lookup: time_of(name, text)})
        return paged(request, rows, render_runs)


class OneRun(Resource):
    """GET /v1/runs/{id}."""

    scopes = RUNS_READ

    @extend_schema(responses=RunShape)
    def get(self, request: Request, run: str) -> Response:
        """Show a run; `why` says in one sentence what it waits for."""
        return Response(render_runs([queries.run_of(self.asker, run)])[0])


class Cancel(Resource):
    """POST /v1/runs/{id}/cancel."""

    scopes = {"POST": Scope.RUNS_WRITE}

    @extend_schema_serializer(component_name="CancelRun")
    class Input(serializers.Serializer[Any]):
        because = serializers.CharField(max_length=2000)

    @extend_schema(request=Input, responses=RunShape)
    def post(self, request: Request, run: str) -> Response:
        """Cancel an open run with all that is open in it."""
        asked = read(self.Input, request.data)
        found = queries.run_of(self.asker, run)
        own = bool(self.asker.principal.persons & set(found.requester_persons))
        self.asker.must(Verb.CANCEL_OWN_RUNS if own else Verb.CANCEL_RUNS)
        cancel_run(found.pk, by=self.asker.principal, because=asked["because"])
        return Response(render_runs([queries.run_of(self.asker, run)])[0])


class Steps(Resource):
    """GET /v1/runs/{id}/steps."""

    scopes = RUNS_READ

    @extend_schema(responses=page(StepShape))
    def get(self, request: Request, run: str) -> Response:
        """List the steps of a run in their order."""
        steps = queries.steps_of(queries.run_of(self.asker, run))
        return Response({"items": StepShape(steps, many=True).data, "next_cursor": None})


class OnePlan(Resource):
    """GET /v1/runs/{id}/plan."""

    scopes = RUNS_READ

    @extend_schema(responses=PlanShape)
    def get(self, request: Request, run: str) -> Response:
        """Show the plan of a run: the one that holds, else the newest proposal."""
        plan = queries.plan_of(queries.run_of(self.asker, run))
        return Response(PlanShape(queries.found_or_refused(plan, "plan of run", run)).data)


class Gates(Resource):
    """GET /v1/runs/{id}/gates."""

    scopes = RUNS_READ

    @extend_schema(responses=page(GateShape), parameters=PAGING)
    def get(self, request: Request, run: str) -> Response:
        """List the decisions of a run, newest first."""
        gates = queries.gates_of(queries.run_of(self.asker, run))
        return paged(request, gates, lambda rows: GateShape(rows, many=True).data)


class Calls(Resource):
    """GET /v1/runs/{id}/invocations."""

    scopes = RUNS_READ

    @extend_schema(responses=page(CallShape), parameters=PAGING)
    def get(self, request: Request, run: str) -> Response:
        """List the skill calls of a run, newest first."""
        calls = queries.calls_of(queries.run_of(self.asker, run))
        return paged(request, calls, lambda rows: CallShape(rows, many=True).data)


class ModelCalls(Resource):
    """GET /v1/runs/{id}/model-calls."""

    scopes = RUNS_READ

    @extend_schema(responses=page(ModelCallShape), parameters=PAGING)
    def get(self, request: Request, run: str) -> Response:
        """List what the agents of a run asked of models and what it cost, newest first."""
        found = queries.run_of(self.asker, run)
        calls = model_calls_visible_to(self.asker, CallFilter(run=found.pk))
        return paged(request, calls, lambda rows: ModelCallShape(rows, many=True).data)


class Artifacts(Resource):
    """GET /v1/runs/{id}/artifacts."""

    scopes = RUNS_READ

    @extend_schema(responses=page(ArtifactShape), parameters=PAGING)
    def get(self, request: Request, run: str) -> Response:
        """List the artifacts of a run, newest first."""
        found = queries.run_of(self.asker, run)
        artifacts = queries.artifacts_visible_to(self.asker).filter(run=found)
        return paged(request, artifacts, lambda rows: ArtifactShape(rows, many=True).data)


class Burns(Resource):
    """GET /v1/runs/{id}/burns."""

    scopes = RUNS_READ

    @extend_schema(responses=page(BurnShape), parameters=PAGING)
    def get(self, request: Request, run: str) -> Response:
        """List the failures of a run, newest first."""
        found = queries.run_of(self.asker, run)
        burns = queries.burns_visible_to(self.asker).filter(run=found)
        return paged(request, burns, lambda rows: BurnShape(rows, many=True).data)


class Events(Resource):
    """GET /v1/runs/{id}/events."""

    scopes = RUNS_READ

    @extend_schema(responses=page(EntryShape), parameters=PAGING)
    def get(self, request: Request, run: str) -> Response:
        """Tell the whole story of a run from the ledger, newest first."""
        found = queries.run_of(self.asker, run)
        entries = visible_entries([self.asker.workspace_id], Filter(run=found.pk))
        found_page = page_of(entries, cursor=request.query_params.get("cursor", ""), limit=page_limit(request))
        return Response(
            {"items": EntryShape(found_page.entries, many=True).data, "next_cursor": found_page.next_cursor or None}
        )
