"""/v1/models/spend: what agents have used of models, summed by day, agent, model or run."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway import model_queries as queries
from gateway.api.base import Resource
from gateway.keys import Scope
from governance.people import Asker

WAYS = ("day", "agent", "model", "run")
DAYS, MOST_DAYS, MOST_RUNS = 14, 366, 200


class SpendShape(serializers.Serializer[Any]):
    """What some calls of models have used; `reserved_usd` is what those at work can cost beyond `cost_usd`."""

    calls = serializers.IntegerField()
    unanswered = serializers.IntegerField()
    tokens_in = serializers.IntegerField()
    tokens_out = serializers.IntegerField()
    cost_usd = serializers.DecimalField(max_digits=20, decimal_places=6)
    reserved_usd = serializers.DecimalField(max_digits=20, decimal_places=6)
    last_at = serializers.DateTimeField(allow_null=True)


class SpendLineShape(SpendShape):
    """What one day (a date in UTC), agent, model or run (its number) has used; `run` is the run's id."""

    name = serializers.CharField()
    run = serializers.UUIDField(allow_null=True)


class SpendAnswer(serializers.Serializer[Any]):
    """The sums of a period, the newest day or the dearest first, and all of it together."""

    by = serializers.ChoiceField(choices=WAYS)
    since = serializers.DateTimeField()
    total = SpendShape()
    items = SpendLineShape(many=True)


class ModelSpend(Resource):
    """GET /v1/models/spend."""

    scopes = {"GET": Scope.RUNS_READ}

    @extend_schema(
        responses=SpendAnswer,
        parameters=[
            OpenApiParameter("by", str, enum=WAYS, description="what is summed by; `day` unless told"),
            OpenApiParameter("days", int, description=f"how many days back, 1 to {MOST_DAYS}; {DAYS} unless told"),
        ],
    )
    def get(self, request: Request) -> Response:
        """Sum what the calls of models have used that the caller may see; of runs, the dearest 200."""
        by, text = request.query_params.get("by", "day"), request.query_params.get("days", str(DAYS))
        if by not in WAYS:
            raise Refused(f"`by` is one of {', '.join(WAYS)}", code=Code.BAD_REQUEST)
        days = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else 0
        if not 0 < days <= MOST_DAYS:
            raise Refused(f"`days` is a number from 1 to {MOST_DAYS}", code=Code.BAD_REQUEST)
        wanted = queries.CallFilter(since=queries.first_of_the_last(days))
        told = {"by": by, "since": wanted.since, "total": queries.spend(self.asker, wanted)}
        return Response(SpendAnswer({**told, "items": _lines(self.asker, by, wanted)}).data)


def _lines(asker: Asker, by: str, wanted: queries.CallFilter) -> list[dict[str, Any]]:
    match by:
        case "day":
            used = queries.spend_by_day(asker, wanted)
            return [_line(day.isoformat(), used[day]) for day in sorted(used, reverse=True)]
        case "run":
            runs = queries.spend_by_run(asker, wanted, most=MOST_RUNS)
            return [_line(str(run.number), each, run=run.pk) for run, each in runs]
        case "agent":
            return [_line(name, each) for name, each in queries.spend_by_agent(asker, wanted)]
    return [_line(name, each) for name, each in queries.spend_by_model(asker, wanted)]


def _line(name: str, used: queries.Spend, run: Any = None) -> dict[str, Any]:
    return {"name": name, "run": run, **asdict(used)}
