"""What depends on a secret, said before it is rotated or revoked."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from gateway.connector import all_skills
from gateway.core.placeholders import names_in
from gateway.core.states import ConnectionState, GrantState
from gateway.models import Connection, Grant, Secret
from governance.core.states import InvocationState
from governance.models import Skill, SkillInvocation


@dataclass(frozen=True, slots=True)
class Impact:
    """The connections and skills that use a secret, and how many calls wait to be performed through them."""

    connections: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    waiting_calls: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the form that the ledger keeps."""
        return {
            "connections": list(self.connections),
            "skills": list(self.skills),
            "waiting_calls": self.waiting_calls,
        }

    def sentence(self, consequence: str) -> str:
        """Say it to people: `consequence` is what happens to these, such as "stop working"."""
        if not self.connections:
            return "Nothing uses it."
        waiting = f" {self.waiting_calls} calls wait for them." if self.waiting_calls else ""
        skills = f" with {', '.join(self.skills)}" if self.skills else ", which no skill may use it through"
        return f"{consequence}: {', '.join(self.connections)}{skills}.{waiting}"


def impact_of(secret: Secret) -> Impact:
    """Return what uses a secret now: connections that name it in their settings, and the skills that it is granted for."""
    named = [
        each
        for each in Connection.objects.filter(workspace=secret.workspace_id).exclude(state=ConnectionState.DISCONNECTED)
        if secret.name in names_in(each.settings)
    ]
    grants = list(Grant.objects.filter(secret=secret, state=GrantState.GIVEN))
    known = {*all_skills(), *Skill.objects.values_list("name", flat=True)} if named else set()
    skills = {
        skill
        for each in named
        for skill in known
        if skill.startswith(f"{each.service}.")
        and any(grant.connection_id == each.pk or (grant.skill and fnmatchcase(skill, grant.skill)) for grant in grants)
    }
    waiting = SkillInvocation.objects.filter(
        workspace=secret.workspace_id,
        state__in=[InvocationState.HELD, InvocationState.RELEASED],
        connection__in=[str(each.pk) for each in named],
    )
    return Impact(tuple(str(each) for each in named), tuple(sorted(skills)), waiting.count() if named else 0)
