"""The page of a run: why it is where it is, its plan and time, its steps, and every decision, call and job of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from django.http import HttpRequest
from django.utils.timezone import now as clock

from gateway.model_queries import CallFilter, spend
from governance import queries
from governance.core.explain import Why, explain_step
from governance.core.permissions import Verb
from governance.core.states import GateState, StepState
from governance.models import Artifact, Budget, Gate, Run, SkillInvocation, Step
from governance.people import Asker, asker_in_session
from runtime.models import AgentJob
from runtime.queries import jobs_of
from worka_site.portal.drawing import plan_graph
from worka_site.portal.gantt import gantt
from worka_site.portal.links import to
from worka_site.portal.logs import log_lines_of
from worka_site.portal.looks import look_of
from worka_site.portal.paging import counted
from worka_site.portal.paper import Paper, paper
from worka_site.portal.registry import page
from worka_site.portal.run_drawings import gantt_rows, plan_nodes
from worka_site.portal.shapes import Crumb, Fact, StepLine, Tab
from worka_site.portal.stories import entries_about, story_of
from worka_site.portal.times import ago, span
from worka_site.portal.whys import Told, told
from worka_site.portal.wording import SOURCES, dollars

GATES, CALLS, JOBS, BURNS, ARTIFACTS, LOG_LINES = 8, 30, 20, 10, 20, 14
BUDGETS = {Budget.Kind.USD: "Money", Budget.Kind.TOKENS: "Tokens", Budget.Kind.INVOCATIONS: "Calls"}


@dataclass(frozen=True)
class _Rows:
    """All rows of a run that its page shows, read once."""

    steps: Sequence[Step]
    jobs: Sequence[AgentJob]
    calls: Sequence[SkillInvocation]
    held: Sequence[Gate]
    artifacts: Sequence[Artifact]


@page("governance.run.row")
def run_page(request: HttpRequest, run: Run) -> dict[str, Any]:
    """Return everything about a run that the person may see, in a fixed number of queries."""
    asker, now = asker_in_session(request), clock()
    known = told([run], now)[run.pk]
    plan = queries.plan_of(run)
    rows = _Rows(
        steps=list(queries.steps_of(run)),
        jobs=list(jobs_of([run]).order_by("-created_at")[:JOBS]),
        calls=list(queries.calls_of(run).order_by("-created_at")[:CALLS])[::-1],
        held=list(queries.gates_of(run).filter(effect="hold")[:CALLS]),
        artifacts=list(queries.artifacts_visible_to(asker).filter(run=run).order_by("-created_at")[:ARTIFACTS])[::-1],
    )
    gates = list(queries.gates_of(run)[:GATES])
    gates_total, calls_total = counted(queries.gates_of(run)), counted(queries.calls_of(run))
    burns = list(queries.burns_visible_to(asker).filter(run=run)[:BURNS])
    entries = entries_about(story_of(asker, run))
    log = _log(asker, run, rows.jobs)
    # What was at work when the run ended still goes on for a moment.
    ended = max(
        [now if run.is_open else run.finished_at or now, *(job.finished_at for job in rows.jobs if job.finished_at)]
    )
    graph = (
        plan_graph(plan_nodes(rows.steps), title=f"Plan of run {run.number}", caption=_caption(plan, rows))
        if rows.steps
        else None
    )
    timeline = gantt_rows(run, rows.steps, rows.jobs, rows.calls, rows.held, known.fact.planner)
    return {
        "title": f"Run {run.number}",
        "crumbs": [Crumb("Runs", to("governance_run_changelist")), Crumb(str(run.number))],
        "run": run,
        "why": _why(asker, run, known, rows, now),
        "answer": _answer(run),
        "tabs": _tabs(rows, gates_total, calls_total, len(burns), has_log=log is not None),
        "plan": plan,
        "plan_graph": graph,
        "plan_faults": plan.faults if plan else [],
        "gantt": gantt(timeline, now_s=(ended - run.created_at).total_seconds(), is_open=run.is_open, title=f"Timeline of run {run.number}"),
        "steps": _step_lines(known, rows, now),
        "log": log,
        "gates": gates,
        "gates_total": gates_total,
        "gates_href": to("governance_gate_changelist", run=run.number),
        "calls": rows.calls,
        "calls_total": calls_total,
        "calls_href": to("governance_skillinvocation_changelist", run=run.number),
        "jobs": rows.jobs,
        "burns": burns,
        "artifacts": rows.artifacts,
        "facts": _facts(asker, run, plan, gates, rows.held),
        "budgets": _budgets(asker, run, rows),
        "entries": entries,
        "ledger_href": to("audit_auditevent_changelist", run=run.pk),
        "now": now,
    }  # fmt: skip


def _why(asker: Asker, run: Run, known: Told, rows: _Rows, now: datetime) -> Any:
    why = known.why
    shown = SimpleNamespace(
        code=why.code, icon=look_of(run, why.code).icon, sentence=why.sentence, more="", href="", link=""
    )
    if why.code == "awaiting_approval":
        _point_to_gate(shown, asker, run, known, now)
    elif why.code == "awaiting_settlement":
        shown.href, shown.link = to("governance_skillinvocation_change", why.detail["invocation"]), "Look and settle"
    elif why.code == "frozen" and asker.may(Verb.FREEZE):
        shown.href, shown.link = to("freeze"), "Look at the freeze"
    elif job := _job_of(why, rows.jobs):
        shown.href, shown.link = to("runtime_agentjob_change", job.pk), "Look at the job"
    elif not run.is_open and run.state != "succeeded" and asker.may(Verb.ASK_FOR_RUNS):
        shown.href, shown.link = to("new_request", again=run.number), "Ask again"
    return shown


def _point_to_gate(shown: Any, asker: Asker, run: Run, known: Told, now: datetime) -> None:
    """Say who has answered and whether the reader may, and lead to the approval."""
    waiting = known.why.detail["gates"][0]
    mine = asker.user is not None and any(asker.user.username in each["may_answer"] for each in waiting["thresholds"])
    facts = [known.fact.gate, *(call.gate for step in known.fact.steps for call in step.calls)]
    gate = next((each for each in facts if each and each.id == waiting["id"]), None)
    words = [
        f"{vote.name.partition(':')[2] or vote.name} said {'yes' if vote.verdict == 'approve' else 'no'}{f' {ago(vote.at, now)}' if vote.at else ''}"
        for vote in (gate.votes if gate else ())
    ]
    if mine:
        words.append("you may answer")
    elif asker.principal.persons & set(run.requester_persons):
        words.append("you asked for it, so somebody else answers")
    text = "; ".join(words)
    shown.more = f"{text[:1].upper()}{text[1:]}." if text else ""
    shown.href = to("governance_gate_change", waiting["id"])
    shown.link = "Look and answer" if mine else "Look at it"


def _job_of(why: Why, jobs: Sequence[AgentJob]) -> AgentJob | None:
    return next((job for job in jobs if job.name == why.detail.get("job")), None)


def _answer(run: Run) -> Paper | None:
    """Return what the requester is told: the text of the last step's output, else its summary."""
    outcome = run.outcome if isinstance(run.outcome, dict) else {}
    output = outcome.get("output")
    text = output.get("text") if isinstance(output, dict) else None
    text = text if isinstance(text, str) else outcome.get("summary")
    return paper(text.encode(), "text/markdown") if isinstance(text, str) and text else None


def _tabs(rows: _Rows, gates: int, calls: int, burns: int, *, has_log: bool) -> list[Tab]:
    tabs = [Tab("Plan", "#h-plan", is_current=True)]
    if rows.steps:
        tabs.append(Tab("Steps", "#h-steps", str(len(rows.steps))))
    if has_log:
        tabs.append(Tab("Log", "#h-log"))
    tabs.append(Tab("Gates", "#h-gates", str(gates or "")))
    if calls:
        tabs.append(Tab("Calls", "#h-calls", str(calls)))
    if rows.jobs:
        tabs.append(Tab("Jobs", "#h-jobs", str(len(rows.jobs))))
    if burns:
        tabs.append(Tab("Burns", "#h-burns", str(burns)))
    return [*tabs, Tab("Cost", "#h-cost"), Tab("Ledger", "#h-ledger")]


def _caption(plan: Any, rows: _Rows) -> str:
    if plan is None:
        return ""
    planning = next((job for job in rows.jobs if job.step_id is None and job.started_at and job.finished_at), None)
    took = (
        f" in {span(planning.finished_at - planning.started_at)}"
        if planning and planning.finished_at and planning.started_at
        else ""
    )
    source = f" from the playbook {plan.playbook_name}" if plan.playbook_name else ""
    return f"{plan.created_by} planned this{took}{source}"


def _step_lines(known: Told, rows: _Rows, now: datetime) -> list[StepLine]:
    numbers = {step.pk: step.sequence for step in rows.steps}
    facts = {fact.id: fact for fact in known.fact.steps}
    lines = []
    for step in rows.steps:
        result = step.result_redacted if isinstance(step.result_redacted, dict) else {}
        took = (step.completed_at - step.started_at).total_seconds() if step.completed_at and step.started_at else None
        lines.append(
            StepLine(
                step,
                tuple(sorted(numbers[need] for need in step.depends_on if need in numbers)),
                str(result.get("summary", "")),
                [artifact for artifact in rows.artifacts if artifact.step_id == step.pk],
                took if step.is_final else None,
                _waits(step, known, facts, numbers, now),
            )
        )
    return lines


def _waits(step: Step, known: Told, facts: Any, numbers: Any, now: datetime) -> str:
    fact = facts.get(str(step.pk))
    if step.is_final or fact is None or not known.fact.is_open:
        return ""
    if step.state == StepState.PENDING:
        needed = sorted(numbers[need] for need in step.depends_on if need in numbers)
        return f"Waits for step {' and '.join(str(number) for number in needed)}." if needed else ""
    if step.state == StepState.SUSPENDED and explain_step(known.fact, fact, now).code == "awaiting_approval":
        return "The agent has stored its state and left. Nothing runs while people think."
    return explain_step(known.fact, fact, now).sentence


def _log(asker: Asker, run: Run, jobs: Sequence[AgentJob]) -> Any:
    """Return the end of the log of the job that is at work, else of the last one that said anything."""
    if not queries.may_read_payloads(asker, run):
        return None
    live = next((job for job in jobs if not job.is_final), None)
    job = live or next((job for job in jobs if job.log_tail), None)
    if job is None:
        return None
    return SimpleNamespace(job=job, lines=log_lines_of(job, most=LOG_LINES), is_live=not job.is_final)


def _facts(asker: Asker, run: Run, plan: Any, gates: Sequence[Gate], held: Sequence[Gate]) -> list[Fact]:
    digests = gates[0].manifest_digests if gates else []
    manifests = {
        row.digest: row
        for row in queries.manifests_visible_to(asker).filter(digest__in=digests).defer("source", "compiled")
    }
    own = next((manifests[digest] for digest in reversed(digests) if digest in manifests), None)
    facts = [
        Fact("Workspace", run.workspace.name),
        Fact("Source", SOURCES.get(run.source, run.source)),
        Fact("Asked", run.created_at, "time"),
    ]
    if run.started_at:
        facts.append(Fact("Started", run.started_at, "time"))
    if run.finished_at:
        facts.append(Fact("Ended", run.finished_at, "time"))
    else:
        asked = [gate.created_at for gate in held if gate.state == GateState.WAITING]
        left = f"{span(run.deadline_at - min(asked))} of work, waiting for people not counted" if asked else ""
        facts.append(Fact("Deadline", left) if left else Fact("Deadline", run.deadline_at, "time"))
    if own:
        facts.append(Fact("Policy", f"version {own.version}", href=to("governance_policymanifest_change", own.pk)))
    if plan and plan.plan_hash:
        facts.append(Fact("Plan hash", plan.plan_hash, "cut"))
    facts.append(Fact("Run id", run.pk, "digest"))
    if run.correlation_id:
        facts.append(Fact("Correlation", run.correlation_id, "digest"))
    return facts


def _budgets(asker: Asker, run: Run, rows: _Rows) -> list[Fact]:
    budgets = sorted(queries.budgets_of(run), key=lambda row: list(BUDGETS).index(Budget.Kind(row.kind)))
    facts = []
    for budget in budgets:
        used = budget.spent + budget.reserved
        limit = "" if budget.limit is None else f" of {_amount(budget.kind, budget.limit)}"
        facts.append(Fact(BUDGETS[Budget.Kind(budget.kind)], f"{_amount(budget.kind, used)}{limit}"))
    facts += _models(asker, run, next((each.limit for each in budgets if each.kind == Budget.Kind.USD), None))
    worked = sum(((job.finished_at or clock()) - job.started_at).total_seconds() for job in rows.jobs if job.started_at)
    facts.append(Fact("Agents worked", span(worked)))
    if rows.steps:
        done = sum(step.state == StepState.SUCCEEDED for step in rows.steps)
        facts.append(Fact("Steps", f"{done} of {len(rows.steps)} done"))
    return facts


def _models(asker: Asker, run: Run, limit: Decimal | None) -> list[Fact]:
    """Return what the run has asked of models and what that cost, with the way to the calls; nothing where it asked none."""
    used = spend(asker, CallFilter(run=run.pk))
    if not used.calls:
        return []
    cost = dollars(used.cost_usd) + ("" if limit is None else f" of {dollars(limit)}")
    said = f"{used.calls:,} {'call' if used.calls == 1 else 'calls'}, {used.tokens:,} tokens, {cost}"
    return [Fact("Models", said, href=to("gateway_llmcall_changelist", by="calls", run=run.number))]


def _amount(kind: str, amount: Decimal) -> str:
    return f"${amount:,.2f}" if kind == Budget.Kind.USD else f"{int(amount):,}"
