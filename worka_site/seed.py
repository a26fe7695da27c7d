"""What a new installation starts with: people, a workspace, agents, skills, policy and keys. May be run at every start."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from audit.ledger import record
from audit.principals import SYSTEM
from gateway.actions import seed_api_key
from gateway.connector import all_skills, digest_of
from governance.actions.manifests import activate_manifest, draft_manifest, submit_manifest
from governance.actions.people import add_approvers, add_member, create_workspace
from governance.actions.registry import sync_agents, sync_skills
from governance.models import PolicyManifest, Role, Workspace
from worka_site.env import PROJECT
from worka_site.home import new_password, read_credentials, write_credentials

BECAUSE = "made at the first start"
WORKSPACE = ("default", "Default workspace")
APPROVERS = "operators"
POLICIES = PROJECT / "governance" / "policies"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to sign in as at once: a role in the workspace, and whether rules may ask them."""

    username: str
    role: Role
    is_asked: bool = False


PEOPLE = (
    Person("requester", Role.MEMBER),
    Person("approver", Role.MEMBER, is_asked=True),
    Person("operator", Role.ADMIN, is_asked=True),
    Person("owner", Role.OWNER),
)

AGENTS: tuple[dict[str, Any], ...] = (
    {
        "name": "hari",
        "kind": "planner",
        "description": "Plans: turns a request into steps, by a playbook where one fits.",
        "command": ["python", "-m", "runtime.agents", "hari"],
    },
    {
        "name": "ernest",
        "kind": "worker",
        "description": "Works one step: calls skills through the gateway, renders reports.",
        "command": ["python", "-m", "runtime.agents", "ernest"],
    },
    {
        "name": "daneel",
        "kind": "courier",
        "description": "Tells people: drafts the answer from what the steps have found.",
        "command": ["python", "-m", "runtime.agents", "daneel"],
    },
)


def seed() -> dict[str, Any] | None:
    """Make what is missing and leave what is there; return the credentials file's content, None where it was removed.

    Passwords and keys are written down before they are stored: a start that was killed half-way goes on with the same.
    """
    workspace = create_workspace(*WORKSPACE, by=SYSTEM, because=BECAUSE)
    credentials = _credentials()
    _seed_people(workspace, credentials)
    install(workspace)
    return credentials


def install(workspace: Workspace) -> None:
    """Store the agents and skills that are shipped, and put the shipped policy in force where there is none."""
    sync_skills([_skill(name) for name in sorted(all_skills())])
    sync_agents(AGENTS)
    # The platform's is the ceiling, the workspace's may only narrow it. What people have activated since stays.
    for scope, file in ((None, "platform.yaml"), (workspace.pk, "default.yaml")):
        if not PolicyManifest.objects.filter(workspace=scope).exists():
            _activate(scope, POLICIES / file)


def _credentials() -> dict[str, Any] | None:
    home = settings.WORKA_HOME
    found = read_credentials(home)
    if found is None:
        if get_user_model().objects.filter(username__in=[person.username for person in PEOPLE]).exists():
            return None
        found = {
            "people": [
                {
                    "username": person.username,
                    "password": new_password(),
                    "role": str(person.role),
                    "api_key": _first_key(person) or f"wk_{secrets.token_hex(4)}_{secrets.token_hex(32)}",
                }
                for person in PEOPLE
            ]
        }
    if found.get("url") != settings.WORKA_URL:
        found = {"url": settings.WORKA_URL, **{name: value for name, value in found.items() if name != "url"}}
        write_credentials(home, found)
    return found


def _first_key(person: Person) -> str:
    return settings.WORKA_FIRST_API_KEY if person.role == Role.OWNER else ""


def _seed_people(workspace: Workspace, credentials: dict[str, Any] | None) -> None:
    users = get_user_model().objects
    known = {entry["username"]: entry for entry in (credentials or {}).get("people", [])}
    for person in PEOPLE:
        entry = known.get(person.username)
        if entry is None or users.filter(username=person.username).exists():
            continue
        with transaction.atomic():
            user = users.create_user(person.username, password=entry["password"], is_staff=True)
            record("user.create", user, by=SYSTEM, because=BECAUSE, username=person.username)
            add_member(workspace, user, person.role, by=SYSTEM, because=BECAUSE)
            if person.is_asked:
                add_approvers(workspace, APPROVERS, [user], by=SYSTEM, because=BECAUSE)
            seed_api_key(workspace, user, entry["api_key"], by=SYSTEM, because=BECAUSE)


@transaction.atomic
def _activate(scope: Any, file: Path) -> None:
    manifest = draft_manifest(scope, file.read_text(encoding="utf-8"), by=SYSTEM)
    submit_manifest(manifest.pk, by=SYSTEM, because=BECAUSE)
    activate_manifest(manifest.pk, by=SYSTEM, because=BECAUSE)


def _skill(name: str) -> dict[str, Any]:
    spec = all_skills()[name]
    return {
        "name": spec.name,
        "description": spec.description,
        "input_schema": dict(spec.input_schema),
        "output_schema": dict(spec.output_schema),
        "digest": digest_of(spec),
        "side_effect": spec.side_effect,
        "labels": sorted(spec.labels),
        "lock_key": spec.lock_key,
        "idempotent": spec.idempotent,
        "timeout_s": spec.timeout_s,
    }
