"""Approvals in the console: what one is asked, exactly; who may answer, and what an answer does."""

import json
from datetime import timedelta

import pytest
from django.utils.timezone import now

from audit.models import AuditEvent
from governance.models import Gate, Vote
from tests.console import at, console_journey, hold, queries, visit, words
from tests.desk import POLICY, Desk, step
from tests.people import build_house, use_policy

pytestmark = pytest.mark.django_db

INBOX = "/admin/governance/gate/"
HOSTILE = "</script><script>alert(1)</script> \u202eApprove this"


@pytest.fixture
def j(monkeypatch):
    return console_journey(monkeypatch)


def href(gate):
    return at("governance_gate_change", gate.pk)


def press(client, gate, verdict="approve", because="looked at it", digest=None, **more):
    sent = {"because": because, "payload_digest": gate.payload_digest if digest is None else digest}
    return client.post(at("governance_gate_press", gate.pk, verdict), sent, follow=True, **more)


def told(response):
    return [str(message) for message in response.context["messages"]]


def opens(gate):
    return AuditEvent.objects.filter(type="gate.open", subject=f"governance.gate:{gate.pk}").count()


# --- The inbox ------------------------------------------------------------------------------------------------------


def test_the_inbox_shows_each_person_what_waits_for_them(j):
    hold(j)
    seen = {}
    for name in ("ada", "bob", "carol", "dora", "olga"):
        page = visit(getattr(j.house, name)).get(INBOX)
        seen[name] = (page.context["headline"], len(page.context["waiting"]), len(page.context["others"]))

    assert seen == {
        "ada": ("Nothing waits for you", 0, 1), "bob": ("One thing waits for you", 1, 0), "carol": ("Nothing waits for you", 0, 1),
        "dora": ("One thing waits for you", 1, 0), "olga": ("Nothing waits for you", 0, 1),
    }  # fmt: skip
    assert visit(j.house.eve).get(INBOX).status_code == 404


def test_the_inbox_of_a_member_leaves_out_what_is_neither_theirs_nor_asks_them(j):
    hold(j, "dora")

    page = visit(j.house.ada).get(INBOX)

    assert (page.context["waiting"], page.context["others"]) == ([], [])
    assert "Nothing waits" in words(page)


def test_what_was_decided_is_listed_with_who_said_what(j):
    hold(j)
    j.answer("reject", because="not before Friday")

    page = visit(j.house.bob).get(INBOX, {"need": "decided"})

    assert "desk.write" in words(page) and "Rejected" in words(page)
    assert "bob: “not before Friday”" in words(page)
    assert visit(j.house.bob).get(INBOX).context["waiting"] == []


def test_all_decisions_about_a_run_are_listed_under_its_number(j):
    run = hold(j)

    page = visit(j.house.ada).get(INBOX, {"run": str(run.number)})

    assert {gate.run_id for gate in page.context["gates"]} == {run.pk}
    assert {"allowed", "waiting"} == {gate.state for gate in page.context["gates"]}
    assert visit(j.house.ada).get(INBOX, {"run": "999"}).status_code == 404


def test_the_inbox_asks_the_data_base_as_often_for_many_as_for_few(j):
    hold(j)
    bob = visit(j.house.bob)
    bob.get(INBOX)
    with queries() as few:
        bob.get(INBOX)
    for number in range(4):
        hold(j, text=f"Please {number}")

    with queries() as many:
        page = bob.get(INBOX)

    assert len(page.context["waiting"]) == 5
    assert len(many) == len(few)


# --- One approval ---------------------------------------------------------------------------------------------------


def test_an_approval_is_there_for_those_who_may_see_it_and_not_there_for_the_others(j):
    hold(j)
    gate = j.gate()

    seen = {
        name: visit(getattr(j.house, name)).get(href(gate)).status_code
        for name in ("ada", "bob", "ben", "carol", "dora", "olga", "eve")
    }

    assert seen == {"ada": 200, "bob": 200, "ben": 200, "carol": 200, "dora": 200, "olga": 200, "eve": 404}


def test_who_is_asked_sees_exactly_what_would_happen_why_and_what_was_read(j):
    hold(j, note="the exact note")
    gate = j.gate()

    page = visit(j.house.bob).get(href(gate))

    said = words(page)
    assert page.context["payload"]["input"] == {"text": "the exact note"}
    assert "Let ernest call desk.write the exact note?" in said
    assert "The run has read text that strangers wrote" in said and "acme, version 1, rule 3, line 9" in said
    assert [reading.what for reading in page.context["readings"]] == ["desk.read letters", "This call"]
    assert page.context["readings"][0].labels == ("reads_private", "untrusted_output")
    assert {fact.key: fact.value for fact in page.context["binds"]}["Payload digest"] == gate.payload_digest
    assert [(each.name, each.standing) for each in page.context["voters"]] == [
        ("ben", "open"), ("bob", "open"), ("dora", "open"), ("ada", "barred"),
    ]  # fmt: skip
    assert page.context["may_answer"] and f'value="{gate.payload_digest}"' in page.content.decode()
    assert opens(gate) == 1


def test_an_auditor_sees_that_it_exists_and_not_what_is_in_it(j):
    hold(j, note="the exact note")
    gate = j.gate()

    page = visit(j.house.carol).get(href(gate))

    assert page.context["payload"] is None and "The payload is not shown to you" in words(page)
    assert "You are not asked here" in words(page) and not page.context["may_answer"]
    assert opens(gate) == 0


def test_the_requester_sees_it_and_is_told_who_may_answer_instead(j):
    hold(j)

    page = visit(j.house.ada).get(href(j.gate()))

    assert "Nobody approves what they asked for" in words(page)
    assert 'name="verdict"' not in page.content.decode()


def test_refreshing_the_page_opens_no_payload(j):
    hold(j)
    gate = j.gate()

    page = visit(j.house.bob).get(href(gate), headers={"worka-refresh": "1"})

    assert page.status_code == 200 and page.context["payload"] is None
    assert opens(gate) == 0


def test_what_strangers_wrote_stays_text(j):
    hold(j, note=HOSTILE, text=HOSTILE)

    html = visit(j.house.bob).get(href(j.gate())).content.decode()

    assert "<script>alert(1)" not in html and "\u202e" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_yes_is_kept_with_its_reason_and_the_call_is_performed(j):
    hold(j)
    gate = j.gate()

    page = press(visit(j.house.bob), gate, because="read the letters")
    j.tick()

    vote = Vote.objects.get(gate=gate)
    assert (vote.user, vote.verdict, vote.because, vote.channel) == (j.house.bob, "approve", "read the letters", "web")
    assert told(page) == ["Approved, and written to the ledger. The gateway performs exactly this call now, once."]
    assert page.redirect_chain[-1][0] == href(gate)
    assert "How it was answered" in words(page) and "read the letters" in words(page)
    assert Desk.done[-1] == ("write", "a note")


def test_a_no_ends_the_run_and_nothing_happens(j):
    hold(j)

    page = press(visit(j.house.dora), j.gate(), "reject", because="not today")
    j.tick()

    assert told(page) == [f"Rejected, and written to the ledger. Nothing of it happens, and run {j.run.number} ends."]
    assert (j.run.state, j.run.reason) == ("refused", "not today")
    assert ("write", "a note") not in Desk.done


def test_with_a_quorum_the_first_yes_counts_and_the_second_decides(j):
    use_policy(
        j.house.workspace,
        POLICY.replace('ask: operators, because: "the run', 'ask: operators, quorum: 2, because: "the run'),
    )
    hold(j)
    gate = j.gate()

    first = press(visit(j.house.bob), gate)
    gate.refresh_from_db()
    waits = gate.state
    press(visit(j.house.ben), gate)
    gate.refresh_from_db()

    assert told(first) == [
        "Your answer counts, and is written to the ledger. More people must agree before anything happens."
    ]
    assert [(ask.yes, ask.needed) for ask in first.context["asks"]] == [(1, 2)]
    assert (waits, gate.state) == ("waiting", "approved")


@pytest.mark.parametrize("is_superuser", [False, True])
def test_the_requester_cannot_answer_by_hand_either(j, is_superuser):
    hold(j)
    gate = j.gate()
    j.house.ada.is_superuser = is_superuser
    j.house.ada.save()

    page = press(visit(j.house.ada), gate)

    gate.refresh_from_db()
    assert told(page) == ["nobody approves what they asked for. Ask somebody else of the group to answer."]
    assert gate.state == "waiting" and not gate.votes.exists()


def test_each_answer_that_does_not_count_says_why_and_what_to_do(j, monkeypatch):
    hold(j)
    gate = j.gate()
    bob = visit(j.house.bob)

    assert told(press(visit(j.house.olga), gate)) == [
        "you are not asked here. Only members of the groups named on the gate may answer."
    ]
    assert told(press(bob, gate, because="  "))[0].startswith("Approve: say why.")
    assert told(press(bob, gate, digest="0" * 64))[0].startswith("what you saw is not what would be performed now.")
    monkeypatch.setattr("governance.actions.votes.clock", lambda: now() + timedelta(days=2))
    assert told(press(bob, gate))[0].startswith("the time to answer has passed.")
    assert not gate.votes.exists()


def test_nobody_answers_twice(j):
    hold(j)
    gate = j.gate()
    bob = visit(j.house.bob)
    press(bob, gate, "reject")

    assert told(press(bob, gate, "approve"))[0].startswith("you have already voted here.")
    assert gate.votes.count() == 1


def test_an_answer_without_the_forms_token_is_refused(j):
    hold(j)

    assert press(visit(j.house.bob, csrf=True), j.gate()).status_code == 403
    assert not Vote.objects.exists()


def test_the_approval_of_another_workspace_is_not_there(j):
    hold(j)
    gate = j.gate()
    other = build_house("zeta")

    for name in ("ada", "bob", "dora", "olga"):
        stranger = visit(getattr(other, name))
        assert stranger.get(href(gate)).status_code == 404
        assert press(stranger, gate).status_code == 404
    assert not gate.votes.exists() and opens(gate) == 0


@pytest.mark.parametrize("pk", ["nonsense", "019a0000-0000-7000-8000-000000000001", "%00"])
def test_what_is_no_gate_is_not_there(j, pk):
    assert visit(j.house.bob).get(f"{INBOX}{pk}/change/").status_code == 404


def test_it_is_compared_with_what_was_approved_last_time(j):
    hold(j, note="Friday's note")
    last = j.gate()
    j.answer("approve")
    hold(j, note="Monday's note")

    page = visit(j.house.bob).get(href(j.gate()))

    html = page.context["compared"].html
    assert page.context["last"] == last and "Last approved call of this kind" in words(page)
    assert "<mark>Friday</mark>" in html and "<mark>Monday</mark>" in html
    assert opens(last) == 1


def test_who_may_not_open_the_last_one_does_not_see_it_compared(j):
    hold(j, "dora", note="the secret of dora")
    j.answer("approve")
    hold(j, "ada", note="a note")

    page = visit(j.house.ada).get(href(j.gate()))

    assert "compared" not in page.context and "the secret of dora" not in page.content.decode()


def test_keys_lead_from_one_that_waits_to_the_next(j):
    for number in range(3):
        hold(j, text=f"Please {number}")
    bob = visit(j.house.bob)
    waiting = [item.href for item in bob.get(INBOX).context["waiting"]]

    middle = bob.get(waiting[1])

    assert (middle.context["previous_href"], middle.context["next_href"]) == (waiting[0], waiting[2])
    assert f'<link rel="next" href="{waiting[2]}">' in middle.content.decode()


def test_a_held_plan_says_which_calls_a_yes_covers(j):
    use_policy(j.house.workspace, POLICY + "approvals:\n  plan: {ask: operators, because: we look at every plan}\n")
    j.ask()
    j.propose(step("note", ("b", "write", "a note")))
    gate = j.gate()

    page = visit(j.house.bob).get(href(gate))
    done = press(visit(j.house.bob), gate)

    assert f"Let run {j.run.number} go by this plan?" in words(page)
    assert [(call.skill, call.input) for call in page.context["covers"]] == [("desk.write", {"text": "a note"})]
    assert told(done) == ["Approved, and written to the ledger. The run goes on."]


def test_a_decision_that_asked_nobody_says_which_rules_spoke(j):
    hold(j)
    allowed = Gate.objects.get(run=j.run, subject="desk.read")

    page = visit(j.house.dora).get(href(allowed))

    assert "By rules alone" in words(page) and "Rules that spoke" in words(page)
    assert 'name="verdict"' not in page.content.decode()


def test_one_approval_asks_the_data_base_as_often_after_many_calls_as_after_few(j):
    hold(j)
    bob = visit(j.house.bob)
    bob.get(href(j.gate()))
    with queries() as few:
        bob.get(href(j.gate()))
    few_gate = j.gate()
    j.ask()
    j.propose(
        step("look", *((f"a{n}", "read", f"letter {n}") for n in range(6))),
        step("note", ("b", "write", "a note"), after=("look",)),
    )
    for n in range(6):
        j.call("look", f"a{n}")
    j.finish("look", output={"a": "LETTERS"})
    j.call("note", "b")
    j.finish("note", "suspended", waits_for=["b"])

    with queries() as many:
        page = bob.get(href(j.gate()))

    assert few_gate != j.gate() and len(page.context["readings"]) == 7
    assert len(many) == len(few)
    assert json.dumps(page.context["payload"]["input"]) == '{"text": "a note"}'
