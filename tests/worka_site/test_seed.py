"""The seed: what a new installation starts with, at every start, without undoing what people did."""

import json
import stat

import pytest
from django.contrib.auth import authenticate, get_user_model

from audit.models import AuditEvent
from gateway.connector import all_skills
from gateway.models import ApiKey
from governance.models import Agent, ApproverGroup, Membership, PolicyManifest, Skill, Workspace
from worka_site.seed import seed


@pytest.fixture(autouse=True)
def home(tmp_path, settings):
    settings.WORKA_HOME = tmp_path / "home"
    return settings.WORKA_HOME


def everything():
    models = (get_user_model(), Membership, ApproverGroup, Agent, Skill, PolicyManifest, ApiKey, Workspace, AuditEvent)
    return {model.__name__: model._base_manager.count() for model in models}


@pytest.mark.django_db
def test_the_first_start_makes_people_agents_skills_and_policy():
    seed()

    workspace = Workspace.objects.get()
    roles = {each.user.username: each.role for each in Membership.objects.select_related("user")}
    assert roles == {"requester": "member", "approver": "member", "operator": "admin", "owner": "owner"}
    assert {user.username for user in ApproverGroup.objects.get(name="operators").members.all()} == {
        "approver",
        "operator",
    }
    assert {(agent.name, agent.kind) for agent in Agent.objects.all()} == {
        ("hari", "planner"), ("ernest", "worker"), ("daneel", "courier"),
    }  # fmt: skip
    assert set(Skill.objects.values_list("name", flat=True)) == set(all_skills())
    assert {(each.workspace, each.state) for each in PolicyManifest.objects.all()} == {
        (None, "active"),
        (workspace, "active"),
    }
    assert not get_user_model().objects.filter(is_superuser=True).exists()
    assert workspace.slug == "default"


@pytest.mark.django_db
def test_what_it_makes_is_in_the_ledger_with_a_reason():
    seed()

    for type_, count in {
        "workspace.create": 1,
        "user.create": 4,
        "membership.add": 4,
        "api_key.create": 4,
        "agent.install": 3,
    }.items():
        entries = AuditEvent.objects.filter(type=type_)
        assert entries.count() == count, type_
        assert all(entry.because for entry in entries)
        assert {entry.actor for entry in entries} == {"system:worka"}


@pytest.mark.django_db
def test_the_second_start_makes_nothing():
    first = seed()
    before = everything()

    second = seed()

    assert everything() == before
    assert second == first


@pytest.mark.django_db
def test_people_sign_in_with_what_is_written_for_the_owner_of_the_home_alone(home):
    seed()

    file = home / "credentials.json"
    written = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for person in written["people"]:
        assert authenticate(username=person["username"], password=person["password"]) is not None
        assert ApiKey.objects.filter(user__username=person["username"], prefix=person["api_key"].split("_")[1]).exists()


@pytest.mark.django_db
def test_a_start_that_was_killed_after_writing_goes_on_with_the_same_passwords(home):
    written = seed()
    ApiKey.objects.all().delete()
    Membership.objects.all().delete()
    for group in ApproverGroup.objects.all():
        group.members.clear()
    get_user_model().objects.all().delete()

    again = seed()

    assert again == written
    assert all(authenticate(username=each["username"], password=each["password"]) for each in written["people"])


@pytest.mark.django_db
def test_a_removed_file_resets_nobodys_password(home):
    written = seed()
    (home / "credentials.json").unlink()

    assert seed() is None

    assert not (home / "credentials.json").exists()
    assert all(authenticate(username=each["username"], password=each["password"]) for each in written["people"])


@pytest.mark.django_db
def test_another_address_is_written_and_changes_nothing_else(home, settings):
    written = seed()
    settings.WORKA_URL = "http://127.0.0.1:9999"

    again = seed()

    assert again["url"] == "http://127.0.0.1:9999"
    assert again["people"] == written["people"]
    assert json.loads((home / "credentials.json").read_text())["url"] == "http://127.0.0.1:9999"


@pytest.mark.django_db
def test_what_people_changed_stays(home):
    seed()
    owner = get_user_model().objects.get(username="owner")
    owner.set_password("changed by its owner")
    owner.save()
    Agent.objects.filter(name="hari").update(enabled=False)
    Membership.objects.filter(user__username="requester").update(role="viewer")

    seed()

    assert authenticate(username="owner", password="changed by its owner") is not None
    assert Agent.objects.get(name="hari").enabled is False
    assert Membership.objects.get(user__username="requester").role == "viewer"


@pytest.mark.django_db
def test_the_first_key_may_come_from_the_environment(settings):
    settings.WORKA_FIRST_API_KEY = "wk_given_" + "0123456789abcdef" * 4

    written = seed()

    assert [each["api_key"] for each in written["people"] if each["role"] == "owner"] == [settings.WORKA_FIRST_API_KEY]
    assert ApiKey.objects.get(prefix="given").user.username == "owner"


@pytest.mark.django_db
def test_a_shipped_skill_that_changed_is_stored_anew_and_said():
    seed()
    Skill.objects.filter(name="git.log").update(digest="0" * 64, description="old")

    seed()

    skill = Skill.objects.get(name="git.log")
    assert skill.description == all_skills()["git.log"].description
    assert AuditEvent.objects.filter(type="skill.install", subject__endswith=str(skill.pk)).count() == 2
