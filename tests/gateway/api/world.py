"""Two workspaces with everything in them that the API shows, and keys for everybody."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from audit.models import AuditEvent
from audit.principals import SYSTEM
from audit.sealing import seal_all
from gateway.actions import create_key
from gateway.connector import SkillFailed
from gateway.keys import Scope
from governance.actions.artifacts import store_artifact
from governance.actions.people import add_member
from governance.models import Artifact, Gate, PolicyManifest, Run, ServiceAccount, SkillInvocation
from tests.desk import Desk, step
from tests.gateway.treasury.bank import plug
from tests.journeys import Journey
from tests.modelling import POLICY, answered
from tests.people import House, use_policy

EVERYBODY = ("ada", "bob", "carol", "dora", "eve", "olga", "vic", "root")


@dataclass
class Things:
    """The ids of what one workspace has: of `run`, which waits for operators, and of `quiet`, which asks nobody."""

    run: str
    quiet: str
    gate: str
    call: str
    artifact: str
    policy: str
    event: int
    connection: str

    def for_path(self, path: str) -> str:
        """Fill the places of a path."""
        return path.format(
            run=self.run, gate=self.gate, call=self.call, artifact=self.artifact, policy=self.policy, event=self.event
        )

    def all(self) -> set[str]:
        return {self.run, self.quiet, self.gate, self.call, self.artifact, self.policy, self.connection}


@dataclass
class World:
    """`acme`, where the tests live, and `umbrella`, of which acme must see nothing."""

    house: House
    other: House
    own: Things
    foreign: Things
    people: dict[str, Any]
    robot: ServiceAccount
    journey: Journey
    keys: dict[Any, str] = field(default_factory=dict)

    def key(self, name: str, scopes: Iterable[Scope] = (Scope.ADMIN,), **more: Any) -> str:
        """Return an API key of a person, or of the service account `robot`, in acme."""
        about = {"service": self.robot} if name == "robot" else {"user": self.people[name]}
        return create_key(self.house.workspace, by=SYSTEM, label="a test", scopes=scopes, **about, **more)[1]

    def client(self, name: str, scopes: Iterable[Scope] = (Scope.ADMIN,), **more: Any) -> APIClient:
        """Return a client with a key of somebody."""
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {self.key(name, scopes, **more)}")
        return client


def furnish(j: Journey) -> Things:
    """Let a workspace have a run of each kind; bob's group is asked about the first."""
    use_policy(j.house.workspace, POLICY)
    j.ask("Look at the letters and answer them")
    j.propose(
        step("look", ("a", "read", "letters")), step("send", ("c", "send", "a letter"), ("s", "stamp", "a letter"))
    )
    j.call("look", "a")
    answered(j)
    j.call("send", "c")
    Desk.fails.append(SkillFailed("the line broke", effect="maybe"))
    j.call("send", "s")
    content = b"# <script>alert(1)</script> Report\n"
    artifact, _ = store_artifact(
        j.caller(j.step("look")),
        name="Bericht ✓.md",
        media_type="text/markdown",
        content=content,
        sha256=digest_of_bytes(content),
    )
    assert isinstance(artifact, Artifact)
    first = j.run
    quiet = j.ask("Another, by dora", who="dora")
    connection = plug(j.house)
    seal_all()  # what waits for the sealer for long makes the house unhealthy
    return Things(
        run=str(first.pk),
        quiet=str(quiet.pk),
        gate=str(Gate.objects.get(run=first, state="waiting").pk),
        call=str(SkillInvocation.objects.get(run=first, state="unknown").pk),
        artifact=str(artifact.pk),
        policy=str(PolicyManifest.objects.get(workspace=j.house.workspace, state="active").pk),
        event=AuditEvent.objects.filter(run=first.pk).latest("pk").pk,
        connection=str(connection.pk),
    )


def digest_of_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def more_people(house: House) -> dict[str, Any]:
    """Return everybody by name: those of the house, a viewer and a superuser."""
    users = get_user_model().objects
    people = {name: getattr(house, name) for name in EVERYBODY if hasattr(house, name)}
    people["vic"] = users.create_user("vic", password="a password for tests")
    add_member(house.workspace, people["vic"], "viewer", by=SYSTEM, because="a test")
    people["root"] = users.create_superuser("root", password="a password for tests")
    return people


def the_robot(house: House) -> ServiceAccount:
    """Return a service account that bob owns."""
    robot = ServiceAccount.objects.create(workspace=house.workspace, name="robot", role="member")
    robot.owners.add(house.bob)
    return robot


def run_now(run: str) -> Run:
    return Run.objects.get(pk=run)
