"""What each page is filled with, by example: the exact shape of every page's context."""

from datetime import timedelta
from types import SimpleNamespace as Namespace
from typing import Any

from django.urls import reverse

from audit.core.refusals import Fault
from audit.screens import Button, Pressable
from tests.browser import rows
from tests.browser.rows import NOW, RUN, at, hexes
from worka_site.portal.charts import Column, columns
from worka_site.portal.difference import difference
from worka_site.portal.drawing import PlanNode, plan_graph
from worka_site.portal.gantt import Bar, GanttRow, gantt
from worka_site.portal.paper import paper
from worka_site.portal.sentences import said
from worka_site.portal.shapes import (
    Ask,
    Crumb,
    Fact,
    Filter,
    Item,
    LogLine,
    Pages,
    Part,
    Reading,
    RuleLine,
    RunLine,
    StepLine,
    Tab,
    Tally,
    Voter,
)  # fmt: skip

WHY = "Waits for one more approval of operators to write reports/orders-since-v2.3.0.md"


def to(name: str, *args: Any) -> str:
    return reverse(f"admin:{name}", args=args)


def run_href() -> str:
    return to("governance_run_change", RUN.pk)


def entries() -> list[Any]:
    return [said(event, href=to("audit_auditevent_change", event.pk)) for event in rows.EVENTS]


def press(event: str, label: str, href: str, **more: Any) -> Pressable:
    return Pressable(Button(event, label, lambda *_, **__: None, lambda *_: True, **more), href)


def waiting() -> list[Item]:
    return [
        Item("wait", "held", "Write reports/orders-since-v2.3.0.md", to("governance_gate_change", rows.HELD.pk), "Run 142", run_href(),
             "of requester. It has read text that strangers wrote. One more yes is needed.", until=NOW + timedelta(minutes=38),
             at=at(5.6), at_word="waits"),
        Item("odd", "unknown", "Was the message to #releases sent?", to("governance_skillinvocation_change", rows.LOST.pk), "Run 139", run_href(),
             "the gateway stopped while slack.post_message ran. Look in Slack, then settle the call.", end="No expiry",
             at=NOW - timedelta(minutes=64), at_word="waits"),
    ]  # fmt: skip


def summary() -> dict[str, Any]:
    counts = {
        "governance_run_changelist": 8,
        "governance_gate_changelist": 2,
        "runtime_agentjob_changelist": 4,
        "governance_burn_changelist": 5,
    }
    return {"counts": counts, "workspace": "acme", "role": "admin, operators"}


def desk() -> dict[str, Any]:
    values = [Column(30 + 9 * (hour % 7), (("wait", hour % 3), ("fail", hour % 4 == 0))) for hour in range(24)]
    runs = to("governance_run_changelist")
    return {
        "headline": "Two things wait for you",
        "oldest": waiting()[0],
        "subline": "",
        "may_request": True,
        "waiting": waiting(),
        "stuck": [
            Item("fail", "stuck", "Run 138 gives no sign of life", run_href(), sentence="Step 2, ernest, attempt 1 of 3. Tried again in 40 s.",
                 end="14 min silent", at=NOW - timedelta(minutes=14), at_word="at"),
        ],
        "burns": [Namespace(kind="job_timeout", reason=rows.BURN.reason, count=3, last_at=rows.BURN.created_at, run_number=144,
                            run_href=run_href(), href=to("governance_burn_changelist"))],
        "mine": [RunLine(RUN, run_href(), "awaiting_approval", WHY, 2, 4)],
        "tallies": [
            Tally(3, "wait", "held", "Waiting", f"{runs}?need=person"),
            Tally(4, "work", "running", "Running", f"{runs}?state=running"),
            Tally(41, "done", "succeeded", "Done today", f"{runs}?state=succeeded"),
            Tally(0, "fail", "failed", "Failed today", f"{runs}?state=failed"),
        ],
        "unhealthy": [Part("Signing key", "warn", "87 days old; rotate before day 90.", icon="key")],
        "well": "Nine other parts are well. Sandbox: bubblewrap, all limits in force.",
        "decisions": {"svg": columns(values, title="Decisions per hour", feet=("14:00", "02:00", "now"), prefix="dec"),
                      "allowed": 1103, "held": 22, "denied": 13},
        "spend": {"svg": columns([Column(3.0), Column(0, (("work", 6.8),))], title="Spend per day", feet=("7 Nov", "", "today"), prefix="usd",
                                 limit=15, limit_word="limit $15"), "sentence": "Today $6.84 of $15.00"},
    }  # fmt: skip


def runs() -> dict[str, Any]:
    return {
        "title": "Runs",
        "crumbs": [Crumb("Runs")],
        "may_request": True,
        "tabs": [Tab("All", "?", "149", is_current=True), Tab("Needs a person", "?need=person", "4"), Tab("Mine", "?need=mine", "17")],
        "q": "",
        "filters": [
            Filter.of("state", "State", [("running", "Running"), ("failed", "Failed")], ""),
            Filter.of("requester", "Requester", [("requester", "requester")], "", any_label="Anyone"),
        ],
        "hidden": [],
        "is_filtered": False,
        "runs": [
            RunLine(RUN, run_href(), "awaiting_approval", WHY, 2, 4, 12120),
            RunLine(rows.Run(id=rows.key(143), number=143, state="refused", source="api", created_at=at(60), requester_name="user:approver",
                             request_text=f"Remove merged branches {rows.HOSTILE}"), run_href(), "finished", "Policy: agents never delete", 0, 2, 2),
            RunLine(rows.Run(id=rows.key(144), number=144, state="planning", source="web", created_at=at(90), requester_name="user:approver",
                             request_text="Which services still use TLS 1.1?"), run_href(), "awaiting_planner", "hari is planning, 11 s so far"),
        ],
        "pages": Pages(2, 14, 149, "run", {"state": "", "page": "2"}),
    }  # fmt: skip


def run() -> dict[str, Any]:
    nodes = [
        PlanNode(str(step.pk), step.sequence, step.objective, f"{step.agent_name}, direct", step.state, tuple(str(need) for need in step.depends_on),
                 note="2.4 s")
        for step in rows.STEPS
    ]  # fmt: skip
    lines = [
        GanttRow("Plan", "hari", (Bar(0.1, 1.2, "work", "1.1 s"),), tone="work"),
        GanttRow("1 Collect facts", "ernest", (Bar(1.3, 3.7, "done", "2.4 s"),), ((1.7, 2.3), (2.4, 3.1)), tone="done"),
        GanttRow("2 Write the report", "ernest", (Bar(3.8, 4.7, "done", "0.9 s"),), ((4.4, 4.5),), tone="done"),
        GanttRow("3 File the report", "ernest", (Bar(4.8, 5.6, "work"), Bar(5.6, None, "wait", "held, 3 h 22 min", is_wait=True)), ((5.2, 5.3),), tone="wait"),
        GanttRow("4 Tell the requester", "daneel", note="waits for step 3"),
    ]  # fmt: skip
    return {
        "title": "Run 142",
        "crumbs": [Crumb("Runs", to("governance_run_changelist")), Crumb("142")],
        "run": RUN,
        "why": Namespace(code="awaiting_approval", icon="held", sentence=WHY, more="approver said yes 4 min ago; you may answer.",
                         href=to("governance_gate_change", rows.HELD.pk), link="Look and answer"),
        "buttons": [press("cancel", "Cancel", "/admin/press/", icon="close", tone="danger", consequence="Its agents stop at once.")],
        "answer": None,
        "tabs": [Tab("Plan", "#h-plan", is_current=True), Tab("Steps", "#h-steps", "4"), Tab("Gates", "#h-gates", "17")],
        "plan": rows.PLAN,
        "plan_graph": plan_graph(nodes, title="Plan of run 142", caption="hari planned this in 1.1 s from the playbook repository-report"),
        "plan_faults": [],
        "gantt": gantt(lines, now_s=12120, is_open=True, title="Timeline of run 142"),
        "steps": [
            StepLine(rows.STEPS[0], (), "38 commits, 3 people, 61 files.", lasted_s=2.4),
            StepLine(rows.STEPS[1], (1,), "The figures as a Markdown document.", [rows.ARTIFACT], 0.9),
            StepLine(rows.STEPS[2], (2,), waits="The agent has stored its state and left. Nothing runs while people think."),
            StepLine(rows.STEPS[3], (2, 3)),
        ],
        "log": Namespace(job=rows.JOBS[2], lines=[LogLine("09:41:12.431", "job started"), LogLine("09:41:12.633", f"202 held {rows.HOSTILE}", is_hit=True)]),
        "gates": rows.GATES,
        "gates_total": 17,
        "gates_href": f"{to('governance_gate_changelist')}?run=142",
        "calls": rows.CALLS,
        "jobs": rows.JOBS,
        "burns": [rows.BURN],
        "artifacts": [rows.ARTIFACT],
        "facts": [Fact("Workspace", "acme"), Fact("Started", RUN.started_at, "time"), Fact("Manifest", "version 7", href=to("governance_policymanifest_change", rows.MANIFEST.pk)),
                  Fact("Plan hash", rows.PLAN.plan_hash, "cut"), Fact("Run id", RUN.pk, "digest")],
        "budgets": [Fact("Calls", "4 of 200"), Fact("Models", "5 calls, 24,192 tokens, $0.13 of $10.00", href="/admin/gateway/llmcall/"), Fact("Work time", "5.1 s of 2 h")],
        "entries": entries(),
        "entries_total": 31,
        "ledger_href": f"{to('audit_auditevent_changelist')}?run={RUN.pk}",
    }  # fmt: skip


def approvals() -> dict[str, Any]:
    return {
        "title": "Approvals",
        "crumbs": [Crumb("Approvals")],
        "headline": "Two things wait for you",
        "run_number": None,
        "tabs": [
            Tab("Waiting", "?", "2", is_current=True),
            Tab("Decided", "?need=decided"),
            Tab("Calls", to("governance_skillinvocation_changelist")),
        ],
        "waiting": waiting()[:1],
        "unknown": waiting()[1:],
        "others": [],
        "gates": rows.GATES,
        "gates_heading": "Decided today",
        "pages": None,
    }


def approval() -> dict[str, Any]:
    name = "report.md"
    return {
        "title": "Write a document into acme?",
        "crumbs": [Crumb("Approvals", to("governance_gate_changelist")), Crumb("files.write of run 142")],
        "gate": rows.HELD, "run": RUN, "step": rows.STEPS[2],
        "headline": "Write a document into acme?",
        "sentence": "files.write writes 2,841 bytes to reports/orders-since-v2.3.0.md in the documents of acme, once.",
        "payload": rows.PAYLOAD,
        "payload_hidden_because": "",
        "documents": [Namespace(name=name, sha256=rows.ARTIFACT.sha256, size=2841, media_type="text/markdown", href="",
                                paper=paper(rows.DOCUMENT.encode(), "text/markdown"))],
        "is_question": True, "ends_it": "One rejection ends it.", "last": rows.HELD, "last_href": run_href(),
        "compared": difference('{"path": "v2.2.0"}', f'{{"path": "v2.3.0 {rows.HOSTILE}"}}', heading="the input"),
        "compared_says": "One line of the input differs.", "entries": entries(),
        "covers": [], "later": [],
        "rules": [
            RuleLine("the run has read text that strangers wrote", "acme, rule 3, line 6: a write by a tainted run", "2 of operators"),
            RuleLine("other people will read this document", "Platform, rule 5", "1 of operators"),
        ],
        "manifest": rows.MANIFEST,
        "readings": [
            Reading("38 commit messages and 3 author names", "Step 1, call a1, git.log of repos/orders.", ("untrusted_output",), href=run_href(), href_label="Look at what it read"),
            Reading("report.md", "Step 2, artifact, made by a fixed template"),
            Reading("This call", "would store report.md, taint and all", tone="wait"),
        ],
        "binds": [Fact("Payload digest", rows.HELD.payload_digest, "digest"), Fact("Plan hash", rows.PLAN.plan_hash, "digest"),
                  Fact("Good until", "one hour after the last yes; for this call, once")],
        "asks": [Ask("operators", 2, 1)],
        "unmeetable": "",
        "voters": [
            Voter("approver", "approve", because="Figures fit the tag.", at=NOW - timedelta(minutes=4)),
            Voter("operator", "open", is_you=True, note="has not answered"),
            Voter("requester", "barred", note="asked for the run, so may not answer"),
        ],
        "may_answer": True, "why_not": "",
        "approve_href": to("governance_gate_press", rows.HELD.pk, "approve"),
        "reject_href": to("governance_gate_press", rows.HELD.pk, "reject"),
        "next_href": "", "previous_href": "",
    }  # fmt: skip


def calls() -> dict[str, Any]:
    return {"title": "Calls", "crumbs": [Crumb("Calls")], "tabs": [Tab("All", "?", is_current=True), Tab("To settle", "?state=unknown", "1")],
            "calls": [*rows.CALLS, rows.LOST], "pages": Pages(1, 1, 4, "call")}  # fmt: skip


def call() -> dict[str, Any]:
    return {
        "title": "Call", "crumbs": [Crumb("Calls", to("governance_skillinvocation_changelist")), Crumb("m1")], "call": rows.LOST, "run": RUN,
        "step": rows.STEPS[2], "headline": "Did slack.post_message happen?", "why_not": "",
        "buttons": [press("settle_succeeded", "It happened", "/admin/a/"), press("settle_failed", "It did not", "/admin/b/")],
        "facts": [Fact("Skill", "slack.post_message", "code"), Fact("Input digest", hexes("ab"), "digest")], "entries": entries(),
    }  # fmt: skip


def jobs() -> dict[str, Any]:
    return {"title": "Jobs", "crumbs": [Crumb("Jobs")], "tabs": [Tab("At work", "?", "1", is_current=True), Tab("All", "?need=all", "4")],
            "jobs": rows.JOBS, "pages": Pages(1, 1, 3, "job")}  # fmt: skip


def job() -> dict[str, Any]:
    return {
        "title": "Job", "crumbs": [Crumb("Jobs", to("runtime_agentjob_changelist")), Crumb(rows.JOBS[1].name)], "job": rows.JOBS[1], "run": RUN,
        "step": rows.STEPS[2], "headline": "Step 3, attempt 1", "buttons": [],
        "lines": [LogLine("", "agent: starting"), LogLine("", f"log \x1b[31mred {rows.HOSTILE}", is_hit=True)],
        "facts": [Fact("Backend", "process"), Fact("Wanted", "yes"), Fact("Exit", "1")],
        "limits": [Fact("Memory", "512 MiB"), Fact("Processes", "64")], "entries": entries(),
    }  # fmt: skip


def burns() -> dict[str, Any]:
    return {"title": "Burns", "crumbs": [Crumb("Burns")], "tabs": [Tab("Not acknowledged", "?", "1", is_current=True), Tab("All", "?need=all", "2")],
            "groups": desk()["burns"], "burns": [rows.BURN, rows.SEEN], "pages": Pages(1, 1, 2, "burn")}  # fmt: skip


def burn() -> dict[str, Any]:
    return {
        "title": "Burn", "crumbs": [Crumb("Burns", to("governance_burn_changelist")), Crumb("Job timed out")], "burn": rows.BURN, "run": RUN,
        "step": rows.STEPS[0], "job_href": to("runtime_agentjob_change", rows.JOBS[1].pk), "lines": [LogLine("", "killed")],
        "buttons": [press("acknowledge", "Acknowledge", "/admin/c/", icon="check", tone="primary")],
        "facts": [Fact("Job", rows.BURN.job_name, "code")], "entries": [],
    }  # fmt: skip


def policies() -> dict[str, Any]:
    return {"title": "Policy", "crumbs": [Crumb("Policy")], "scopes": [
        {"name": "acme", "says": "may only narrow what the platform allows", "manifests": [rows.MANIFEST]},
        {"name": "Platform", "says": "the ceiling", "manifests": []},
    ]}  # fmt: skip


def policy() -> dict[str, Any]:
    return {
        "title": "Policy", "crumbs": [Crumb("Policy", to("governance_policymanifest_changelist")), Crumb("Version 7")], "manifest": rows.MANIFEST,
        "headline": "Policy of acme, version 7", "buttons": [], "tabs": [Tab("7", "#", "active", is_current=True), Tab("Platform", "#", "ceiling")],
        "line_count": 9, "hits": {6, 7}, "warnings": ["operators has two members: a quorum of 2 cannot be met if one of them asks"],
        "allows": [{"agent": "hari", "actions": ["context.read", "plan.propose"], "skills": []}, {"agent": "ernest", "actions": ["skill.invoke"], "skills": ["git.*"]}],
        "facts": [Fact("Rules", "1, and 6 of the platform"), Fact("Digest", rows.MANIFEST.digest, "digest")], "entries": entries()[:1],
    }  # fmt: skip


def policy_check() -> dict[str, Any]:
    faults = [Fault("3:12", "unknown_key", "“skils” is not a key of an agent; did you mean “skills”?")]
    return {"title": "Check a manifest", "crumbs": [Crumb("Policy", to("governance_policymanifest_changelist")), Crumb("Check")],
            "source": rows.MANIFEST_TEXT, "layer": "workspace", "faults": faults, "hits": {3}, "accepted": None}  # fmt: skip


def agents() -> dict[str, Any]:
    toggle = [press("disable", "Disable", "/admin/d/", tone="danger")]
    return {
        "title": "Agents and skills", "crumbs": [Crumb("Agents and skills")], "here": "/admin/governance/agent/",
        "agents": [{"agent": agent, "skills": ["git.log", "files.write"], "last_at": at(3), "buttons": toggle} for agent in rows.AGENTS],
        "skills": [{"skill": skill, "agents": ["ernest"], "calls": 12, "failed": 1, "last_at": at(3), "buttons": toggle} for skill in rows.SKILLS],
    }  # fmt: skip


def freeze() -> dict[str, Any]:
    def line(name: str, icon: str, **more: Any) -> dict[str, Any]:
        return {
            "id": name,
            "name": name,
            "icon": icon,
            "says": "at work",
            "may": True,
            "frozen_at": None,
            "frozen_by": "",
            "frozen_because": "",
            **more,
        }

    frozen = line("acme", "runs", frozen_at=at(60), frozen_by="user:owner", frozen_because="odd calls")
    return {
        "title": "Freeze", "crumbs": [Crumb("Freeze")], "frozen": ["workspace acme"],
        "groups": [
            {"key": "workspace", "heading": "Workspaces", "says": "all its runs wait", "lines": [frozen]},
            {"key": "agent", "heading": "Agents", "says": "it gets no new job", "lines": [line("ernest", "agents"), line("hari", "agents")]},
        ],
    }  # fmt: skip


def ledger() -> dict[str, Any]:
    return {
        "title": "Ledger", "crumbs": [Crumb("Ledger")], "may_verify": True, "q": "", "hidden": [],
        "proof_state": {"tone": "done", "icon": "seal", "strong": "Whole and in order", "sentence": "up to entry 48,211, sealed 1 s ago.", "more": "The heads kept outside agree."},
        "filters": [Filter.of("type", "What", [("gate", "Decisions")], "", any_label="Anything")], "entries": entries(),
        "pages": Pages(total=1264, noun="entry,entries", older="?before=47010"),
    }  # fmt: skip


def entry() -> dict[str, Any]:
    nodes = [Namespace(side=side, digest=hexes(side[0] * 4)) for side in ("left", "right", "left")]
    event = rows.EVENTS[0]
    return {
        "title": "Entry 48,187", "crumbs": [Crumb("Ledger", to("audit_auditevent_changelist")), Crumb("48,187")], "event": event,
        "entry": said(event), "run": RUN, "headline": "Entry 48,187", "body": {"type": event.type, "actor": event.actor, "because": rows.HOSTILE},
        "proof": Namespace(holds=True, problem="", path=nodes, href="", before=[Fact("Leaf", hexes("77"), "digest")],
                           after=[Fact("Root", hexes("48"), "digest"), Fact("Tree size", "48,211"), Fact("Key", "seal-3")]),
    }  # fmt: skip


def ledger_verify() -> dict[str, Any]:
    return {"title": "Verify", "crumbs": [Crumb("Ledger", to("audit_auditevent_changelist")), Crumb("Verify")],
            "result": Namespace(is_whole=False, strong="The ledger was changed.", sentence="Two entries do not fit.", more="",
                                problems=[Fault("48,102", "hash_mismatch", "the entry is not what was sealed")])}  # fmt: skip


def health() -> dict[str, Any]:
    return {
        "title": "Health", "crumbs": [Crumb("Health")], "headline": "One part needs a look", "subline": "Nine are well.",
        "parts": [Part("Signing key", "warn", "87 days old.", icon="key", recovery="Run manage.py rotate_keys."), Part("Data base", "ok", "answers in 1 ms", since=NOW),
                  Part("Slack", "off", "not configured")],
        "questions": [Fact("Which approval blocks release?", "files.write of run 142", href=run_href())],
        "isolation": [Fact("Sandbox", "bubblewrap"), Fact("Memory", "in force")], "facts": [Fact("Version", "0.1.0")],
    }  # fmt: skip


def new_request() -> dict[str, Any]:
    return {
        "title": "New request", "crumbs": [Crumb("New request")], "idempotency_key": "6f1c", "request_text": "", "faults": [], "workspaces": [], "frozen_because": "",
        "playbooks": [Namespace(name="repository-report", description="Who changed what since when.", example="Report on the repository <path> since <rev or date>")],
        "holds": [Namespace(asks="operators", because="when the run writes after reading strangers’ text")], "roots": ["/srv/repos"], "longest": 20000,
    }  # fmt: skip


def artifact() -> dict[str, Any]:
    return {
        "title": "report.md", "crumbs": [Crumb("Runs", to("governance_run_changelist")), Crumb("142", run_href()), Crumb("report.md")],
        "artifact": rows.ARTIFACT, "run": RUN, "step": rows.STEPS[1], "paper": paper(rows.DOCUMENT.encode(), "text/markdown"), "href": "/v1/x",
        "facts": [Fact("SHA-256", rows.ARTIFACT.sha256, "digest"), Fact("Size", "2,841 bytes")],
    }  # fmt: skip
