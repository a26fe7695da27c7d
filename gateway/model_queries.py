"""What people may see of the calls of models, and what these have used: summed by the data base, never row by row."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, DecimalField, Max, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, TruncDate
from django.utils.timezone import now

from gateway.models import LlmCall
from governance import queries
from governance.core.states import ModelCallState
from governance.models import Run
from governance.people import Asker

NOTHING = Decimal(0)
UNANSWERED = (ModelCallState.FAILED, ModelCallState.LEFT, ModelCallState.LOST)


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls are meant; empty fields match everything, and `since` is when they were made at the earliest."""

    run: UUID | None = None
    agent: str = ""
    model: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """What some calls have used. `reserved_usd` is the most that those still at work can cost, beyond `cost_usd`.

    Tokens that a cache was written with or read from are counted as going in. A call that nobody counted has no tokens,
    and costs all that was reserved for it.
    """

    calls: int = 0
    unanswered: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: Decimal = NOTHING
    reserved_usd: Decimal = NOTHING
    last_at: datetime | None = None

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


def first_of_the_last(days: int) -> datetime:
    """Return when the first of so many days began (UTC), of which today is the last."""
    return now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)


def model_calls_visible_to(asker: Asker, wanted: CallFilter | None = None) -> QuerySet[LlmCall]:
    """Return the calls of models in the runs that the asker may see."""
    calls = LlmCall.objects.filter(workspace=asker.workspace_id, run__in=queries.runs_visible_to(asker))
    if wanted is not None:
        same = {
            "run": wanted.run, "agent_name": wanted.agent, "model": wanted.model, "created_at__gte": wanted.since,
        }  # fmt: skip
        calls = calls.filter(**{name: value for name, value in same.items() if value})
    return calls.select_related("run", "step", "gate")


def spend(asker: Asker, wanted: CallFilter | None = None) -> Spend:
    """Return what the calls that the asker may see, and means, have used together."""
    return Spend(**model_calls_visible_to(asker, wanted).aggregate(**_sums()))


def spend_by_day(asker: Asker, wanted: CallFilter) -> dict[date, Spend]:
    """Return what was used on each day (UTC) on which a model was asked."""
    return {row.pop("day"): Spend(**row) for row in _grouped(asker, wanted, day=TruncDate("created_at", tzinfo=UTC))}


def spend_by_agent(asker: Asker, wanted: CallFilter) -> list[tuple[str, Spend]]:
    """Return what each agent has used, the dearest first."""
    return _by_name(asker, wanted, "agent_name")


def spend_by_model(asker: Asker, wanted: CallFilter) -> list[tuple[str, Spend]]:
    """Return what each model was used for, the dearest first."""
    return _by_name(asker, wanted, "model")


def spend_by_run(asker: Asker, wanted: CallFilter, *, most: int) -> list[tuple[Run, Spend]]:
    """Return what each of the dearest runs has used, in two queries."""
    rows = list(_grouped(asker, wanted, "run_id").order_by("-cost_usd", "-last_at", "run_id")[:most])
    runs = Run.objects.in_bulk([row["run_id"] for row in rows])
    return [(runs[row.pop("run_id")], Spend(**row)) for row in rows]


def _by_name(asker: Asker, wanted: CallFilter, name: str) -> list[tuple[str, Spend]]:
    rows = _grouped(asker, wanted, name).order_by("-cost_usd", name)
    return [(row.pop(name), Spend(**row)) for row in rows]


def _grouped(asker: Asker, wanted: CallFilter, *names: str, **made: Any) -> QuerySet[Any, dict[str, Any]]:
    calls = model_calls_visible_to(asker, wanted).select_related(None).order_by()
    return calls.values(*names, **made).annotate(**_sums())


def _sums() -> dict[str, Any]:
    def tokens(name: str) -> Any:
        return Coalesce(Sum(f"{name}_tokens"), 0)

    def usd(name: str, **more: Any) -> Any:
        return Coalesce(Sum(f"{name}_usd", **more), Value(NOTHING), output_field=DecimalField())

    return {
        "calls": Count("pk"),
        "unanswered": Count("pk", filter=Q(state__in=UNANSWERED)),
        "tokens_in": tokens("input") + tokens("cache_write") + tokens("cache_read"),
        "tokens_out": tokens("output"),
        "cost_usd": usd("cost"),
        "reserved_usd": usd("reserved", filter=Q(state=ModelCallState.RUNNING)),
        "last_at": Max("created_at"),
    }
