"""The desk: what waits for me, what is stuck, what runs, and how the house does."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.core.refusals import Refused
from gateway.health import checks
from governance import queries
from governance.core.permissions import Verb
from governance.core.states import OPEN_RUN
from governance.models import Run
from governance.people import Asker, asker_in_session
from worka_site.portal.burning import burn_groups
from worka_site.portal.charts import Column, columns
from worka_site.portal.links import to, to_run
from worka_site.portal.paging import counted
from worka_site.portal.registry import page
from worka_site.portal.shapes import Item, Part, Tally
from worka_site.portal.times import clock as hour
from worka_site.portal.times import since as lasted
from worka_site.portal.whys import run_lines, told
from worka_site.portal.wording import gate_item, lost_item, number_word, things_wait

WAITING, MINE, STUCK, WATCHED = 10, 5, 6, 50
LATE = timedelta(minutes=15)
CHART_KEPT_S = 60
HOURS = 24
HEALTH_NAMES = {
    "database": "Data base", "broker": "Broker", "sealer": "Sealing of the ledger", "reconciler": "The tick",
    "backend": "Sandbox", "sinks": "Sinks of the ledger", "playbooks": "Playbooks",
}  # fmt: skip


@page("desk")
def desk(request: HttpRequest) -> dict[str, Any]:
    """Return what needs this person, then how everything does."""
    try:
        asker = asker_in_session(request)
    except Refused as refusal:
        return {"headline": "You are in no workspace yet", "subline": refusal.recovery, "is_outside": True}
    now = clock()
    asked, lost = queries.approvals_for(asker), queries.calls_to_settle(asker)
    waiting = [*map(gate_item, asked[:WAITING]), *map(lost_item, lost[:WAITING])]
    waiting.sort(key=lambda item: item.at or now)
    stuck = _stuck(asker, now)
    unhealthy, well = _health()
    return {
        "headline": things_wait(counted(asked.prefetch_related(None)) + counted(lost)),
        "oldest": waiting[0] if waiting else None,
        "subline": "You are asked when agents may not go on without you.",
        "may_request": asker.may(Verb.ASK_FOR_RUNS),
        "waiting": waiting,
        "stuck": stuck,
        "burns": burn_groups(asker)[:5],
        "mine": run_lines(_mine(asker, now), now),
        "tallies": _tallies(asker, now),
        "unhealthy": unhealthy,
        "well": well,
        "decisions": _decisions(asker, now),
        "now": now,
    }


def _mine(asker: Asker, now: datetime) -> list[Run]:
    """Return the person's own open runs, and those that ended in the last day, newest first."""
    runs = queries.runs_matching(asker, queries.RunFilter(need="mine"))
    recent = runs.filter(state__in=OPEN_RUN) | runs.filter(finished_at__gte=now - timedelta(days=1))
    return list(recent.order_by("-created_at")[:MINE])


def _stuck(asker: Asker, now: datetime) -> list[Item]:
    runs = list(queries.runs_visible_to(asker).filter(state__in=OPEN_RUN).order_by("state_changed_at")[:WATCHED])
    known = told(runs, now)
    items = []
    for run in runs:
        why = known[run.pk].why
        end = min(run.deadline_at, run.max_age_at) if why.code != "awaiting_approval" else run.max_age_at
        blocked = next((gate["unmeetable"] for gate in why.detail.get("gates", ()) if gate.get("unmeetable")), "")
        lead = f"Run {run.number}"
        if why.code == "stuck":
            items.append(
                Item(
                    "fail",
                    "stuck",
                    f"{lead} gives no sign of life",
                    to_run(run.pk),
                    sentence=why.sentence,
                    end=f"{lasted(why.since, now)} silent",
                    at=why.since,
                    at_word="at",
                )
            )
        elif blocked:
            items.append(
                Item(
                    "fail",
                    "held",
                    f"Nobody can answer what {lead.lower()} waits for",
                    to_run(run.pk),
                    sentence=why.sentence,
                    at=why.since,
                    at_word="waits",
                )
            )
        elif end - now < LATE:
            items.append(
                Item(
                    "wait",
                    "stuck",
                    f"{lead} will miss its deadline",
                    to_run(run.pk),
                    sentence=why.sentence,
                    until=end,
                    at=run.created_at,
                )
            )
    return items[:STUCK]


def _tallies(asker: Asker, now: datetime) -> list[Tally]:
    runs = "governance_run_changelist"
    going = queries.open_runs(asker)
    ended = queries.ended_runs(asker, now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0))

    def over(state: str, tone: str, icon: str, word: str) -> Tally:
        return Tally(ended.get(state, 0), tone, icon, word, to(runs, state=state, period="today"))

    return [
        Tally(going["person"], "wait", "held", "Waiting", to(runs, need="person")),
        Tally(going["work"], "work", "running", "At work", to(runs, need="work")),
        Tally(going["planning"], "work", "planning", "Planning", to(runs, state="planning")),
        over("succeeded", "done", "succeeded", "Done today"),
        over("failed", "fail", "failed", "Failed today"),
        over("refused", "fail", "refused", "Refused today"),
    ]


def _health() -> tuple[list[Part], str]:
    found = checks()
    ill = [check for check in found if not check.healthy]
    parts = [
        Part(
            HEALTH_NAMES.get(check.name, check.name),
            "bad" if check.essential else "warn",
            f"{check.detail[:1].upper()}{check.detail[1:]}.",
        )
        for check in ill
    ]
    well = len(found) - len(ill)
    if not ill:
        return [], f"All {number_word(well)} parts are well."
    return parts, f"{number_word(well).capitalize()} other {'part is' if well == 1 else 'parts are'} well."


def _decisions(asker: Asker, now: datetime) -> dict[str, Any] | None:
    if not asker.may(Verb.SEE_ALL_RUNS):
        return None
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    rows = cache.get_or_set(
        f"desk-decisions:{asker.workspace_id}:{first.isoformat()}",
        lambda: queries.decisions_by_hour(asker, first),
        CHART_KEPT_S,
    )
    if not rows:
        return None
    figures = {(at, effect): amount for at, effect, amount in rows}
    hours = [first + timedelta(hours=number) for number in range(HOURS)]

    def of(at: datetime, effect: str) -> int:
        return figures.get((at, effect), 0)

    drawn = [Column(of(at, "allow"), (("wait", of(at, "hold")), ("fail", of(at, "deny")))) for at in hours]
    feet = (hour(hours[0], hours[0]), hour(hours[HOURS // 2], hours[HOURS // 2]), "now")
    total = {effect: sum(of(at, effect) for at in hours) for effect in ("allow", "hold", "deny")}
    return {
        "svg": columns(drawn, title="Decisions per hour, the last 24 hours", feet=feet, prefix="dec"),
        "allowed": total["allow"], "held": total["hold"], "denied": total["deny"],
    }  # fmt: skip
