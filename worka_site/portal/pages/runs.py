"""The list of runs: every request, why it is where it is, and how far."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils.timezone import now as clock

from governance import queries
from governance.core.permissions import Verb
from governance.core.states import RunState
from governance.people import asker_in_session
from worka_site.portal.looks import RUN
from worka_site.portal.paging import counted, page_of
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb, Filter, Hidden, Tab
from worka_site.portal.whys import run_lines
from worka_site.portal.wording import SOURCES

PERIODS = {"today": "Today", "7d": "Last 7 days", "30d": "Last 30 days"}
NEEDS = ("person", "work", "mine")
LONGEST_SEARCH = 200


@page("governance.run.list")
def runs_page(request: HttpRequest) -> dict[str, Any]:
    """Return a page of runs with their whys; what is no filter is ignored, as an old address may hold it."""
    asker, now = asker_in_session(request), clock()
    members = queries.member_names(asker)
    agents = list(queries.agents().values_list("name", flat=True))

    def one_of(name: str, known: Any) -> str:
        given = request.GET.get(name, "")
        return given if given in known else ""

    period = one_of("period", PERIODS)
    text = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH]
    wanted = queries.RunFilter(
        need=one_of("need", NEEDS),
        state=one_of("state", RUN),
        requester=one_of("requester", members),
        source=one_of("source", SOURCES),
        agent=one_of("agent", agents),
        since=_beginning(period, now),
        text=text,
    )
    found, pages = page_of(request, queries.runs_matching(asker, wanted))
    people = counted(queries.runs_matching(asker, queries.RunFilter(need="person")))
    filters = [
        Filter.of("state", "State", [(str(state), RUN[state].word) for state in RunState], wanted.state),
        Filter.of("period", "Period", PERIODS.items(), period, any_label="Always"),
        Filter.of("agent", "Agent", [(name, name) for name in agents], wanted.agent),
        Filter.of("source", "Source", SOURCES.items(), wanted.source),
    ]
    if members:
        filters.insert(
            1,
            Filter.of(
                "requester", "Asked by", [(name, name) for name in members], wanted.requester, any_label="Anyone"
            ),
        )
    return {
        "title": "Runs",
        "crumbs": [Crumb("Runs")],
        "may_request": asker.may(Verb.ASK_FOR_RUNS),
        "tabs": [
            Tab("All", "?", is_current=not wanted.need),
            Tab("Needs a person", "?need=person", str(people or ""), is_current=wanted.need == "person"),
            Tab("At work", "?need=work", is_current=wanted.need == "work"),
            Tab("Mine", "?need=mine", is_current=wanted.need == "mine"),
        ],
        "q": text,
        "filters": filters,
        "hidden": [Hidden("need", wanted.need)] if wanted.need else [],
        "is_filtered": wanted != queries.RunFilter() or "before" in request.GET,
        "runs": run_lines(found, now),
        "pages": pages,
        "now": now,
    }


def _beginning(period: str, now: datetime) -> datetime | None:
    if period == "today":
        return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return now - timedelta(days=int(period.removesuffix("d"))) if period else None
