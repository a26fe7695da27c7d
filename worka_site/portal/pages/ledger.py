"""The ledger: what happened, in order; one entry with its proof; and whether all of it is whole."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit import queries as ledger
from audit.actions import verify_ledger
from audit.core.proof import Proof, check_proof, entry_digest, entry_leaf
from audit.core.refusals import Fault
from audit.keys import ring
from audit.models import AuditEvent
from audit.principals import Principal
from audit.sealing import proof_of, sealer_health
from audit.verification import Verification
from governance import queries
from governance.core.permissions import Verb
from governance.people import Asker, asker_in_session
from worka_site.portal.links import to, to_run
from worka_site.portal.registry import page
from worka_site.portal.sentences import said
from worka_site.portal.shapes import Crumb, Entry, Fact, Filter, Pages
from worka_site.portal.times import ago, span

SHOWN = 50
SHOWN_PROBLEMS = 100
LONGEST_SEARCH = 200
PERIODS = {"1h": ("Last hour", timedelta(hours=1)), "24h": ("Last 24 hours", timedelta(hours=24)),
           "7d": ("Last 7 days", timedelta(days=7)), "30d": ("Last 30 days", timedelta(days=30))}  # fmt: skip
KINDS = {
    "gate.": "Decisions and answers", "gate.vote": "Answers of people", "gate.deny": "Denials", "gate.open": "Looks at payloads",
    "run.": "Runs", "plan.": "Plans", "step.": "Steps", "invocation.": "Calls", "job.": "Jobs", "artifact.": "Artifacts",
    "burn.": "Burns", "manifest.": "Policy", "agent.": "Agents", "skill.": "Skills", "workspace.": "Freezes",
    "membership.": "Members", "api_key.": "API keys", "user.": "Accounts", "group.": "Groups of accounts", "key.": "Keys", "ledger.": "Checks of the ledger",
}  # fmt: skip
# Which page shows a subject, by its model.
PAGES: Mapping[str, str] = {
    "governance.run": "governance_run_change",
    "governance.gate": "governance_gate_change",
    "governance.skillinvocation": "governance_skillinvocation_change",
    "governance.artifact": "governance_artifact_change",
    "governance.burn": "governance_burn_change",
    "governance.policymanifest": "governance_policymanifest_change",
    "runtime.agentjob": "runtime_agentjob_change",
}
_RUN = re.compile(r"(?:run\s*)?#?(\d{1,9})", re.IGNORECASE)


@page("audit.auditevent.visible")
def visible(request: HttpRequest) -> dict[str, Any]:
    """Return the entries that the person may see at all."""
    return {"entries": queries.entries_visible_to(asker_in_session(request))}


@page("audit.auditevent.list")
def ledger_page(request: HttpRequest) -> dict[str, Any]:
    """Return a page of entries as sentences; what is no filter is ignored, as an old address may hold it."""
    asker, now = asker_in_session(request), clock()
    given = {
        name: request.GET.get(name, "").replace("\0", "").strip()[:LONGEST_SEARCH]
        for name in ("q", "type", "who", "when", "run")
    }
    who = [(f"user:{name}", name) for name in queries.member_names(asker)]
    who += [(f"agent:{name}", name) for name in queries.agents().values_list("name", flat=True)] + [
        ("system:worka", "Worka")
    ]
    found = queries.entries_visible_to(asker, _wanted(asker, given, now))
    rows = ledger.page_of(found, cursor=request.GET.get("cursor", ""), limit=SHOWN)
    kept = {name: value for name, value in given.items() if value}
    address = "audit_auditevent_changelist"
    return {
        "title": "Ledger",
        "crumbs": [Crumb("Ledger")],
        "may_verify": asker.may(Verb.VERIFY_LEDGER),
        "proof_state": _proof_state(now),
        "q": given["q"],
        "filters": [
            Filter.of("type", "What", KINDS.items(), given["type"], any_label="Anything"),
            Filter.of("who", "Who", who, given["who"], any_label="Anyone"),
            Filter.of("when", "When", [(key, word) for key, (word, _) in PERIODS.items()], given["when"], any_label="Always"),
        ],
        "hidden": [SimpleNamespace(name="run", value=given["run"])] if given["run"] else [],
        "is_filtered": bool(kept),
        "entries": linked(asker, rows.entries),
        "pages": Pages(
            newer=to(address, **kept) if request.GET.get("cursor") else "",
            older=to(address, **kept, cursor=rows.next_cursor) if rows.next_cursor else "",
        ),
        "now": now,
    }  # fmt: skip


def _wanted(asker: Asker, given: Mapping[str, str], now: datetime) -> ledger.Filter:
    text, run = given["q"], _uuid(given["run"])
    if named := _RUN.fullmatch(text):
        # Nothing has this number: then nothing is found, not everything.
        found = queries.runs_visible_to(asker).filter(number=int(named[1])).values_list("pk", flat=True).first()
        text, run = "", found or UUID(int=0)
    since = now - PERIODS[given["when"]][1] if given["when"] in PERIODS else None
    return ledger.Filter(
        type=given["type"] if given["type"] in KINDS else "", actor=given["who"], run=run, since=since, text=text
    )


def linked(asker: Asker, events: Iterable[AuditEvent]) -> list[Entry]:
    """Say entries with links to their proofs, their subjects and their runs, with one query for all runs."""
    rows = list(events)
    wanted = {event.run for event in rows if event.run}
    numbers = dict(queries.runs_visible_to(asker).filter(pk__in=wanted).values_list("pk", "number")) if wanted else {}
    return [_linked(event, numbers) for event in rows]


def _linked(event: AuditEvent, numbers: Mapping[UUID, int]) -> Entry:
    number = numbers.get(event.run) if event.run else None
    is_run = event.subject_kind == "governance.run"
    return said(
        event,
        href=to("audit_auditevent_change", event.pk),
        subject_href=_subject_href(event, is_seen=event.run is None or number is not None),
        place=f"run {number}" if number is not None and not is_run else "",
        place_href=to_run(event.run) if number is not None and not is_run else "",
    )


def _subject_href(event: AuditEvent, *, is_seen: bool) -> str:
    name = PAGES.get(event.subject_kind)
    if name is None or not is_seen or _uuid(event.subject_id) is None:
        return ""
    return to(name, event.subject_id)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _proof_state(now: datetime) -> dict[str, str]:
    """Say how far the ledger is sealed, and when it was last checked as a whole and by whom."""
    health = sealer_health()
    if health.stopped_because:
        return {
            "tone": "fail",
            "icon": "alert",
            "strong": "Nothing is sealed:",
            "sentence": f"{health.stopped_because}.",
            "more": "Run manage.py verify_ledger. If a back-up was restored on purpose: manage.py accept_restore.",
        }
    last = ledger.last_verification()
    sealed = f"Sealed up to entry {health.tree_size:,}" if health.last_sealed_at else "Nothing is written down yet"
    when = f", {ago(health.last_sealed_at, now)}" if health.last_sealed_at else ""
    if last is None:
        return {
            "tone": "idle",
            "icon": "seal",
            "strong": f"{sealed}{when}.",
            "sentence": "It was never checked as a whole from here.",
            "more": "",
        }
    who, at = last.actor.partition(":")[2], ago(last.at, now)
    if last.facts.get("whole") is not True:
        return {
            "tone": "fail",
            "icon": "alert",
            "strong": "Not whole",
            "sentence": f"when {who} had it verified {at}.",
            "more": "Verify again to see what does not fit.",
        }
    took = span(int(last.facts.get("duration_ms", 0)) / 1000)
    return {
        "tone": "done",
        "icon": "seal",
        "strong": "Whole and in order",
        "sentence": f"up to entry {int(last.facts.get('tree_size', 0)):,}, verified by {who} {at} in {took}.",
        "more": f"{sealed}{when}.",
    }


@page("audit.auditevent.row")
def entry_page(request: HttpRequest, event: AuditEvent) -> dict[str, Any]:
    """Return one entry as it is hashed, with its proof for whoever may verify."""
    asker, now = asker_in_session(request), clock()
    may_verify = asker.may(Verb.VERIFY_LEDGER)
    entry = linked(asker, [event])[0]
    number = f"{event.position:,}" if event.position else "new"
    return {
        "title": f"Entry {number}",
        "crumbs": [Crumb("Ledger", to("audit_auditevent_changelist")), Crumb(number)],
        "headline": f"Entry {number}" if event.position else "A new entry",
        "event": event,
        "entry": entry,
        "body": event.exact,
        "may_verify": may_verify,
        "proof": _proof(event) if may_verify and event.position is not None else None,
        "now": now,
    }


@page("audit.auditevent.proof")
def proof_file(request: HttpRequest, event: AuditEvent) -> dict[str, Any]:
    """Return the proof of an entry as it is handed out, for whoever may verify."""
    asker_in_session(request).must(Verb.VERIFY_LEDGER)
    return {"proof": proof_of(event).as_json()}


def _proof(event: AuditEvent) -> Any:
    proof = proof_of(event)
    problem = _problem(proof)
    leaf = entry_leaf(proof.position, entry_digest(proof.id, proof.body)).hex()
    sides = sides_of(proof.position - 1, proof.head.tree_size)
    return SimpleNamespace(
        holds=not problem, problem=problem, href=to("audit_auditevent_proof", event.pk),
        path=[SimpleNamespace(side=side, digest=node.hex()) for side, node in zip(sides, proof.path, strict=False)],
        before=[Fact("Seal", f"{proof.head.seal:,}"), Fact("Leaf", leaf, "digest")],
        after=[
            Fact("Root", proof.head.root.hex(), "digest"), Fact("Tree size", f"{proof.head.tree_size:,}"), Fact("Signed", proof.head.at),
            Fact("Signature", proof.head.signature.hex(), "cut"), Fact("Key", f"ed25519, {proof.head.kid}"),
            Fact("Newest head", f"of {proof.newest.tree_size:,} entries, continues this one"),
        ],
    )  # fmt: skip


def _problem(proof: Proof) -> str:
    try:
        return check_proof(proof, lambda kid, data, signature: ring().verify("seal", kid, data, signature))
    except ValueError as error:
        return f"the entry cannot be read: {error}"


def sides_of(index: int, size: int) -> list[str]:
    """Return on which side each hash of an inclusion path stands, from the leaf up (RFC 9162, section 2.1.3.2)."""
    sides, at, last = [], index, size - 1
    while last:
        if at % 2 or at == last:
            sides.append("left")
            while at and at % 2 == 0:
                at, last = at >> 1, last >> 1
        else:
            sides.append("right")
        at, last = at >> 1, last >> 1
    return sides


@page("ledger_verify")
def verify_page(request: HttpRequest) -> dict[str, Any]:
    """Return the page that checks the whole ledger, for whoever may verify."""
    asker_in_session(request).must(Verb.VERIFY_LEDGER)
    return {
        "title": "Verify the ledger",
        "crumbs": [Crumb("Ledger", to("audit_auditevent_changelist")), Crumb("Verify")],
        "now": clock(),
    }


@page("ledger_verify.do")
def verify_now(request: HttpRequest, by: Principal) -> dict[str, Any]:
    """Check the whole ledger now and say what was found."""
    asker_in_session(request).must(Verb.VERIFY_LEDGER)
    result = verify_ledger(by=by)
    if not result.is_whole:
        messages.error(request, "The ledger is not whole. Keep everything as it is, and find out why.")
    return {"result": _told(result)}


def _told(result: Verification) -> Any:
    problems = [
        Fault(
            f"entry {each.position:,}"
            if each.position
            else f"seal {each.seal:,}"
            if each.seal
            else "the heads outside",
            each.kind,
            each.message,
        )
        for each in result.findings[:SHOWN_PROBLEMS]
    ]
    strong, _, rest = result.sentence.partition(":")
    return SimpleNamespace(
        is_whole=result.is_whole, strong=f"{strong}:", sentence=rest.strip(), problems=problems,
        more=f"Checked in {span(result.duration_s)}, and written to the ledger.",
    )  # fmt: skip
