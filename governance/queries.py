"""What people and agents may see. Every reading takes who is asking; what they may not see is not there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet
from django.db.models.functions import TruncHour

from audit.core.codes import Code
from audit.core.ids import parse_id
from audit.core.refusals import Refused
from audit.ledger import record
from audit.models import AuditEvent
from audit.queries import Filter, visible_entries
from governance.caller import Caller
from governance.core.permissions import Verb
from governance.core.quorum import Outcome, Threshold, tally
from governance.core.states import OPEN_RUN, GateState, InvocationState, RunState
from governance.inputs import artifact_ids
from governance.models import (
    Agent,
    ApproverGroup,
    Artifact,
    Budget,
    Burn,
    Gate,
    Membership,
    Plan,
    PolicyManifest,
    Run,
    Skill,
    SkillInvocation,
    Step,
    Vote,
)
from governance.payloads import content_of, value_of
from governance.people import Asker
from governance.voters import approver_members, vote_facts


def runs_visible_to(asker: Asker) -> QuerySet[Run]:
    """Return the workspace's runs that the asker may see: all, or their own and those with a gate that asks them."""
    runs = Run.objects.filter(workspace=asker.workspace).select_related("workspace", "requester")
    if asker.may(Verb.SEE_ALL_RUNS):
        return runs
    own = Q(requester=asker.user) if asker.user else Q(requester_name=str(asker.principal))
    asked = Q()
    for group in groups_of(asker):
        asked |= Q(thresholds__contains=[{"group": group}])
    if asked:
        own = own | Q(Exists(Gate.objects.filter(asked, run=OuterRef("pk"), effect="hold")))
    return runs.filter(own)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list shows. `need`: `person` (waits for one), `work` (at work), `mine`; empty fields match everything."""

    need: str = ""
    state: str = ""
    requester: str = ""
    source: str = ""
    agent: str = ""
    since: datetime | None = None
    text: str = ""


def runs_matching(asker: Asker, wanted: RunFilter) -> QuerySet[Run]:
    """Return the runs that the asker may see and that match; `text` is a number or words of the request."""
    runs = runs_visible_to(asker)
    if wanted.need == "person":
        runs = runs.filter(waits_for_people(), state__in=OPEN_RUN)
    elif wanted.need == "work":
        runs = runs.filter(~waits_for_people(), state=RunState.RUNNING)
    elif wanted.need == "mine":
        runs = runs.filter(requester_persons__overlap=sorted(asker.principal.persons))
    same = {"state": wanted.state, "source": wanted.source, "created_at__gte": wanted.since}
    runs = runs.filter(**{name: value for name, value in same.items() if value})
    if wanted.requester:
        runs = runs.filter(requester_name=f"user:{wanted.requester}")
    if wanted.agent:
        runs = runs.filter(Exists(Step.objects.filter(run=OuterRef("pk"), agent_name=wanted.agent)))
    if wanted.text:
        text = wanted.text.removeprefix("#")
        number = Q(number=int(text)) if text.isascii() and text.isdecimal() and len(text) < 10 else Q()
        runs = runs.filter(number or Q(request_text__icontains=wanted.text))
    return runs


def waits_for_people() -> Q:
    """Return the condition on an open run that only people bring it on: a gate waits, or a call is to be settled."""
    gates = Gate.objects.filter(run=OuterRef("pk"), workspace=OuterRef("workspace"), state=GateState.WAITING)
    lost = SkillInvocation.objects.filter(run=OuterRef("pk"), state=InvocationState.UNKNOWN)
    return Q(Exists(gates)) | Q(Exists(lost))


def open_runs(asker: Asker) -> Mapping[str, int]:
    """Count the open runs that the asker may see, by what brings them on: `person`, `planning`, `work`."""
    runs = runs_visible_to(asker).filter(state__in=OPEN_RUN)
    people, planning = waits_for_people(), Q(state__in=[RunState.RECEIVED, RunState.PLANNING])
    found: dict[str, int] = runs.aggregate(
        person=Count("pk", filter=people),
        planning=Count("pk", filter=planning & ~people),
        work=Count("pk", filter=~planning & ~people),
    )
    return found


def ended_runs(asker: Asker, since: datetime) -> Mapping[str, int]:
    """Count the runs asked for since then that are over, by state."""
    runs = runs_visible_to(asker).filter(created_at__gte=since).exclude(state__in=OPEN_RUN)
    return dict(runs.order_by().values_list("state").annotate(Count("pk")))


def decisions_by_hour(asker: Asker, since: datetime) -> list[tuple[datetime, str, int]]:
    """Count the workspace's decisions since then, by hour and effect; nothing for who does not see all its runs."""
    if not asker.may(Verb.SEE_ALL_RUNS):
        return []
    gates = Gate.objects.filter(workspace=asker.workspace, created_at__gte=since).order_by()
    return list(gates.values_list(TruncHour("created_at"), "effect").annotate(Count("pk")))


def member_names(asker: Asker) -> list[str]:
    """Return the user names of the workspace's members, for whoever sees the runs of all of them."""
    if not asker.may(Verb.SEE_ALL_RUNS):
        return []
    return list(
        Membership.objects.filter(workspace=asker.workspace)
        .order_by("user__username")
        .values_list("user__username", flat=True)[:200]
    )


def budgets_of(run: Run) -> QuerySet[Budget]:
    return Budget.objects.filter(scope=run.pk)


def run_of(asker: Asker, named: object) -> Run:
    """Return a run by id or number, or refuse with not_found."""
    text = str(named).removeprefix("#")
    by = Q(number=int(text)) if text.isascii() and text.isdecimal() and len(text) < 10 else Q(pk=parse_id(named))
    return found_or_refused(runs_visible_to(asker).filter(by).first(), "run", named)


def groups_of(asker: Asker) -> list[str]:
    """Return the names of the workspace's approver groups that the asker is in; a service account is in none."""
    if asker.user is None or not asker.may(Verb.ANSWER_GATES):
        return []
    return list(
        ApproverGroup.objects.filter(workspace=asker.workspace, members=asker.user).values_list("name", flat=True)
    )


def groups_without(asker: Asker) -> Mapping[str, set[str]]:
    """Return the active members of the workspace's approver groups, by group, without the people behind the asker."""
    groups: dict[str, set[str]] = {}
    rows = ApproverGroup.objects.filter(workspace=asker.workspace).values_list(
        "name", "members", "members__username", "members__is_active"
    )
    for group, pk, name, is_active in rows:
        found = groups.setdefault(group, set())
        if is_active and str(pk) not in asker.principal.persons:
            found.add(name)
    return groups


def steps_of(run: Run) -> QuerySet[Step]:
    return Step.objects.filter(run=run).defer("instruction", "result", "checkpoint").order_by("sequence")


def plan_of(run: Run) -> Plan | None:
    """Return the plan that holds, else the newest proposal."""
    plans = Plan.objects.filter(run=run).defer("raw", "normalised")
    return plans.exclude(state="rejected").first() or plans.order_by("-version").first()


def plans_of(run: Run) -> QuerySet[Plan]:
    return Plan.objects.filter(run=run).defer("raw", "normalised").order_by("version")


def gates_visible_to(asker: Asker) -> QuerySet[Gate]:
    return Gate.objects.filter(run__in=runs_visible_to(asker)).select_related("run", "step", "workspace")


def gates_of(run: Run) -> QuerySet[Gate]:
    return Gate.objects.filter(run=run).select_related("run", "step").order_by("-created_at", "-pk")


def calls_of(run: Run) -> QuerySet[SkillInvocation]:
    return (
        SkillInvocation.objects.filter(run=run)
        .select_related("step", "gate")
        .defer("input", "output")
        .order_by("created_at")
    )


def calls_visible_to(asker: Asker) -> QuerySet[SkillInvocation]:
    return (
        SkillInvocation.objects.filter(run__in=runs_visible_to(asker))
        .select_related("run", "step", "gate")
        .defer("input", "output")
    )


def unsettled_calls(asker: Asker) -> QuerySet[SkillInvocation]:
    """Return the calls of which nobody knows whether they happened."""
    return calls_visible_to(asker).filter(state=InvocationState.UNKNOWN).order_by("state_changed_at")


def calls_to_settle(asker: Asker) -> QuerySet[SkillInvocation]:
    """Return the unsettled calls that the asker may settle: none of a run that they asked for themselves."""
    calls = unsettled_calls(asker).exclude(run__requester_persons__overlap=sorted(asker.principal.persons))
    return calls if asker.may(Verb.SETTLE_CALLS) else calls.none()


def call_of(caller: Caller, call_id: str) -> SkillInvocation | None:
    """Return an agent's own call."""
    return (
        SkillInvocation.objects.select_related("gate")
        .filter(step=caller.step_id, run=caller.run_id, call_id=call_id)
        .first()
    )


def artifacts_visible_to(asker: Asker) -> QuerySet[Artifact]:
    return Artifact.objects.filter(run__in=runs_visible_to(asker)).select_related("run", "step").defer("content")


def artifact_content(asker: Asker, artifact_id: object) -> tuple[Artifact, bytes]:
    """Open an artifact for somebody who may read payloads of its run, or is asked about it; that is a ledger entry."""
    artifact = found_or_refused(
        artifacts_visible_to(asker).filter(pk=parse_id(artifact_id)).first(), "artifact", artifact_id
    )
    if not may_read_payloads(asker, artifact.run) and not _is_asked_about(asker, artifact):
        raise Refused("your role sees that it exists, not what is in it", code=Code.FORBIDDEN)
    record("artifact.open", artifact, by=asker.principal, because=artifact.name)
    return artifact, content_of(artifact.content)


def _is_asked_about(asker: Asker, artifact: Artifact) -> bool:
    """Say whether a gate that asks the asker is about a payload that carries the artifact: one must be able to read it whole."""
    groups = set(groups_of(asker))
    for gate in Gate.objects.filter(run=artifact.run_id, effect="hold").exclude(payload=None).select_related("payload"):
        is_asked = bool(groups & {each["group"] for each in gate.thresholds})
        if is_asked and gate.payload is not None and artifact.pk in artifact_ids(value_of(gate.payload)["payload"]):
            return True
    return False


def burns_visible_to(asker: Asker) -> QuerySet[Burn]:
    return (
        Burn.objects.filter(run__in=runs_visible_to(asker)).select_related("run", "step").order_by("-created_at", "-pk")
    )


def approvals_for(asker: Asker) -> QuerySet[Gate]:
    """Return the waiting gates that the asker may answer now: asked, not their own request, not answered by them yet."""
    asked = Q(pk=None)
    for group in groups_of(asker):
        asked |= Q(thresholds__contains=[{"group": group}])
    answered = Vote.objects.filter(gate=OuterRef("pk"), user=asker.user)
    return (
        Gate.objects.filter(asked, workspace=asker.workspace, state=GateState.WAITING)
        .exclude(run__requester_persons__overlap=sorted(asker.principal.persons))
        .exclude(Exists(answered))
        .select_related("run", "step", "plan", "workspace")
        .prefetch_related(Prefetch("invocations", SkillInvocation.objects.defer("input", "output")))
        .order_by("expires_at", "pk")
    )


def gate_of(asker: Asker, gate_id: object) -> Gate:
    """Return a gate, or refuse with not_found; those who are asked see it even where they do not see the run's list."""
    pk = parse_id(gate_id)
    return found_or_refused(
        gates_visible_to(asker).select_related("run", "step", "plan", "payload", "workspace").filter(pk=pk).first(),
        "gate",
        gate_id,
    )


def gate_payload(asker: Asker, gate: Gate, *, because: str = "to look at what is asked") -> dict[str, Any] | None:
    """Open the exact payload of a held gate, for somebody who may answer it or read payloads; that is a ledger entry.

    None when they may only know that it exists.
    """
    asked = {each["group"] for each in gate.thresholds} & set(groups_of(asker))
    if not asked and not may_read_payloads(asker, gate.run):
        return None
    record("gate.open", gate, by=asker.principal, because=because)
    payload: dict[str, Any] | None = value_of(gate.payload)["payload"] if gate.payload else None
    return payload


def gate_artifacts(gate: Gate, ids: Iterable[UUID]) -> list[tuple[Artifact, bytes]]:
    """Open the artifacts that a payload carries, for whoever the payload was opened for."""
    rows = Artifact.objects.filter(pk__in=list(ids), run=gate.run_id).select_related("content")
    return [(row, content_of(row.content)) for row in rows]


def gate_outcome(gate: Gate) -> Outcome:
    """Return what the votes on a gate amount to, and who may still answer (keys of people)."""
    thresholds = [Threshold.from_json(each) for each in gate.thresholds]
    return tally(thresholds, approver_members(gate), vote_facts(gate), frozenset(gate.run.requester_persons))


def may_read_payloads(asker: Asker, run: Run) -> bool:
    """Say whether the asker may see exact inputs and outputs of a run: members only of their own."""
    if not asker.may(Verb.READ_PAYLOADS):
        return False
    if asker.may(Verb.SEE_ALL_RUNS):
        return True
    return bool(asker.principal.persons & set(run.requester_persons))


def entries_visible_to(asker: Asker, wanted: Filter | None = None) -> QuerySet[AuditEvent]:
    """Return the ledger's entries that the asker may see, newest first: those of the workspace, or of the runs they see.

    Auditors and superusers also see those of no workspace: accounts, keys, agents and skills.
    """
    found = visible_entries(None, wanted)
    if asker.may(Verb.SEE_ALL_WORKSPACES):
        return found.filter(Q(workspace=asker.workspace_id) | Q(workspace=None))
    found = found.filter(workspace=asker.workspace_id)
    return found if asker.may(Verb.SEE_ALL_RUNS) else found.filter(run__in=runs_visible_to(asker).values("pk"))


def entries_of_subject(asker: Asker, subject: str) -> QuerySet[AuditEvent]:
    """Return what the ledger says about a row that the asker was shown: also one of no workspace, such as the platform's."""
    found = visible_entries(None, Filter(subject=subject))
    return found.filter(Q(workspace=asker.workspace_id) | Q(workspace=None))


def agents() -> QuerySet[Agent]:
    return Agent.objects.order_by("name")


def skills() -> QuerySet[Skill]:
    return Skill.objects.order_by("name")


def manifests_visible_to(asker: Asker) -> QuerySet[PolicyManifest]:
    """Return the versions of the workspace's policy, and the platform's."""
    return PolicyManifest.objects.filter(Q(workspace=asker.workspace) | Q(workspace=None)).select_related("workspace")


def found_or_refused(row: Any, noun: str, named: object) -> Any:
    """Return a row, or refuse with not_found: what somebody may not see is as if it were not there."""
    if row is None:
        raise Refused(f"there is no {noun} {str(named)[:64]}", code=Code.NOT_FOUND)
    return row
