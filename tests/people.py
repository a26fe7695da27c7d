"""The people of the suite, and the workspace they meet in: ada asks, bob decides, carol audits, eve may see nothing."""

import copy
from dataclasses import dataclass
from typing import Any

import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection
from django.utils.timezone import now

from audit.principals import SYSTEM, Principal, person
from governance.actions.manifests import activate_manifest, draft_manifest, submit_manifest
from governance.actions.people import add_approvers, add_member, create_workspace
from governance.actions.registry import sync_agents, sync_skills
from governance.models import Workspace
from tests.database import Rows, fill, rows_in
from worka_site.seed import AGENTS, POLICIES, _skill


@dataclass(frozen=True, slots=True)
class House:
    """A workspace with its people. dora runs it (admin), olga owns it, ben is in the asked group with bob."""

    workspace: Workspace
    ada: Any
    bob: Any
    ben: Any
    carol: Any
    dora: Any
    eve: Any
    olga: Any

    def by(self, name: str) -> Principal:
        return person(getattr(self, name))


def build_house(slug: str = "acme", *, policy: str = "", skills: tuple[dict[str, Any], ...] = ()) -> House:
    """Return a workspace with agents, skills, an active policy and its people, all made through the real actions.

    Where nothing is there yet, rows that were made once in this process (at the same hour, where the clock was set) are put
    in again: it is ten times as fast.
    """
    if not _is_blank() or not _is_superuser():
        return _build(slug, policy, skills)
    asked = (slug, policy, repr(skills), now().isoformat() if time_machine.escape_hatch.is_travelling() else "")
    connection.ensure_connection()
    if asked in _built:
        house, rows = _built[asked]
        fill(connection.connection, rows)
    else:
        house = _build(slug, policy, skills)
        _built[asked] = (house, rows_in(connection.connection))
    return copy.deepcopy(_built[asked][0])


_built: dict[tuple[str, ...], tuple[House, Rows]] = {}


def _is_blank() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (TABLE governance_workspace) OR EXISTS (TABLE auth_user) OR EXISTS (TABLE audit_auditevent) "
            "OR EXISTS (TABLE governance_skill) OR EXISTS (TABLE auth_group)"
        )
        return not cursor.fetchone()[0]


def _is_superuser() -> bool:
    """Say whether the suite may put rows past the triggers of the ledger."""
    return connection.connection.info.parameter_status("is_superuser") == "on"


def _build(slug: str, policy: str, skills: tuple[dict[str, Any], ...]) -> House:
    from gateway.connector import all_skills

    users = get_user_model().objects
    workspace = create_workspace(slug, slug.title(), by=SYSTEM, because="a test")
    sync_skills([*(_skill(name) for name in sorted(all_skills())), *skills])
    sync_agents(AGENTS)
    names = {
        "ada": "member",
        "bob": "member",
        "ben": "member",
        "carol": "",
        "dora": "admin",
        "eve": "",
        "olga": "owner",
    }
    people = {}
    for name, role in names.items():
        people[name] = users.filter(username=name if slug == "acme" else f"{name}.{slug}").first() or users.create_user(
            name if slug == "acme" else f"{name}.{slug}", password="a password for tests", is_staff=True
        )
        if role:
            add_member(workspace, people[name], role, by=SYSTEM, because="a test")
    add_approvers(workspace, "operators", [people["bob"], people["ben"], people["dora"]], by=SYSTEM, because="a test")
    people["carol"].groups.add(Group.objects.get_or_create(name="auditors")[0])
    use_policy(None, (POLICIES / "platform.yaml").read_text())
    use_policy(workspace, policy or (POLICIES / "default.yaml").read_text())
    return House(workspace=workspace, **people)


def use_policy(workspace: Workspace | None, source: str) -> None:
    """Make a manifest the active one, by the system's own hand."""
    draft = draft_manifest(workspace.pk if workspace else None, source, by=SYSTEM)
    submit_manifest(draft.pk, by=SYSTEM, because="a test")
    activate_manifest(draft.pk, by=SYSTEM, because="a test")
