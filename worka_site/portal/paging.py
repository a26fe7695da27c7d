"""Lists without an end: a seek by time and id, as fast on the last page as on the first, and never a count."""

from typing import Any

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from audit.core.codes import Code
from audit.core.ids import parse_id
from audit.core.refusals import Refused
from worka_site.portal.shapes import Pages

PAGE = 25
COUNTED = 999  # a figure that says how much waits; beyond it, more is said no more exactly


def page_of(
    request: HttpRequest, rows: QuerySet[Any], *, order: str = "created_at", size: int = PAGE
) -> tuple[list[Any], Pages]:
    """Return the rows of a page, newest first, and the way to the next ones: `?before=<id>` or `?after=<id>`.

    Refuses a cursor that names no row with bad_request.
    """
    if after := request.GET.get("after"):
        newer = list(rows.filter(_beyond(rows.model, after, order, "gt")).order_by(order, "pk")[: size + 1])
        # Less than a page is left: that is the first one.
        if len(newer) > size:
            found = newer[size - 1 :: -1]
            return found, Pages(newer=_href(request, after=found[0].pk), older=_href(request, before=found[-1].pk))
    before = "" if after else request.GET.get("before", "")
    if before:
        rows = rows.filter(_beyond(rows.model, before, order, "lt"))
    found = list(rows.order_by(f"-{order}", "-pk")[: size + 1])
    shown = found[:size]
    return shown, Pages(
        newer=_href(request, after=shown[0].pk) if before and shown else "",
        older=_href(request, before=shown[-1].pk) if len(found) > size else "",
    )


def counted(rows: QuerySet[Any]) -> int:
    """Count rows that wait for somebody, at most `COUNTED`."""
    return rows.order_by()[:COUNTED].count()


def _beyond(model: type[Model], cursor: str, order: str, side: str) -> Q:
    moment = model._default_manager.filter(pk=parse_id(cursor)).values_list(order, flat=True).first()
    if moment is None:
        raise Refused("the cursor is not one that was given out", code=Code.BAD_REQUEST)
    return Q(**{f"{order}__{side}": moment}) | Q(**{order: moment, f"pk__{side}": cursor})


def _href(request: HttpRequest, **cursor: Any) -> str:
    query = request.GET.copy()
    for name in ("before", "after"):
        query.pop(name, None)
    for name, value in cursor.items():
        query[name] = str(value)
    return f"?{query.urlencode()}"
