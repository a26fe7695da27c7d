"""Who belongs where, what is installed, what is frozen and which policy holds: each change once, with a reason, in the ledger."""

import pytest

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.models import AuditEvent
from audit.principals import SYSTEM
from governance.actions.freezing import disable, enable, freeze_workspace, thaw_workspace
from governance.actions.manifests import activate_manifest, draft_manifest, reject_manifest, submit_manifest
from governance.actions.people import add_approvers, add_member, create_workspace
from governance.actions.registry import sync_agents, sync_skills
from governance.actions.restoring import freeze_everything, thaw_what_the_restore_froze
from governance.models import Agent, Budget, Membership, PolicyManifest, Skill, Workspace
from runtime.actions import MOST_REFUSED, end_if_refused_too_often
from runtime.models import AgentJob
from tests import desk
from tests.desk import step


def entries(type_):
    return AuditEvent.objects.filter(type=type_).count()


# --- Freezing -------------------------------------------------------------------------------------------------------


def test_freezing_twice_keeps_the_first_reason_and_thawing_twice_is_once(j):
    olga, pk = j.house.by("olga"), j.house.workspace.pk
    freeze_workspace(pk, by=olga, because="first")
    freeze_workspace(pk, by=olga, because="second")
    assert (Workspace.objects.get(pk=pk).frozen_because, entries("workspace.freeze")) == ("first", 1)

    thaw_workspace(pk, by=olga, because="over")
    thaw_workspace(pk, by=olga, because="over again")

    workspace = Workspace.objects.get(pk=pk)
    assert (workspace.frozen_at, workspace.frozen_by, workspace.frozen_because, entries("workspace.thaw")) == (
        None,
        "",
        "",
        1,
    )


@pytest.mark.parametrize(("model", "name"), [(Agent, "ernest"), (Skill, "desk.peek")])
def test_disabling_twice_keeps_the_first_reason_and_enabling_twice_is_once(j, model, name):
    olga, kind = j.house.by("olga"), model.__name__.lower()
    disable(model.objects.get(name=name), by=olga, because="first")
    assert disable(model.objects.get(name=name), by=olga, because="second").disabled_because == "first"
    assert entries(f"{kind}.disable") == 1

    enable(model.objects.get(name=name), by=olga, because="over")
    row = enable(model.objects.get(name=name), by=olga, because="over again")

    assert (row.enabled, row.disabled_at, row.disabled_because, entries(f"{kind}.enable")) == (True, None, "", 1)


def test_nothing_is_stopped_or_let_go_without_a_reason(j):
    olga, pk, ernest = j.house.by("olga"), j.house.workspace.pk, Agent.objects.get(name="ernest")
    wrong = (
        lambda: freeze_workspace(pk, by=olga, because=" "),
        lambda: thaw_workspace(pk, by=olga, because=""),
        lambda: disable(ernest, by=olga, because=""),
        lambda: enable(ernest, by=olga, because=" "),
    )

    for each in wrong:
        with pytest.raises(Refused) as refusal:
            each()
        assert refusal.value.code == Code.INVALID
    assert not AuditEvent.objects.filter(
        type__in=["workspace.freeze", "workspace.thaw", "agent.disable", "agent.enable"]
    ).exists()


def test_what_people_froze_stays_frozen_when_a_restore_is_accepted(j):
    other = create_workspace("other", "Other", by=SYSTEM, because="a test")
    freeze_workspace(other.pk, by=j.house.by("olga"), because="an audit")

    freeze_everything("the ledger was cut")
    assert not Workspace.objects.filter(frozen_at=None).exists()
    thaw_what_the_restore_froze(j.house.by("olga"), "it was a restore")

    assert [(each.slug, each.frozen_because) for each in Workspace.objects.exclude(frozen_at=None)] == [
        ("other", "an audit")
    ]


# --- People and what is installed -----------------------------------------------------------------------------------


def test_a_workspace_a_member_and_an_approver_are_made_once(j):
    house = j.house
    again = create_workspace("acme", "Another name", by=SYSTEM, because="again")
    kept = add_member(again, house.ada, "owner", by=SYSTEM, because="again")
    group = add_approvers(again, "operators", [house.bob], by=SYSTEM, because="again")

    assert (again.pk, again.name, kept.role) == (house.workspace.pk, house.workspace.name, "member")
    assert group.members.count() == 3 and Budget.objects.filter(scope=again.pk).count() == 3
    assert [entries(each) for each in ("workspace.create", "approver_group.create", "approver_group.add")] == [1, 1, 3]
    assert entries("membership.add") == Membership.objects.count()


def test_only_what_is_new_or_changed_is_installed(j):
    before = entries("skill.install")
    assert sync_skills(desk.SKILLS) == 0
    assert sync_agents([{"name": "ernest", "kind": "worker", "description": "another", "command": []}]) == 0
    changed = {**desk.SKILLS[0], "description": "other words", "digest": "9" * 64}

    assert sync_skills([changed]) == 1

    row = Skill.objects.get(name=changed["name"])
    entry = AuditEvent.objects.filter(type="skill.install").latest("id")
    assert (row.description, entries("skill.install")) == ("other words", before + 1)
    assert entry.facts["digest_before"] == desk.SKILLS[0]["digest"] and entry.facts["digest"] == "9" * 64
    assert Agent.objects.get(name="ernest").description != "another"


# --- Policy ---------------------------------------------------------------------------------------------------------


def test_policy_is_written_by_one_and_put_in_force_by_another(j):
    house = j.house
    draft = draft_manifest(house.workspace.pk, desk.POLICY + "# new\n", by=house.by("dora"))
    submit_manifest(draft.pk, by=house.by("dora"), because="please look")

    with pytest.raises(Refused) as own:
        activate_manifest(draft.pk, by=house.by("dora"), because="mine")
    activate_manifest(draft.pk, by=house.by("olga"), because="reads well")

    assert own.value.code == Code.OWN_REQUEST
    states = dict(PolicyManifest.objects.filter(workspace=house.workspace).values_list("version", "state"))
    assert states == {1: "retired", 2: "active"}
    active = PolicyManifest.objects.get(pk=draft.pk)
    assert (active.activated_by, active.activated_because) == ("user:olga", "reads well") and active.activated_at


def test_policy_that_was_turned_down_or_never_submitted_is_not_put_in_force(j):
    house = j.house
    turned_down, draft = (
        draft_manifest(house.workspace.pk, desk.POLICY + note, by=house.by("dora")) for note in ("# a\n", "# b\n")
    )
    submit_manifest(turned_down.pk, by=house.by("dora"), because="please look")
    reject_manifest(turned_down.pk, by=house.by("olga"), because="too wide")

    for each in (turned_down, draft):
        with pytest.raises(Refused) as refusal:
            activate_manifest(each.pk, by=house.by("olga"), because="now")
        assert refusal.value.code == Code.TRANSITION_REFUSED
    assert PolicyManifest.objects.get(workspace=house.workspace, state="active").version == 1


def test_policy_that_does_not_compile_is_not_stored(j):
    before = PolicyManifest.objects.count()
    for source in ("version: 1\nagents: {}\nsurprise: yes\n", "version: [1"):
        with pytest.raises(Refused) as refusal:
            draft_manifest(j.house.workspace.pk, source, by=j.house.by("dora"))
        assert refusal.value.code == Code.INVALID_MANIFEST and refusal.value.faults

    assert PolicyManifest.objects.count() == before


# --- Patience -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("planning", [True, False])
def test_an_attempt_that_is_refused_again_and_again_is_ended(j, planning):
    from governance.actions.door import ask

    j.ask()
    if not planning:
        j.propose(step("work", ("a", "peek", "x")))
    row = None if planning else j.step("work")
    caller, job = j.caller(row), j.job(row)
    for _ in range(MOST_REFUSED - 1):
        ask(caller, "memory.read")
    assert not end_if_refused_too_often(job, caller)
    ask(caller, "memory.read")

    assert end_if_refused_too_often(job, caller)
    assert not end_if_refused_too_often(job, caller)

    job = AgentJob.objects.get(pk=job.pk)
    j.run.refresh_from_db()
    assert not job.wanted
    assert j.run.planning_attempts == 1 if planning else (j.step("work").state, j.step("work").retries) == ("ready", 1)
