"""The inbox of what people are asked, and what they answered."""

from typing import Any

from django.http import HttpRequest
from django.utils.timezone import now as clock

from governance import approvals, queries
from governance.core.permissions import Verb
from governance.core.states import GateState
from governance.people import asker_in_session
from worka_site.portal.links import to, to_run
from worka_site.portal.paging import counted, page_of
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb, Tab
from worka_site.portal.wording import gate_deed, gate_item, lost_item, things_wait

SHOWN = 100
FINAL = (GateState.APPROVED, GateState.REJECTED, GateState.EXPIRED, GateState.WITHDRAWN)


@page("governance.gate.list")
def approvals_page(request: HttpRequest) -> dict[str, Any]:
    """Return what waits for this person and for others, or (`?need=decided`) what was answered; `?run=` all of one run."""
    asker = asker_in_session(request)
    run = request.GET.get("run", "")
    if run.isascii() and run.isdecimal() and len(run) < 10:
        return _of_run(request, run)
    waiting, unknown = queries.approvals_for(asker), queries.calls_to_settle(asker)
    mine, lost = counted(waiting.prefetch_related(None)), counted(unknown)
    is_decided = request.GET.get("need") == "decided"
    here = to("governance_gate_changelist")
    context: dict[str, Any] = {
        "title": "Approvals",
        "crumbs": [Crumb("Approvals")],
        "headline": things_wait(mine + lost),
        "tabs": [
            Tab("Waiting", here, str(mine + lost or ""), is_current=not is_decided),
            Tab("Decided", f"{here}?need=decided", is_current=is_decided),
            Tab("Calls", to("governance_skillinvocation_changelist")),
        ],
        "now": clock(),
    }
    if is_decided:
        gates, pages = page_of(request, approvals.held_gates(asker).filter(state__in=FINAL))
        for gate in gates:
            gate.deed, gate.answers = gate_deed(gate), list(gate.votes.all())
        return {**context, "gates": gates, "pages": pages, "gates_heading": "Decided", "is_decided": True}
    asked = list(waiting[:SHOWN])
    others = approvals.held_gates(asker).filter(state=GateState.WAITING).exclude(pk__in=[gate.pk for gate in asked])
    others_lost = [] if asker.may(Verb.SETTLE_CALLS) else queries.unsettled_calls(asker)[:SHOWN]
    return {
        **context,
        "waiting": [gate_item(gate) for gate in asked],
        "unknown": [lost_item(call) for call in unknown[:SHOWN]],
        "others": [*map(gate_item, others.order_by("expires_at", "pk")[:SHOWN]), *map(lost_item, others_lost)],
    }


def _of_run(request: HttpRequest, number: str) -> dict[str, Any]:
    """Return every decision about one run, newest first."""
    asker = asker_in_session(request)
    run = queries.run_of(asker, number)
    gates, pages = page_of(request, queries.gates_of(run))
    return {
        "title": f"Decisions about run {number}",
        "crumbs": [Crumb("Runs", to("governance_run_changelist")), Crumb(number, to_run(run.pk)), Crumb("Decisions")],
        "headline": f"Decisions about run {number}",
        "run_number": number,
        "tabs": [],
        "gates": gates,
        "pages": pages,
        "gates_heading": "All decisions",
        "now": clock(),
    }
