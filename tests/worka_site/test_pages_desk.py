"""The desk and the frame: what waits for whom, in which workspace."""

import pytest
from django.core.cache import cache

from audit.principals import SYSTEM
from governance.actions.people import add_member
from governance.core.states import StepState
from tests.console import at, console_journey, hold, queries, visit, words
from tests.desk import step
from tests.people import build_house

pytestmark = pytest.mark.django_db

DESK = "/admin/"


@pytest.fixture
def j(monkeypatch):
    cache.clear()
    return console_journey(monkeypatch)


def test_who_is_asked_sees_what_waits_for_them_and_what_exactly_it_is(j):
    run = hold(j, note="for the board")

    said = words(visit(j.house.bob).get(DESK))

    assert "One thing waits for you" in said
    assert "desk.write for the board" in said
    assert (
        f"Run {run.number} of ada: the run has read text that strangers wrote. One approval of operators is needed."
        in said
    )


def test_who_asked_is_not_asked_and_sees_why_their_run_waits(j):
    hold(j)

    said = words(visit(j.house.ada).get(DESK))

    assert "Nothing waits for you" in said
    assert "Asked by you" in said and "Waiting for operators (ben, bob or dora) to approve desk.write" in said


def test_who_looks_after_the_house_sees_what_runs_and_what_burns(j):
    j.ask()
    j.leave(j.job(), exit_code=3)
    j.tick()
    said = words(visit(j.house.dora).get(DESK))

    assert "Burns not acknowledged" in said and "Job failed" in said
    assert "1 Planning" in said


def test_a_run_whose_approvers_are_all_barred_is_shown_as_stuck(j):
    from governance.models import ApproverGroup

    hold(j, who="bob")
    ApproverGroup.objects.get(workspace=j.house.workspace, name="operators").members.set([j.house.bob])

    said = words(visit(j.house.dora).get(DESK))

    assert f"Nobody can answer what run {j.run.number} waits for" in said


def test_who_is_in_no_workspace_is_told_whom_to_ask_and_sees_nothing_else(j):
    hold(j)
    eve = visit(j.house.eve)

    desk = eve.get(DESK)

    assert desk.status_code == 200
    assert "You are in no workspace yet" in words(desk) and "Ask an admin or owner" in words(desk)
    assert "Please" not in desk.content.decode() and str(j.run.pk) not in desk.content.decode()
    for name in (
        "governance_run_changelist",
        "runtime_agentjob_changelist",
        "governance_burn_changelist",
        "governance_skillinvocation_changelist",
        "new_request",
    ):
        assert eve.get(at(name)).status_code == 404


def test_who_may_not_ask_is_not_offered_to(j):
    carol = visit(j.house.carol)

    said = carol.get(DESK).content.decode()

    assert at("new_request") not in said
    assert carol.get(at("new_request")).status_code == 403


def test_the_navigation_counts_what_is_open_for_this_person(j):
    hold(j, who="ada")
    hold(j, who="bob")

    counts = {name: visit(getattr(j.house, name)).get(DESK).context["frame"] for name in ("ada", "bob", "dora")}

    assert {name: frame["waiting"] for name, frame in counts.items()} == {"ada": 0, "bob": 1, "dora": 2}
    runs = {
        name: next(link.count for group in frame["groups"] for link in group.links if link.label == "Runs")
        for name, frame in counts.items()
    }
    assert runs == {"ada": 1, "bob": 2, "dora": 2}


def test_who_has_several_workspaces_looks_at_one_and_chooses_another(j):
    hold(j, text="Only in acme")
    other = build_house("zeta")
    add_member(other.workspace, j.house.dora, "admin", by=SYSTEM, because="a test")
    dora = visit(j.house.dora)
    assert "Acme" in dora.get(DESK).content.decode()
    assert "Only in acme" in words(dora.get(at("governance_run_changelist")))

    answer = dora.post(at("workspace"), {"workspace": "zeta"}, follow=True)

    assert "You are in the workspace Zeta." in words(answer)
    assert "Only in acme" not in words(dora.get(at("governance_run_changelist")))
    assert dora.get(at("governance_run_change", j.run.pk)).status_code == 404


def test_the_api_and_its_stream_go_on_in_the_workspace_that_the_session_has_chosen(j):
    other = build_house("zeta")
    add_member(other.workspace, j.house.dora, "admin", by=SYSTEM, because="a test")
    j.ask("Only in acme", "dora")
    dora = visit(j.house.dora)

    def numbers(**headers):
        answer = dora.get("/v1/runs", headers=headers)
        return [run["request"] for run in answer.json()["items"]] if answer.status_code == 200 else answer.status_code

    assert numbers() == 400
    dora.get(DESK)
    assert numbers() == ["Only in acme"]
    dora.post(at("workspace"), {"workspace": "zeta"})
    assert numbers() == []
    assert numbers(**{"Worka-Workspace": "acme"}) == ["Only in acme"]


def test_nobody_chooses_a_workspace_that_is_not_theirs(j):
    other = build_house("zeta")
    ada = visit(j.house.ada)

    assert ada.post(at("workspace"), {"workspace": "zeta"}).status_code == 404
    assert ada.post(at("workspace"), {"workspace": str(other.workspace.pk)}).status_code == 404
    assert ada.post(at("workspace"), {}).status_code == 404
    assert "acme" in ada.get(DESK).content.decode()


def test_the_desk_asks_the_data_base_as_often_for_many_runs_as_for_few(j):
    hold(j)
    dora = visit(j.house.dora)
    dora.get(DESK)
    cache.clear()
    with queries() as few:
        dora.get(DESK)
    for number in range(4):
        hold(j, text=f"Please {number}")
    j.ask()
    j.propose(step("look", ("a", "read", "letters")))
    assert j.step("look").state == StepState.RUNNING
    cache.clear()

    with queries() as many:
        dora.get(DESK)

    assert len(many) == len(few)
