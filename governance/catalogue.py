"""What exists to plan with: agents, skills and groups, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Q

from governance.core.compiled import CompiledManifest
from governance.core.evaluate import permitted_skills
from governance.core.facts import SkillFact
from governance.core.plan import Catalogue, CatalogueAgent
from governance.gather import limits_among, skill_fact
from governance.models import Agent, ApproverGroup, Skill


@dataclass(frozen=True, slots=True)
class PolicyNames:
    """The names that a manifest may use."""

    skills: dict[str, SkillFact]
    agents: frozenset[str]
    groups: Mapping[str, int] | frozenset[str]


def policy_names(workspace_id: UUID | None) -> PolicyNames:
    """Return the names a manifest is checked against; the platform's may name the groups of any workspace.

    A workspace's groups come with how many people they have, so that a quorum that nobody can meet is seen.
    """
    return PolicyNames(
        skills={skill.name: skill_fact(skill) for skill in Skill.objects.all()},
        agents=frozenset(Agent.objects.values_list("name", flat=True)),
        groups=_groups_of(workspace_id)
        if workspace_id
        else frozenset(ApproverGroup.objects.values_list("name", flat=True)),
    )


def _groups_of(workspace_id: UUID) -> dict[str, int]:
    active = Count("members", filter=Q(members__is_active=True))
    return dict(
        ApproverGroup.objects.filter(workspace=workspace_id).annotate(active=active).values_list("name", "active")
    )


def catalogue_of(manifests: Sequence[CompiledManifest]) -> Catalogue:
    """Return what a plan may be made of by these manifests."""
    skills = {skill.name: skill_fact(skill) for skill in Skill.objects.filter(enabled=True)}
    agents = {
        row.name: CatalogueAgent(row.name, row.kind, frozenset(permitted_skills(manifests, row.name, skills)))
        for row in Agent.objects.filter(enabled=True)
    }
    limits = limits_among(manifests).plan
    return Catalogue(agents=agents, skills=skills, most_steps=limits.steps, most_depth=limits.depth)
