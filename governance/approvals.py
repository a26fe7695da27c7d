"""What people look at before they answer a gate: who may, what was read before, what was agreed to last time.

Every reading takes who is asking, or a gate that was read for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Prefetch, Q, QuerySet
from django.utils.timezone import now as clock

from governance.core.quorum import Outcome, Threshold, may_vote, tally, vote_refused
from governance.core.states import GateState
from governance.inputs import steps_before
from governance.models import Artifact, Gate, PolicyManifest, Skill, SkillInvocation, Step, Vote
from governance.people import Asker
from governance.queries import gates_visible_to
from governance.voters import approver_members, vote_facts

READ = ("succeeded", "running", "unknown", "failed")
MOST_READINGS = 60
MOST_WAITING = 500


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom a gate concerns. `standing`: `approve` or `reject` (answered), `open` (may answer), `barred`."""

    name: str
    standing: str
    is_asker: bool
    because: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GroupAsked:
    """One threshold with what was said so far."""

    group: str
    needed: int
    yes: int
    no: int
    rejections_end_it: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How the answer to a gate stands, and whether the asker may give one; else `why_not` is a sentence with the way out."""

    outcome: Outcome
    groups: tuple[GroupAsked, ...]
    people: tuple[Person, ...]
    may_answer: bool
    why_not: str


def held_gates(asker: Asker) -> QuerySet[Gate]:
    """Return the gates that people were asked about, with the call that each is about and the answers."""
    calls = Prefetch("invocations", SkillInvocation.objects.defer("input", "output"))
    return gates_visible_to(asker).filter(effect="hold").prefetch_related(calls, "votes")


def standing_of(asker: Asker, gate: Gate) -> Standing:
    """Count the votes on a gate and say who may still answer, whether the asker may, and why not."""
    thresholds = [Threshold.from_json(each) for each in gate.thresholds]
    members, facts, barred = approver_members(gate), vote_facts(gate), frozenset(gate.run.requester_persons)
    outcome = tally(thresholds, members, facts, barred)
    refusal = may_vote(
        asker.principal.persons, gate_state=gate.state, thresholds=thresholds, members_by_group=members, votes=facts,
        barred_persons=barred, expires_at=gate.expires_at, now=clock(),
    )  # fmt: skip
    may_answer = refusal is None and asker.user is not None
    why_not = ""
    if refusal is not None:
        refused = vote_refused(refusal)
        why_not = f"{refused}. {refused.recovery}".strip()
    rejected = [fact.persons for fact in facts if fact.verdict == "reject"]
    groups = tuple(
        GroupAsked(
            asked.group, asked.approve, asked.approve - lacking.missing,
            sum(who <= members.get(asked.group, frozenset()) for who in rejected), asked.reject,
        )
        for asked, lacking in zip(thresholds, outcome.missing, strict=True)
    )  # fmt: skip
    return Standing(outcome, groups, _people(asker, gate, members, outcome, barred), may_answer, why_not)


def _people(
    asker: Asker, gate: Gate, members: Mapping[str, frozenset[str]], outcome: Outcome, barred: frozenset[str]
) -> tuple[Person, ...]:
    votes = {str(vote.user_id): vote for vote in Vote.objects.filter(gate=gate).order_by("created_at")}
    concerned = frozenset().union(*members.values()) | barred | set(votes)
    names: dict[str, str] = {
        str(pk): name for pk, name in get_user_model().objects.filter(pk__in=concerned).values_list("pk", "username")
    }
    own = asker.principal.persons
    found = [
        Person(names.get(pk, vote.voter), vote.verdict, pk in own, vote.because, vote.created_at)
        for pk, vote in votes.items()
    ]
    rest = sorted((names.get(pk, ""), pk) for pk in concerned - set(votes))
    if gate.state == GateState.WAITING:
        found += [Person(name, "open", pk in own) for name, pk in rest if pk in outcome.may_answer]
    return (*found, *(Person(name, "barred", pk in own) for name, pk in rest if pk in barred))


def neighbours(gate: Gate, waiting: QuerySet[Gate]) -> tuple[UUID | None, UUID | None]:
    """Return the keys of the gates before and after this one among those that wait for the asker."""
    keys = list(waiting.values_list("pk", flat=True)[:MOST_WAITING])
    if gate.pk not in keys:
        return None, keys[0] if keys else None
    at = keys.index(gate.pk)
    return (keys[at - 1] if at else None), (keys[at + 1] if at + 1 < len(keys) else None)


def last_approved_like(asker: Asker, gate: Gate) -> Gate | None:
    """Return the newest gate before this one that people approved for the same skill, if the asker may see it."""
    if gate.step_id is None:
        return None
    before = gates_visible_to(asker).filter(
        effect="hold",
        state=GateState.APPROVED,
        action=gate.action,
        subject=gate.subject,
        created_at__lt=gate.created_at,
    )
    return before.select_related("payload").order_by("-created_at", "-pk").first()


def manifests_of(gate: Gate) -> dict[str, PolicyManifest]:
    """Return the manifests that decided, by digest; of versions with the same text the newest."""
    known = PolicyManifest.objects.filter(
        Q(workspace=None) | Q(workspace=gate.workspace_id), digest__in=gate.manifest_digests
    ).order_by("version")
    return {manifest.digest: manifest for manifest in known.select_related("workspace").defer("source", "compiled")}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a step could know when it asked: the calls and artifacts of the steps before it and its own, and their labels.

    `recalls` are the gates by which these steps and the planner were told of earlier runs.
    """

    steps: Mapping[Any, Step]
    calls: tuple[SkillInvocation, ...]
    artifacts: tuple[Artifact, ...]
    labels: Mapping[str, tuple[str, ...]]
    recalls: tuple[Gate, ...] = ()


def evidence_before(gate: Gate) -> Evidence | None:
    """Return what a held call may have been moved by; None for a plan, which nothing came before."""
    if gate.step is None:
        return None
    ids = {*steps_before(gate.step), gate.step.pk}
    steps = {step.pk: step for step in Step.objects.filter(pk__in=ids).defer("instruction", "result", "checkpoint")}
    calls = (
        SkillInvocation.objects.filter(run=gate.run_id, step__in=ids, created_at__lt=gate.created_at, state__in=READ)
        .exclude(step=gate.step_id, call_id=gate.call_id).defer("input", "output").order_by("created_at")
    )  # fmt: skip
    artifacts = Artifact.objects.filter(run=gate.run_id, step__in=ids, created_at__lt=gate.created_at).defer("content")
    recalls = Gate.objects.filter(
        Q(step=None) | Q(step__in=ids), run=gate.run_id, action="memory.read", effect="allow", created_at__lt=gate.created_at
    ).order_by("created_at")  # fmt: skip
    found = tuple(calls[:MOST_READINGS])
    labels = Skill.objects.filter(name__in={call.skill_name for call in found}).values_list("name", "labels")
    return Evidence(
        steps, found, tuple(artifacts.order_by("created_at")[:MOST_READINGS]),
        {name: tuple(sorted(given)) for name, given in labels}, tuple(recalls[:MOST_READINGS]),
    )  # fmt: skip
