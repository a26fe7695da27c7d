"""Calls: everything that agents had done through the gateway, and settling what nobody knows the outcome of."""

from typing import Any

from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.ledger import subject_of
from governance import queries
from governance.admin.calls import why_not_settle
from governance.core.states import InvocationState
from governance.models import SkillInvocation
from governance.people import asker_in_session
from worka_site.portal.links import to, to_run
from worka_site.portal.looks import SIDE_EFFECT
from worka_site.portal.paging import counted, page_of
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb, Fact, Tab
from worka_site.portal.stories import entries_about, history_of
from worka_site.portal.times import span
from worka_site.portal.wording import deed

STOPPED = ("failed", "denied", "cancelled")


@page("governance.skillinvocation.list")
def calls_page(request: HttpRequest) -> dict[str, Any]:
    """Return a page of calls: all, those of one run (`?run=` its number), those to settle, or those that came to nothing."""
    asker = asker_in_session(request)
    calls = queries.calls_visible_to(asker)
    need, run = request.GET.get("need", ""), request.GET.get("run", "")
    crumbs = [Crumb("Calls")]
    if run.isascii() and run.isdecimal() and len(run) < 10:
        found = queries.run_of(asker, run)
        calls = calls.filter(run=found)
        crumbs = [Crumb("Runs", to("governance_run_changelist")), Crumb(run, to_run(found.pk)), Crumb("Calls")]
    else:
        run = ""
    unknown = calls.filter(state=InvocationState.UNKNOWN)
    shown = {"settle": unknown, "stopped": calls.filter(state__in=STOPPED)}.get(need, calls)
    rows, pages = page_of(request, shown)
    here = to("governance_skillinvocation_changelist", run=run)
    return {
        "title": f"Calls of run {run}" if run else "Calls",
        "headline": f"Calls of run {run}" if run else "Calls",
        "crumbs": crumbs,
        "tabs": [
            Tab("All", here, is_current=need not in ("settle", "stopped")),
            Tab("To settle", to("governance_skillinvocation_changelist", run=run, need="settle"), str(counted(unknown) or ""), is_current=need == "settle"),
            Tab("Came to nothing", to("governance_skillinvocation_changelist", run=run, need="stopped"), is_current=need == "stopped"),
        ],
        "calls": rows,
        "pages": pages,
        "now": clock(),
    }  # fmt: skip


@page("governance.skillinvocation.row")
def call_page(request: HttpRequest, call: SkillInvocation) -> dict[str, Any]:
    """Return a call with its input and output, redacted, and what stands behind it."""
    asker = asker_in_session(request)
    is_unknown = call.state == InvocationState.UNKNOWN
    done = deed(call.skill_name, call.input_redacted)
    return {
        "title": done,
        "crumbs": [
            Crumb("Runs", to("governance_run_changelist")),
            Crumb(str(call.run.number), to_run(call.run_id)),
            Crumb(f"Call {call.call_id}"),
        ],
        "call": call,
        "run": call.run,
        "step": call.step,
        "headline": f"Did {done} happen?" if is_unknown else done,
        "why_not": why_not_settle(request.user, call) if is_unknown else "",
        "gate_href": to("governance_gate_change", call.gate_id)
        if call.gate_id and call.gate and call.gate.effect == "hold"
        else "",
        "facts": _facts(call),
        "entries": entries_about(history_of(asker, subject_of(call))),
        "now": clock(),
    }


def _facts(call: SkillInvocation) -> list[Fact]:
    facts = [
        Fact("Skill", call.skill_name, "code"),
        Fact("Call", call.call_id, "code"),
        Fact("Effect", SIDE_EFFECT[call.side_effect].word),
        Fact("Repeating it", "does no harm" if call.idempotent else "could do it twice"),
        Fact("Asked", call.created_at, "time"),
    ]
    if call.started_at:
        facts.append(Fact("Started", call.started_at, "time"))
    if call.finished_at:
        facts.append(Fact("Ended", call.finished_at, "time"))
    if call.started_at and call.finished_at:
        facts.append(Fact("Took", span(call.finished_at - call.started_at)))
    if call.gate:
        facts.append(Fact("Decision", call.gate.reason))
    if call.lock_key:
        facts.append(Fact("Lock", f"{call.lock_key}, {call.lock_status}"))
    facts += [
        Fact("Input digest", call.input_digest, "cut"),
        Fact("Payload digest", call.payload_digest, "cut"),
        Fact("Skill digest", call.skill_digest, "cut"),
    ]
    return facts
