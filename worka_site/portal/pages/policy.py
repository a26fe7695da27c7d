"""Policy: what is in force, every version with its text, and checking a manifest before it becomes one."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.core.codes import Code
from audit.core.ids import parse_id
from audit.core.refusals import Refused
from audit.ledger import subject_of
from audit.principals import Principal
from governance import queries, rulebook
from governance.actions.manifests import check_manifest, draft_manifest
from governance.core.compiled import CompiledManifest
from governance.core.permissions import Verb
from governance.core.states import ManifestState
from governance.models import PolicyManifest
from governance.people import Asker, asker_in_session
from worka_site.portal.difference import difference
from worka_site.portal.links import to
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb, Fact, Tab
from worka_site.portal.stories import SHOWN, entries_about
from worka_site.portal.times import span
from worka_site.portal.wording import number_word

VERSIONS = 20
TABS = 5
LONGEST = 200_000


@page("governance.policymanifest.list")
def policies_page(request: HttpRequest) -> dict[str, Any]:
    """Return the newest versions of the workspace's policy, and of the ceiling above it."""
    asker = asker_in_session(request)
    own, ceiling = _versions(asker)
    return {
        "title": "Policy",
        "crumbs": [Crumb("Policy")],
        "may_write": asker.may(Verb.WRITE_POLICY),
        "scopes": [
            {"name": asker.workspace.name, "says": "may only narrow what the platform allows", "manifests": own},
            {"name": "Platform", "says": "the ceiling of every workspace", "manifests": ceiling},
        ],
        "now": clock(),
    }


def _versions(asker: Asker) -> tuple[list[PolicyManifest], list[PolicyManifest]]:
    light = queries.manifests_visible_to(asker).defer("source", "compiled").order_by("-version")
    return list(light.filter(workspace=asker.workspace_id)[:VERSIONS]), list(light.filter(workspace=None)[:VERSIONS])


@page("governance.policymanifest.row")
def policy_page(request: HttpRequest, manifest: PolicyManifest) -> dict[str, Any]:
    """Return a version with its text, what it allows, and how it differs from the one in force; `?line=` marks a rule."""
    asker = asker_in_session(request)
    compiled = rulebook.compiled_of(manifest)
    own, ceiling = _versions(asker)
    scope = manifest.workspace.name if manifest.workspace else "the platform"
    active = rulebook.active_of(asker, manifest)
    changes = difference(active.source, manifest.source) if active else None
    history = queries.entries_of_subject(asker, subject_of(manifest))[:SHOWN]
    return {
        "title": f"Policy of {scope}, version {manifest.version}",
        "crumbs": [Crumb("Policy", to("governance_policymanifest_changelist")), Crumb(f"Version {manifest.version}")],
        "manifest": manifest,
        "headline": f"Policy of {scope}, version {manifest.version}",
        "tabs": _tabs(
            manifest, own if manifest.workspace_id else ceiling, ceiling if manifest.workspace_id else own, asker
        ),
        "line_count": len(manifest.source.splitlines()),
        "hits": _hits(compiled, manifest.source, request.GET.get("line", "")),
        "allows": _allows(compiled),
        "active": active,
        "changes": changes,
        "changes_say": _changes_say(changes.added, changes.removed) if changes else "",
        "why_not": _why_not(asker, manifest),
        "warnings": [each.message for each in compiled.warnings],
        "facts": _facts(manifest, compiled, active),
        "may_write": asker.may(Verb.WRITE_POLICY),
        "copy_href": to("policy_check", copy=manifest.pk),
        "entries": entries_about(history),
        "now": clock(),
    }


def _tabs(
    manifest: PolicyManifest, same: Sequence[PolicyManifest], other: Sequence[PolicyManifest], asker: Asker
) -> list[Tab]:
    shown = list(same[:TABS])
    if manifest.pk not in {each.pk for each in shown}:
        shown.append(manifest)

    def tab(each: PolicyManifest, label: str) -> Tab:
        return Tab(
            label, to("governance_policymanifest_change", each.pk), each.state, is_current=each.pk == manifest.pk
        )

    tabs = [tab(each, str(each.version)) for each in shown]
    beside = next((each for each in other if each.state == ManifestState.ACTIVE), None)
    if beside is not None:
        label = "Platform" if manifest.workspace_id else asker.workspace.name
        note = "ceiling" if manifest.workspace_id else "workspace"
        tabs.append(Tab(label, to("governance_policymanifest_change", beside.pk), note))
    return tabs


def _hits(compiled: CompiledManifest, source: str, line: str) -> set[int]:
    """Return the lines of the rule that begins at a line, all of them."""
    if not (line.isascii() and line.isdecimal() and len(line) < 7):
        return set()
    first, lines = int(line), source.splitlines()
    if not 1 <= first <= len(lines):
        return set()
    starts = sorted(rule.line for rule in compiled.rules)
    if first not in starts:
        return {first}
    after = next((start for start in starts if start > first), len(lines) + 1)
    hits = {first}
    for number in range(first + 1, after):
        text = lines[number - 1]
        # What is not indented below the rule's dash belongs to the next section.
        if not text.strip() or not text.startswith("   "):
            break
        hits.add(number)
    return hits


def _allows(compiled: CompiledManifest) -> list[dict[str, Any]]:
    return [
        {
            "agent": "every agent" if name == "*" else name,
            "actions": sorted(entry.actions),
            "skills": sorted(entry.skills),
        }
        for name, entry in compiled.agents.items()
    ]


def _changes_say(added: int, removed: int) -> str:
    def lines(amount: int, word: str) -> str:
        return f"{number_word(amount)} {'line is' if amount == 1 else 'lines are'} {word}"

    said = [lines(added, "new")] if added else []
    return " and ".join(said + ([lines(removed, "gone")] if removed else []))


def _why_not(asker: Asker, manifest: PolicyManifest) -> str:
    if manifest.state != ManifestState.SUBMITTED:
        return ""
    if asker.principal.persons & set(manifest.author_persons):
        return "you wrote this version, so somebody else must activate it. Owners and admins of the workspace may."
    return "" if asker.may(Verb.ACTIVATE_POLICY) else "owners and admins of the workspace may activate it"


def _facts(manifest: PolicyManifest, compiled: CompiledManifest, active: PolicyManifest | None) -> list[Fact]:
    run, step, plan = compiled.limits.run, compiled.limits.step, compiled.limits.plan
    facts = [
        Fact("Agents", f"{len(compiled.agents):,}"),
        Fact("Rules", f"{len(compiled.rules):,}"),
        Fact("A plan has", f"at most {plan.steps} steps, {plan.depth} deep"),
        Fact("A run has", f"{span(run.wall_clock)}, {run.invocations:,} calls"),
        Fact("A step has", f"{span(step.timeout)}, {step.attempts} attempts"),
        Fact("May reach", ", ".join(target.host for target in compiled.egress) or "no host"),
        Fact("Masked", ", ".join(compiled.redact) or "nothing"),
        Fact("Written", manifest.created_at, "time"),
    ]
    if manifest.activated_at:
        facts.append(Fact("Activated", manifest.activated_at, "time"))
    facts.append(Fact("Digest", manifest.digest, "cut"))
    if active is not None:
        facts.append(
            Fact("In force", f"version {active.version}", href=to("governance_policymanifest_change", active.pk))
        )
    return facts


@page("policy_check")
def check_page(request: HttpRequest) -> dict[str, Any]:
    """Return the form that checks a manifest, with what was sent; `?copy=` begins with the text of a version."""
    asker = asker_in_session(request)
    source = _sent(request)
    if request.method != "POST" and (copied := request.GET.get("copy")):
        found = queries.manifests_visible_to(asker).filter(pk=parse_id(copied)).first()
        source = queries.found_or_refused(found, "policy", copied).source
    return {
        "title": "Check a manifest",
        "crumbs": [Crumb("Policy", to("governance_policymanifest_changelist")), Crumb("Check")],
        "source": source,
        "layer": _layer(request),
        "may_write": asker.may(Verb.WRITE_POLICY),
        "workspace": asker.workspace,
        "faults": [],
        "accepted": None,
        "now": clock(),
    }


@page("policy_check.do")
def check_now(request: HttpRequest, by: Principal) -> dict[str, Any]:
    """Compile a manifest and say every error at its line; `deed=draft` stores what compiles as the next version."""
    asker = asker_in_session(request)
    source, scope = _sent(request), None if _layer(request) == "platform" else asker.workspace_id
    if len(source) > LONGEST:
        raise Refused(f"a manifest has at most {LONGEST:,} characters", code=Code.TOO_LARGE)
    try:
        if request.POST.get("deed") == "draft" and scope is not None:
            asker.must(Verb.WRITE_POLICY)
            manifest = draft_manifest(scope, source, by=by)
            messages.success(
                request, f"Version {manifest.version} is stored as a draft. Nothing has changed yet: submit it next."
            )
            return {"redirect": to("governance_policymanifest_change", manifest.pk)}
        compiled = check_manifest(scope, source)
    except Refused as refusal:
        if refusal.code != Code.INVALID_MANIFEST:
            raise
        return {"faults": refusal.faults, "hits": {line for fault in refusal.faults if (line := _line_of(fault.path))}}
    sentence = f"{len(compiled.agents)} agents, {len(compiled.rules)} rules. Nothing was stored."
    accepted = SimpleNamespace(
        sentence=sentence, digest=compiled.digest, warnings=[each.message for each in compiled.warnings]
    )
    return {"accepted": accepted}


def _sent(request: HttpRequest) -> str:
    sent: Mapping[str, Any] = request.POST
    return str(sent.get("source", "")).replace("\r\n", "\n")


def _layer(request: HttpRequest) -> str:
    return "platform" if request.POST.get("layer") == "platform" else "workspace"


def _line_of(path: str) -> int:
    line = path.partition(":")[0]
    return int(line) if line.isascii() and line.isdecimal() else 0
