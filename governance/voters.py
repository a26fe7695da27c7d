"""Who is asked, and how they have voted, as values to count."""

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from governance.core.permissions import Verb, who_may
from governance.core.quorum import VoteFact
from governance.models import ApproverGroup, Gate, Membership, Vote


def approver_members(gate: Gate) -> dict[str, frozenset[str]]:
    """Return the keys of the active people in each group that the gate asks."""
    return members_of({(gate.workspace_id, each["group"]) for each in gate.thresholds})[gate.workspace_id]


def vote_facts(gate: Gate) -> list[VoteFact]:
    return [vote_fact(vote) for vote in Vote.objects.filter(gate=gate).order_by("created_at")]


def vote_fact(vote: Vote) -> VoteFact:
    return VoteFact(frozenset({str(vote.user_id)}), vote.verdict, name=vote.voter, at=vote.created_at)  # type: ignore[arg-type]


def members_of(groups: Iterable[tuple[UUID, str]]) -> dict[UUID, dict[str, frozenset[str]]]:
    """Return the keys of the people of each group who are active and may answer in its workspace."""
    wanted = set(groups)
    found: dict[UUID, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    may_answer = Membership.objects.filter(
        workspace=OuterRef("workspace"), user=OuterRef("members"), role__in=who_may(Verb.ANSWER_GATES)
    )
    rows = ApproverGroup.objects.filter(
        Exists(may_answer) | Q(members__is_superuser=True),
        workspace__in={workspace for workspace, _ in wanted},
        name__in={name for _, name in wanted},
        members__is_active=True,
    ).values_list("workspace_id", "name", "members")
    for workspace, name, member in rows:
        found[workspace][name].add(str(member))
    members: dict[UUID, dict[str, frozenset[str]]] = defaultdict(dict)
    for workspace, by_name in found.items():
        members[workspace] = {name: frozenset(people) for name, people in by_name.items()}
    return members
