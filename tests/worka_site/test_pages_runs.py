"""Runs in the console: who sees which, why each is where it is, and stopping one."""

import pytest

from audit.models import AuditEvent
from governance.actions.runs import request_run
from governance.models import Burn, Run
from tests.console import at, console_journey, hold, queries, run_href, visit, words
from tests.desk import step
from tests.people import build_house

pytestmark = pytest.mark.django_db

RUNS = "/admin/governance/run/"


@pytest.fixture
def j(monkeypatch):
    return console_journey(monkeypatch)


def shown(client, **query):
    return [line.run.number for line in client.get(RUNS, query).context["runs"]]


def succeed(j):
    hold(j)
    j.answer("approve", because="read it")
    j.finish("note", output={"text": "A note is **filed**."})
    j.tick()
    assert j.run.state == "succeeded"
    return j.run


# --- The list -------------------------------------------------------------------------------------------------------


def test_everybody_sees_the_runs_that_are_theirs_to_see(j):
    mine = hold(j, "ada").number
    other = j.ask("Of dora", "dora").number

    seen = {name: shown(visit(getattr(j.house, name))) for name in ("ada", "bob", "carol", "dora", "olga")}

    assert seen == {"ada": [mine], "bob": [mine], "carol": [other, mine], "dora": [other, mine], "olga": [other, mine]}
    assert visit(j.house.eve).get(RUNS).status_code == 404


def test_a_line_says_why_a_run_is_where_it_is_and_how_far(j):
    hold(j)

    page = visit(j.house.dora).get(RUNS)

    line = page.context["runs"][0]
    assert (line.why_code, line.done, line.total) == ("awaiting_approval", 1, 2)
    assert "Waiting for operators (ben, bob or dora) to approve desk.write" in words(page)
    assert "1 of 2" in words(page)


def test_filters_take_away_what_does_not_match(j):
    waits = hold(j, "ada", "Count the ducks").number
    plans = j.ask("Count the geese", "bob").number
    ended = j.ask("Feed the geese", "ada")
    visit(j.house.ada).post(at("governance_run_press", ended.pk, "cancel"), {"because": "not hungry"})
    dora = visit(j.house.dora)

    assert shown(dora, need="person") == [waits]
    assert shown(dora, state="planning") == [plans]
    assert shown(dora, state="cancelled") == [ended.number]
    assert shown(dora, requester="bob") == [plans]
    assert shown(dora, q="geese") == [ended.number, plans]
    assert shown(dora, q=f"#{waits}") == [waits]
    assert shown(dora, agent="ernest") == [waits]
    assert shown(dora, source="slack") == []
    assert shown(dora, period="today", q="ducks") == [waits]
    assert shown(visit(j.house.ada), need="mine", state="cancelled") == [ended.number]
    assert "No run is like that" in words(dora.get(RUNS, {"q": "swans"}))


@pytest.mark.parametrize("query", [
    {"q": "\0"}, {"q": "x" * 5000}, {"q": "%_\\'\""}, {"state": "nonsense"}, {"need": "' OR 1=1"}, {"period": "-1d"}, {"q": "9" * 40},
])  # fmt: skip
def test_a_strange_filter_is_no_fault_of_ours(j, query):
    j.ask("Please")

    assert visit(j.house.dora).get(RUNS, query).status_code == 200


@pytest.mark.parametrize(("name", "cursor", "status"), [
    ("before", "nonsense", 404), ("after", "nonsense", 404), ("before", "019a0000-0000-7000-8000-000000000001", 400),
])  # fmt: skip
def test_a_cursor_that_was_never_given_out_is_refused(j, name, cursor, status):
    assert visit(j.house.dora).get(RUNS, {name: cursor}).status_code == status


def test_a_long_list_is_walked_there_and_back_without_losing_or_repeating_a_run(j):
    for number in range(57):
        request_run(
            j.house.workspace.pk, by=j.house.by("ada"), user=j.house.ada, text=f"Request {number}", source="api"
        )
    dora = visit(j.house.dora)
    page = dora.get(RUNS, {"q": "Request"})
    walked = []
    while True:
        walked.append([line.run.number for line in page.context["runs"]])
        if not page.context["pages"].older:
            break
        page = dora.get(RUNS + page.context["pages"].older)
        assert page.context["q"] == "Request"
    back = [walked[-1]]
    while page.context["pages"].newer:
        page = dora.get(RUNS + page.context["pages"].newer)
        back.append([line.run.number for line in page.context["runs"]])

    assert [number for part in walked for number in part] == list(range(57, 0, -1))
    assert [len(part) for part in walked] == [25, 25, 7]
    assert back[::-1] == walked


def test_the_list_asks_the_data_base_as_often_for_many_runs_as_for_few(j):
    hold(j)
    dora = visit(j.house.dora)
    dora.get(RUNS)
    with queries() as few:
        dora.get(RUNS)
    for number in range(5):
        hold(j, text=f"Please {number}")

    with queries() as many:
        dora.get(RUNS)

    assert len(many) == len(few)
    assert not [q for q in many if "COUNT(" in q["sql"].upper() and "LIMIT" not in q["sql"] and "state" not in q["sql"]]


# --- The page -------------------------------------------------------------------------------------------------------


def test_a_run_is_there_for_those_who_may_see_it_and_not_there_for_the_others(j):
    run = hold(j)
    alone = j.ask("Only for dora", "dora")

    def seen(of):
        return {
            name: visit(getattr(j.house, name)).get(run_href(of)).status_code
            for name in ("ada", "bob", "carol", "dora", "eve")
        }

    assert seen(run) == {"ada": 200, "bob": 200, "carol": 200, "dora": 200, "eve": 404}
    assert seen(alone) == {"ada": 404, "bob": 404, "carol": 200, "dora": 200, "eve": 404}


def test_the_run_of_another_workspace_is_not_there(j):
    other = build_house("zeta")
    run = request_run(other.workspace.pk, by=other.by("ada"), user=other.ada, text="Secret", source="api")

    for name in ("ada", "bob", "dora", "olga"):
        person = visit(getattr(j.house, name))
        assert person.get(run_href(run)).status_code == 404
        assert person.post(at("governance_run_press", run.pk, "cancel"), {"because": "x"}).status_code == 404
    run.refresh_from_db()
    assert run.state == "received"


def test_a_run_that_waits_says_for_whom_and_leads_there(j):
    hold(j)
    gate = at("governance_gate_change", j.gate().pk)

    bob, ada = visit(j.house.bob).get(run_href(j.run)), visit(j.house.ada).get(run_href(j.run))

    assert "You may answer." in words(bob) and "Look and answer" in words(bob)
    assert f'href="{gate}"' in bob.content.decode()
    assert "You asked for it, so somebody else answers." in words(ada) and "Look and answer" not in words(ada)
    assert "The agent has stored its state and left." in words(ada)


def test_a_run_page_shows_its_plan_time_steps_decisions_calls_and_jobs(j):
    run = succeed(j)

    page = visit(j.house.ada).get(run_href(run))

    said = words(page)
    assert "The run succeeded" in said and "A note is filed ." in said
    assert page.context["plan_graph"].count("<rect") == 2
    assert "2 steps" in page.context["plan_graph"] and "do note" in page.context["gantt"]
    assert [line.step.state for line in page.context["steps"]] == ["succeeded", "succeeded"]
    assert [call.call_id for call in page.context["calls"]] == ["a", "b"]
    assert len(page.context["jobs"]) == 4  # planning, look, note, and note again after the yes
    assert [entry.actor for entry in page.context["entries"] if entry.type == "gate.vote"] == ["bob"]
    assert "2 of 20" in said  # calls spent of the budget


def test_a_run_that_was_refused_failed_or_cancelled_says_why_and_can_be_asked_for_again(j):
    hold(j, text="One")
    j.answer("reject", because="not before Friday")
    refused = j.run
    failed = j.ask("Two")
    for _ in range(3):
        Run.objects.filter(pk=failed.pk).update(planning_not_before=None)
        j.tick()
        if j.run.is_open:
            j.leave(j.job(), exit_code=1)
            j.tick()
    j.run.refresh_from_db()
    cancelled = j.ask("Three")
    visit(j.house.ada).post(at("governance_run_press", cancelled.pk, "cancel"), {"because": "wrong tag"})
    ada = visit(j.house.ada)

    for run, state, reason in (
        (refused, "refused", "not before Friday"),
        (failed, "failed", "planning was tried 3 times"),
        (cancelled, "cancelled", "wrong tag"),
    ):
        run.refresh_from_db()
        page = ada.get(run_href(run))
        assert run.state == state
        assert reason in words(page)
        assert f'href="{at("new_request")}?again={run.number}"' in page.content.decode()
    assert Burn.objects.filter(run=failed).exists()
    assert "Burns" in words(ada.get(run_href(failed)))


def test_a_refused_plan_is_shown_with_all_its_faults(j):
    run = j.ask()
    j.propose(step("a", ("x", "nothing", "text")), step("b", after=("nowhere",)))

    said = words(visit(j.house.dora).get(run_href(run)))

    assert "last proposal was refused" in said
    assert "there is no skill called desk.nothing" in said.lower() and "there is no step called nowhere" in said.lower()


def test_strangers_text_stays_text(j):
    hostile = "Bake <script>alert(1)</script>\u202e cake"
    run = hold(j, text=hostile, note="<img src=x onerror=alert(1)>")

    for address in (RUNS, run_href(run), "/admin/"):
        html = visit(j.house.ada).get(address).content.decode()
        assert "<script>alert" not in html and "<img" not in html and "\u202e" not in html
        assert "&lt;script&gt;alert(1)" in html


def test_logs_are_for_those_who_may_read_what_the_run_reads(j):
    run = j.ask()
    j.backend.printed[j.job().name] = "the letter says <b>hello</b>\nthe call is denied"

    said = {
        name: visit(getattr(j.house, name)).get(run_href(run)).content.decode() for name in ("ada", "carol", "dora")
    }

    assert "the letter says &lt;b&gt;hello&lt;/b&gt;" in said["ada"] and "the letter says" in said["dora"]
    assert '<span class="l hit">the call is denied</span>' in said["ada"]
    assert 'data-live-every="2"' in said["ada"]
    assert "the letter says" not in said["carol"]


def test_a_run_page_asks_the_data_base_as_often_for_many_steps_as_for_few(j):
    hold(j, text="Few")
    few_href = run_href(j.run)
    j.ask("Many")
    j.propose(
        *[step(f"look{n}", (f"a{n}", "read", "letters"), (f"b{n}", "peek", "more")) for n in range(6)],
        step("note", ("b", "write", "x"), after=("look0",)),
    )
    for n in range(5):
        j.call(f"look{n}", f"a{n}")
        j.call(f"look{n}", f"b{n}")
        j.finish(f"look{n}", output={})
    j.call("note", "b")
    j.finish("note", "suspended", waits_for=["b"])
    dora = visit(j.house.dora)
    dora.get(few_href)

    with queries() as few:
        dora.get(few_href)
    with queries() as many:
        dora.get(run_href(j.run))

    assert len(many) == len(few)


# --- Stopping one ---------------------------------------------------------------------------------------------------


def test_members_cancel_their_own_and_admins_any_with_a_reason_that_is_kept(j):
    own, others = j.ask("Mine", "ada"), hold(j, "bob")

    visit(j.house.ada).post(at("governance_run_press", own.pk, "cancel"), {"because": "wrong tag"})
    visit(j.house.dora).post(at("governance_run_press", others.pk, "cancel"), {"because": "a freeze is on"})

    for run, who, why in ((own, "user:ada", "wrong tag"), (others, "user:dora", "a freeze is on")):
        run.refresh_from_db()
        assert (run.state, run.reason) == ("cancelled", why)
        entry = AuditEvent.objects.get(type="run.cancel", run=run.pk)
        assert (entry.actor, entry.because) == (who, why)


def test_who_may_not_cancel_is_not_offered_to_and_is_refused(j):
    run = hold(j, "ada")

    for name in ("bob", "carol"):
        person = visit(getattr(j.house, name))
        assert "Cancel" not in [press.button.label for press in person.get(run_href(run)).context["buttons"]]
        assert person.post(at("governance_run_press", run.pk, "cancel"), {"because": "no"}).status_code == 403
    run.refresh_from_db()
    assert run.state == "running"


def test_without_a_reason_or_after_the_end_nothing_is_cancelled(j):
    run = j.ask("Mine", "ada")
    ada = visit(j.house.ada)
    silent = ada.post(at("governance_run_press", run.pk, "cancel"), {"because": "  "}, follow=True)
    assert "say why" in words(silent)
    ada.post(at("governance_run_press", run.pk, "cancel"), {"because": "first"})

    late = ada.post(at("governance_run_press", run.pk, "cancel"), {"because": "second"}, follow=True)

    run.refresh_from_db()
    assert run.reason == "first"
    assert 'class="error"' in late.content.decode()
    assert AuditEvent.objects.filter(type="run.cancel", run=run.pk).count() == 1
