"""Agents, skills and freezes in the console: who may use what, and what stops at once."""

import pytest

from audit.models import AuditEvent
from audit.principals import SYSTEM
from governance.actions.people import add_member, create_workspace
from governance.models import Agent, Skill
from tests.console import at, console_journey, hold, queries, visit, words

pytestmark = pytest.mark.django_db

PAGE, FREEZE = "/admin/governance/agent/", "/admin/freeze/"


@pytest.fixture
def j(monkeypatch):
    return console_journey(monkeypatch)


def told(response):
    return [str(message) for message in response.context["messages"]]


def line(page, kind, name):
    return next(each for each in page.context[f"{kind}s"] if each[kind].name == name)


def freeze(client, kind, name, because="odd calls", deed="freeze"):
    return client.post(FREEZE, {"kind": kind, "id": name, "because": because, "deed": deed}, follow=True)


def test_the_page_says_who_may_use_what_by_the_policy_in_force(j):
    page = visit(j.house.bob).get(PAGE)

    ernest, hari = line(page, "agent", "ernest"), line(page, "agent", "hari")
    assert {"desk.read", "desk.peek"} <= set(ernest["skills"])
    assert {"desk.write", "desk.send", "desk.stamp"} <= set(ernest["asked"])
    assert (hari["skills"], hari["asked"]) == ([], [])
    assert line(page, "skill", "desk.send")["agents"] == ["ernest"]
    assert line(page, "skill", "desk.send")["notes"] == ["Asks operators when it leaves the house."]
    assert "Denied when a rule says: nobody writes that." in line(page, "skill", "desk.write")["notes"]
    assert line(page, "skill", "git.log")["agents"] == []
    assert "No agent may use it." in words(page)


def test_use_is_counted_over_the_calls_that_one_may_see(j):
    hold(j, "dora")

    seen = {
        name: line(visit(getattr(j.house, name)).get(PAGE), "skill", "desk.read")["calls"]
        for name in ("ada", "bob", "dora")
    }

    assert seen == {"ada": 0, "bob": 1, "dora": 1}
    assert line(visit(j.house.dora).get(PAGE), "agent", "ernest")["last_at"] is not None
    assert line(visit(j.house.ada).get(PAGE), "agent", "ernest")["last_at"] is None


def test_only_who_runs_every_workspace_may_stop_an_agent_for_all(j):
    switches = {
        name: bool(line(visit(getattr(j.house, name)).get(PAGE), "agent", "ernest")["buttons"])
        for name in ("ada", "bob", "carol", "dora", "olga")
    }
    assert switches == {"ada": False, "bob": False, "carol": False, "dora": True, "olga": True}

    other = create_workspace("zeta", "Zeta", by=SYSTEM, because="a test")

    dora = visit(j.house.dora)
    assert line(dora.get(PAGE), "agent", "ernest")["buttons"] == []
    agent = Agent.objects.get(name="ernest")
    assert dora.post(at("governance_agent_press", agent.pk, "disable"), {"because": "x"}).status_code == 403
    assert "you may not freeze in each" in told(freeze(dora, "agent", "ernest"))[0]
    add_member(other, j.house.dora, "admin", by=SYSTEM, because="a test")
    assert line(dora.get(PAGE), "agent", "ernest")["buttons"]
    agent.refresh_from_db()
    assert agent.enabled


@pytest.mark.parametrize(("kind", "model", "name"), [("agent", Agent, "ernest"), ("skill", Skill, "desk.read")])
def test_a_switch_stops_and_starts_with_a_reason(j, kind, model, name):
    thing, dora = model.objects.get(name=name), visit(j.house.dora)

    off = dora.post(
        at(f"governance_{kind}_press", thing.pk, "disable"), {"because": "under review", "next": PAGE}, follow=True
    )
    thing.refresh_from_db()
    disabled = (thing.enabled, thing.disabled_because, thing.disabled_by)
    assert dora.post(at(f"governance_{kind}_press", thing.pk, "disable"), {"because": "again"}).status_code == 403
    on = dora.post(at(f"governance_{kind}_press", thing.pk, "enable"), {"because": "reviewed"}, follow=True)
    thing.refresh_from_db()

    assert told(off)[0].startswith(f"{name} is disabled") and "Disabled: under review" in words(off)
    assert disabled == (False, "under review", "user:dora")
    assert told(on)[0].startswith(f"{name} works again") and thing.enabled
    assert list(AuditEvent.objects.filter(subject__endswith=str(thing.pk), actor="user:dora").values_list("type", flat=True)) == [
        f"{kind}.disable", f"{kind}.enable",
    ]  # fmt: skip


def test_a_workspace_is_frozen_and_thawed_by_who_runs_it_and_nobody_else(j):
    workspace = j.house.workspace
    for name in ("ada", "bob", "carol"):
        page = freeze(visit(getattr(j.house, name)), "workspace", "acme")
        assert (page.status_code, "does not let you freeze" in told(page)[0]) == (409, True)
    workspace.refresh_from_db()
    assert workspace.frozen_at is None

    done = freeze(visit(j.house.dora), "workspace", "acme", "odd calls")
    workspace.refresh_from_db()
    assert workspace.frozen_because == "odd calls"
    assert "1 thing frozen: the workspace Acme" in words(done) and "odd calls" in words(visit(j.house.ada).get(FREEZE))

    lifted = freeze(visit(j.house.olga), "workspace", "acme", "explained", "lift")
    workspace.refresh_from_db()
    assert workspace.frozen_at is None and "works again" in told(lifted)[0]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("workspace", "zeta"), ("workspace", ""), ("agent", "nobody"), ("skill", "<b>"), ("planet", "earth"), ("", "")],
)
def test_what_is_not_there_cannot_be_frozen(j, kind, name):
    create_workspace("zeta", "Zeta", by=SYSTEM, because="a test")

    page = freeze(visit(j.house.dora), kind, name)

    assert page.status_code == 409 and told(page)
    assert not AuditEvent.objects.filter(type__endswith=".freeze").exists()


def test_a_freeze_needs_a_reason(j):
    page = freeze(visit(j.house.dora), "agent", "ernest", because="  ")

    assert told(page) == ["say why. Send a reason in `because`."]
    assert Agent.objects.get(name="ernest").enabled


def test_who_is_in_no_workspace_sees_neither_page(j):
    eve = visit(j.house.eve)

    assert (eve.get(PAGE).status_code, eve.get(FREEZE).status_code, freeze(eve, "agent", "ernest").status_code) == (
        404,
        404,
        404,
    )


def test_more_calls_do_not_ask_the_data_base_more_often(j):
    hold(j)
    dora = visit(j.house.dora)
    dora.get(PAGE)
    with queries() as few:
        dora.get(PAGE)
    for number in range(3):
        hold(j, text=f"Please {number}")

    with queries() as many:
        dora.get(PAGE)

    assert len(many) == len(few)
