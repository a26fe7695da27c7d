"""Models: what agents have asked of them and what it cost, by day, agent, model and run, and call by call."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.ledger import subject_of
from gateway.llm import configured_model
from gateway.model_queries import (
    CallFilter,
    Spend,
    first_of_the_last,
    model_calls_visible_to,
    spend,
    spend_by_agent,
    spend_by_day,
    spend_by_model,
    spend_by_run,
)
from gateway.models import LlmCall
from governance import queries
from governance.people import Asker, asker_in_session
from worka_site.portal.charts import Column, columns
from worka_site.portal.links import to, to_run
from worka_site.portal.paging import page_of
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb, Fact, Tab
from worka_site.portal.stories import entries_about, history_of
from worka_site.portal.times import span
from worka_site.portal.wording import dollars

LIST = "gateway_llmcall_changelist"
TABS = {"day": "By day", "agent": "By agent", "model": "By model", "run": "By run", "calls": "Calls"}
DAYS, DEAREST, LONGEST_NAME = 14, 50, 128


@dataclass(frozen=True, slots=True)
class SpendLine:
    """What one day, agent, model or run has used; `href` leads to its calls, where there is such a list."""

    name: str
    used: Spend
    href: str = ""
    about: str = ""
    about_href: str = ""


@page("gateway.llmcall.list")
def models_page(request: HttpRequest) -> dict[str, Any]:
    """Return what models have cost, summed as `?by=` says, or the calls: all, of one run, of one agent or model."""
    asker, now = asker_in_session(request), clock()
    by = request.GET.get("by", "")
    by = by if by in TABS else "day"
    context = {
        "title": "Models",
        "headline": "Models",
        "crumbs": [Crumb("Models")],
        "tabs": [Tab(label, "?" if key == "day" else f"?by={key}", is_current=key == by) for key, label in TABS.items()],
        "by": by,
        "noun": TABS[by].removeprefix("By ").capitalize(),
        "days": DAYS,
        "dearest": DEAREST,
        "configured": configured_model(),
        "now": now,
    }  # fmt: skip
    shown = _calls(request, asker) if by == "calls" else _sums(asker, by, now)
    return {**context, **shown}


def _sums(asker: Asker, by: str, now: datetime) -> dict[str, Any]:
    first = first_of_the_last(DAYS)
    wanted = CallFilter(since=first)
    total = spend(asker, wanted)
    if by == "day":
        used = spend_by_day(asker, wanted)
        lines = [SpendLine(_day(each), used[each]) for each in sorted(used, reverse=True)]
        return {"total": total, "lines": lines, "chart": cost_chart(used, first.date()) if lines else ""}
    if by == "run":
        runs = spend_by_run(asker, wanted, most=DEAREST)
        return {
            "total": total,
            "lines": [
                SpendLine(f"Run {run.number}", each, to(LIST, by="calls", run=run.number), run.request_text, to_run(run.pk))
                for run, each in runs
            ],
        }  # fmt: skip
    named = spend_by_agent(asker, wanted) if by == "agent" else spend_by_model(asker, wanted)
    return {
        "total": total,
        "lines": [SpendLine(name, each, to(LIST, **{"by": "calls", by: name})) for name, each in named],
    }


def cost_chart(used: dict[date, Spend], first: date) -> Any:
    """Draw what each of the days since the first has cost; what is reserved for calls at work stands on it."""
    days = [first + timedelta(days=number) for number in range(DAYS)]
    found = [used.get(day, Spend()) for day in days]
    drawn = [Column(0, (("work", float(each.cost_usd)), ("wait", float(each.reserved_usd)))) for each in found]
    return columns(
        drawn,
        title=f"Cost of models per day, the last {DAYS} days, US dollars",
        feet=(_day(days[0]), _day(days[DAYS // 2]), "today"),
        prefix="cost",
    )


def _calls(request: HttpRequest, asker: Asker) -> dict[str, Any]:
    number = request.GET.get("run", "")
    run = queries.run_of(asker, number) if number.isascii() and number.isdecimal() and len(number) < 10 else None
    agent, model = (request.GET.get(name, "").replace("\0", "")[:LONGEST_NAME] for name in ("agent", "model"))
    wanted = CallFilter(run=run.pk if run else None, agent=agent, model=model)
    rows, pages = page_of(request, model_calls_visible_to(asker, wanted))
    context: dict[str, Any] = {
        "calls": rows,
        "pages": pages,
        "only": [Fact("agent", agent)] * bool(agent) + [Fact("model", model)] * bool(model),
        "is_filtered": wanted != CallFilter(),
        "total": spend(asker, wanted) if run else None,
    }
    if run:
        runs = Crumb("Runs", to("governance_run_changelist"))
        context["headline"] = context["title"] = f"Models asked in run {run.number}"
        context["crumbs"] = [runs, Crumb(str(run.number), to_run(run.pk)), Crumb("Models")]
    return context


@page("gateway.llmcall.row")
def model_call_page(request: HttpRequest, call: LlmCall) -> dict[str, Any]:
    """Return a call of a model: who asked which, what it used and cost, and how it ended. What was said is not kept."""
    asker = asker_in_session(request)
    return {
        "title": f"Call of {call.model}",
        "crumbs": [
            Crumb("Models", to(LIST)),
            Crumb(f"Run {call.run.number}", to(LIST, by="calls", run=call.run.number)),
            Crumb("Call"),
        ],
        "call": call,
        "run": call.run,
        "step": call.step,
        "used": used_by(call),
        "facts": facts_of(call),
        "entries": entries_about(history_of(asker, subject_of(call))),
        "now": clock(),
    }


def used_by(call: LlmCall) -> list[Fact]:
    """Return what a call has used: of which kind, and of what was reserved for it."""
    facts = [Fact("Cost", dollars(call.cost_usd))] if call.is_final else []
    facts.append(
        Fact("Reserved", f"{dollars(call.reserved_usd)} and {call.reserved_tokens:,} tokens, the most it could use")
    )
    counted = {
        "Tokens in": call.input_tokens,
        "Written to the cache": call.cache_write_tokens,
        "Read from the cache": call.cache_read_tokens,
        "Tokens out": call.output_tokens,
    }
    if call.is_counted:
        facts += [Fact(key, f"{amount:,}") for key, amount in counted.items() if amount or key.startswith("Tokens")]
    elif call.is_final and call.cost_usd:
        facts.append(Fact("Tokens", "nobody knows, so all that was reserved is counted"))
    return facts


def facts_of(call: LlmCall) -> list[Fact]:
    """Return who asked which model when, and what was decided about it."""
    facts = [
        Fact("Model", call.model, "code"),
        Fact("Provider", call.provider),
        Fact("Agent", f"{call.agent_name}, attempt {call.attempt}"),
        Fact("Job", call.job_name, "code"),
        Fact("Answer", "streamed" if call.streamed else "in one piece"),
        Fact("Asked", call.created_at, "time"),
    ]
    if call.finished_at:
        facts += [Fact("Ended", call.finished_at, "time"), Fact("Took", span(call.finished_at - call.created_at))]
    else:
        facts.append(Fact("Counted in full", call.lease_until, "time"))
    if call.stop_reason:
        facts.append(Fact("Stopped because", call.stop_reason, "code"))
    facts += [Fact("Decision", call.gate.reason), Fact("Request digest", call.request_digest, "cut")]
    if call.request_id:
        facts.append(Fact("Provider’s request", call.request_id, "code"))
    return facts


def _day(day: date) -> str:
    return f"{day.day} {day:%b}"
