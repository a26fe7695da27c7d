"""One approval: what exactly would happen, who asked and why, what was read before, and the answer."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.ledger import subject_of
from audit.models import AuditEvent
from governance import approvals, queries
from governance.inputs import artifact_ids
from governance.models import Artifact, Gate, PolicyManifest
from governance.people import Asker, asker_in_session
from worka_site.portal.difference import Difference, difference, together
from worka_site.portal.links import to, to_run
from worka_site.portal.paper import MOST, paper
from worka_site.portal.provenance import readings_of
from worka_site.portal.registry import page
from worka_site.portal.shapes import Ask, Crumb, Fact, RuleLine, Voter
from worka_site.portal.stories import entries_about, history_of
from worka_site.portal.times import span
from worka_site.portal.wording import deed, gate_deed

COMPARED = 200_000  # bytes of a document that are compared
HIDDEN = "Your role sees that it exists and how it was decided, not what is in it."
COMPARE = "to compare it with what is asked now"


@dataclass(frozen=True, slots=True)
class Opened:
    """A payload that was opened for somebody, with the artifacts it carries."""

    payload: Mapping[str, Any]
    artifacts: Sequence[tuple[Artifact, bytes]]

    @property
    def input(self) -> Any:
        return self.payload.get("input", {})


@page("governance.gate.row")
def approval_page(request: HttpRequest, gate: Gate) -> dict[str, Any]:
    """Return all that a yes or no rests on; opening the payload is a ledger entry, refreshing the page is not."""
    asker, now = asker_in_session(request), clock()
    opened = None if "Worka-Refresh" in request.headers else _open(asker, gate)
    standing = approvals.standing_of(asker, gate)
    manifests = approvals.manifests_of(gate)
    previous, following = approvals.neighbours(gate, queries.approvals_for(asker))
    is_plan = gate.plan_id is not None and gate.step_id is None
    evidence = approvals.evidence_before(gate)
    return {
        "title": gate_deed(gate),
        "crumbs": [
            Crumb("Approvals", to("governance_gate_changelist")),
            Crumb(f"{gate.subject or gate.action} of run {gate.run.number}"),
        ],
        "gate": gate,
        "run": gate.run,
        "step": gate.step,
        "is_question": gate.effect == "hold",
        # What was answered is no question any more.
        "headline": _headline(gate, opened).removesuffix("?" if gate.is_final else ""),
        "sentence": _sentence(gate, opened),
        "payload": opened.payload if opened else None,
        "payload_hidden_because": HIDDEN,
        "documents": _documents(asker, gate, opened) if opened else [],
        **(_plan_calls(opened) if opened and is_plan else {}),
        **(_compared(asker, gate, opened) if opened and gate.effect == "hold" else {}),
        "rules": _rules(gate, manifests),
        "manifest": next((each for each in manifests.values() if each.workspace_id), None),
        "readings": readings_of(gate, evidence) if evidence else [],
        "binds": _binds(gate, opened),
        "asks": [Ask(each.group, each.needed, each.yes, each.no, each.rejections_end_it) for each in standing.groups],
        "ends_it": _ends_it(standing.groups),
        "unmeetable": standing.outcome.unmeetable,
        "voters": [_voter(each) for each in standing.people],
        "may_answer": standing.may_answer,
        "why_not": "" if gate.is_final else standing.why_not,
        "approve_href": to("governance_gate_press", gate.pk, "approve"),
        "reject_href": to("governance_gate_press", gate.pk, "reject"),
        "next_href": to("governance_gate_change", following) if following else "",
        "previous_href": to("governance_gate_change", previous) if previous else "",
        "entries": entries_about(_once_opened(history_of(asker, subject_of(gate)))),
        "now": now,
    }


def _once_opened(events: Iterable[AuditEvent]) -> list[AuditEvent]:
    """Keep of every person's looks at the payload the last one; the ledger has them all."""
    seen: set[str] = set()
    kept = []
    for event in events:
        if event.type == "gate.open":
            if event.actor in seen:
                continue
            seen.add(event.actor)
        kept.append(event)
    return kept


def _open(asker: Asker, gate: Gate, **more: str) -> Opened | None:
    payload = queries.gate_payload(asker, gate, **more)
    return None if payload is None else Opened(payload, queries.gate_artifacts(gate, artifact_ids(payload)))


def _headline(gate: Gate, opened: Opened | None) -> str:
    if gate.plan_id is not None and gate.step_id is None:
        return (
            f"Let run {gate.run.number} go by this plan?"
            if gate.effect == "hold"
            else f"The plan of run {gate.run.number}"
        )
    said = deed(gate.subject, opened.input) if opened else gate_deed(gate)
    if gate.effect != "hold":
        return said or gate.action
    skill, _, about = said.partition(" ")
    if skill == "files.write" and about:
        return f"Write {about}?"
    return f"Let {gate.agent_name} call {said}?"


def _sentence(gate: Gate, opened: Opened | None) -> str:
    if gate.effect != "hold":
        return gate.reason
    if gate.plan_id is not None and gate.step_id is None:
        return "A yes lets the run begin, and covers the calls that the plan names in full, each once. All others are asked when they are known."
    if opened is None:
        return f"{gate.agent_name} asks to call {gate.subject}, once."
    carried = opened.artifacts[0][0] if opened.artifacts else None
    given = opened.input
    if gate.subject == "files.write" and isinstance(given, Mapping) and isinstance(given.get("path"), str):
        size = carried.size if carried else len(str(given.get("content", "")).encode())
        how = (
            "unless there is one"
            if given.get("if_exists") == "fail"
            else "as a new version if there is one; older ones are kept"
        )
        return f"files.write stores {size:,} bytes as {given['path']} in the documents of {gate.workspace.slug}, once, {how}."
    with_it = f" It carries {carried.name}, {carried.size:,} bytes." if carried else ""
    return f"{gate.agent_name} calls {gate.subject} with exactly this input, once.{with_it}"


def _documents(asker: Asker, gate: Gate, opened: Opened) -> list[Any]:
    """Return what the payload carries, ready to be read: artifacts, or a long text in the input itself."""
    may_download = queries.may_read_payloads(asker, gate.run)
    found = [
        SimpleNamespace(
            name=row.name, sha256=row.sha256, size=row.size, media_type=row.media_type, paper=paper(content, row.media_type),
            href=f"/v1/artifacts/{row.pk}/content" if may_download else "",
        )
        for row, content in opened.artifacts
    ]  # fmt: skip
    given = opened.input
    text = given.get("content") if isinstance(given, Mapping) else None
    if not found and isinstance(text, str) and text.strip():
        name = str(given.get("path") or given.get("title") or "content")
        media_type = "text/markdown" if name.endswith(".md") else "text/plain"
        content = text.encode()
        found.append(
            SimpleNamespace(
                name=name,
                sha256="",
                size=len(content),
                media_type=media_type,
                paper=paper(content, media_type),
                href="",
            )
        )
    return found


def _plan_calls(opened: Opened) -> dict[str, Any]:
    calls, later = opened.payload.get("calls", ()), opened.payload.get("asked_later", ())
    return {
        "covers": [SimpleNamespace(skill=each["skill"], step=each["call_id"], input=each["input"]) for each in calls],
        "later": [
            SimpleNamespace(skill=each["skill"], step=each["call_id"], because="its input is not known before other steps are done")
            for each in later
        ],
    }  # fmt: skip


def _compared(asker: Asker, gate: Gate, opened: Opened) -> dict[str, Any]:
    """Compare with what people approved last time for the same skill, input and document."""
    last = approvals.last_approved_like(asker, gate)
    before = _open(asker, last, because=COMPARE) if last else None
    if last is None or before is None:
        return {}
    inputs = difference(_json(before.input), _json(opened.input), heading="the input")
    parts = [inputs]
    if before.artifacts and opened.artifacts:
        (old, old_bytes), (new, new_bytes) = before.artifacts[0], opened.artifacts[0]
        if _is_text(old) and _is_text(new):
            parts.append(difference(_text(old_bytes), _text(new_bytes), heading=f"the document {new.name}"))
    return {
        "last": last,
        "last_href": to_run(last.run_id),
        "compared": together(parts),
        "compared_says": _says(inputs, together(parts)),
    }


def _says(inputs: Difference, whole: Difference) -> str:
    if not whole:
        return "Nothing differs but the run."
    lines = inputs.added
    about = (
        f"{lines} {'line' if lines == 1 else 'lines'} of the input differ{'s' if lines == 1 else ''}"
        if inputs
        else "the input is the same"
    )
    documents = whole.added - inputs.added
    rest = f", {documents:,} lines of the document are new" if documents else ""
    return f"{about[:1].upper()}{about[1:]}{rest}."


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def _is_text(artifact: Artifact) -> bool:
    return artifact.media_type.startswith("text/") or artifact.media_type == "application/json"


def _text(content: bytes) -> str:
    return content[: min(COMPARED, MOST)].decode("utf-8", "replace")


def _rules(gate: Gate, manifests: Mapping[str, PolicyManifest]) -> list[RuleLine]:
    """Return the rules that spoke as the decision went, strictest first; what only allows is left out where it held or denied."""
    spoken = [each for each in gate.rules if each.get("effect") == gate.effect]
    return [_rule(each, manifests.get(each.get("manifest", ""))) for each in spoken or gate.rules]


def _rule(said: Mapping[str, Any], manifest: PolicyManifest | None) -> RuleLine:
    asks = " and ".join(f"{each['approve']} of {each['group']}" for each in said.get("thresholds", ()))
    where = f"{_scope(manifest, said)}, {_number(said.get('rule'))}"
    line = said.get("line")
    if line:
        where += f", line {line}"
    if seconds := said.get("expires_s"):
        where += f": within {span(seconds)}"
    href = to("governance_policymanifest_change", manifest.pk, line=line) if manifest else ""
    return RuleLine(str(said.get("because", "")), where, asks, href)


def _scope(manifest: PolicyManifest | None, said: Mapping[str, Any]) -> str:
    if manifest is None:
        return "Worka itself" if not said.get("layer") else str(said["layer"]).capitalize()
    return f"{manifest.workspace.slug if manifest.workspace else 'Platform'}, version {manifest.version}"


def _number(rule: Any) -> str:
    return f"rule {rule}" if isinstance(rule, int) else f"section {rule}"


def _binds(gate: Gate, opened: Opened | None) -> list[Fact]:
    facts = []
    if gate.payload_digest:
        facts.append(Fact("Payload digest", gate.payload_digest, "digest"))
    if opened:
        facts += [Fact(f"Document {row.name}", row.sha256, "digest") for row, _ in opened.artifacts]
        if skill := opened.payload.get("skill_digest"):
            facts.append(Fact("Skill digest", skill, "digest"))
    if gate.plan_hash:
        facts.append(Fact("Plan hash", gate.plan_hash, "digest"))
    if gate.consent_until:
        facts.append(Fact("Good until", gate.consent_until, "time"))
    elif gate.effect == "hold" and not gate.is_final:
        facts.append(Fact("Good until", "one hour after the last yes; for this, once"))
    return facts


def _ends_it(groups: Sequence[approvals.GroupAsked]) -> str:
    fewest = min((each.rejections_end_it for each in groups), default=1)
    return "One rejection ends it." if fewest == 1 else f"{fewest} rejections end it."


def _voter(person: approvals.Person) -> Voter:
    notes = {"open": "has not answered", "barred": "asked for the run, so may not answer"}
    return Voter(
        person.name, person.standing, person.is_asker, notes.get(person.standing, ""), person.because, person.at
    )
