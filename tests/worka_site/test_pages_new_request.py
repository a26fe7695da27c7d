"""Asking for a run in the console: once, by whom it may, and with a look at what would happen."""

import pytest

from audit.models import AuditEvent
from governance.actions.freezing import freeze_workspace
from governance.models import Run
from tests.console import at, console_journey, visit, words
from tests.people import use_policy
from worka_site.seed import POLICIES

pytestmark = pytest.mark.django_db

REPORT = "Report on the repository /srv/orders since v2.3.0"


@pytest.fixture
def j(monkeypatch, settings):
    settings.WORKA_REPOSITORY_ROOTS = ("/srv",)
    return console_journey(monkeypatch)


def ask(j, who="ada", key="6f1c", **fields):
    return visit(getattr(j.house, who)).post(
        at("new_request"), {"request": REPORT, "idempotency_key": key, **fields}, follow=True
    )


def test_a_request_becomes_a_run_and_leads_to_its_page(j):
    answer = ask(j)

    run = Run.objects.get()
    assert (run.source, run.request_text, run.requester, run.requester_name) == ("web", REPORT, j.house.ada, "user:ada")
    assert answer.redirect_chain == [(at("governance_run_change", run.pk), 302)]
    assert f"Run {run.number} is received." in words(answer)
    entry = AuditEvent.objects.get(type="run.receive")
    assert (entry.actor, entry.via) == ("user:ada", "session")


def test_sending_the_form_twice_makes_one_run(j):
    first, second = ask(j), ask(j)

    assert Run.objects.count() == 1
    assert first.redirect_chain == second.redirect_chain


def test_the_same_form_with_other_words_is_refused_and_says_why(j):
    ask(j)

    answer = ask(j, request="Report on something else")

    assert answer.status_code == 409 and Run.objects.count() == 1
    assert "was used with another payload" in words(answer)
    assert "Report on something else" in words(answer)


@pytest.mark.parametrize(("fields", "said"), [
    ({"idempotency_key": ""}, "needs an Idempotency-Key"),
    ({"request": "   "}, "a request has 1 to 20000 characters"),
    ({"request": "x" * 20_001}, "this one has 20001"),
])  # fmt: skip
def test_a_form_that_cannot_be_sent_comes_back_with_the_reason(j, fields, said):
    answer = ask(j, **fields)

    assert answer.status_code == 409
    assert said.lower() in words(answer).lower()
    assert not Run.objects.exists()
    assert answer.context["idempotency_key"]


def test_a_frozen_workspace_says_so_before_and_after(j):
    freeze_workspace(j.house.workspace.pk, by=j.house.by("dora"), because="odd calls")

    form, answer = visit(j.house.ada).get(at("new_request")), ask(j)

    assert "odd calls" in words(form)
    assert answer.status_code == 409 and "odd calls" in words(answer)
    assert not Run.objects.exists()


@pytest.mark.parametrize("who", ["carol", "eve"])
def test_who_may_not_ask_makes_no_run(j, who):
    assert ask(j, who).status_code in (403, 404, 409)
    assert not Run.objects.exists()


def test_without_the_form_of_this_site_nothing_is_asked(j):
    answer = visit(j.house.ada, csrf=True).post(at("new_request"), {"request": REPORT, "idempotency_key": "1"})

    assert answer.status_code == 403 and not Run.objects.exists()


def test_a_rehearsal_says_what_policy_would_say_and_asks_for_nothing(j):
    use_policy(j.house.workspace, (POLICIES / "default.yaml").read_text())

    answer = ask(j, "bob", deed="look")

    said = words(answer)
    assert "Read the history of orders since v2.3.0" in said
    assert "git.log /srv/orders" in said
    assert (
        "files.write reports/orders-since-v2.3.0.md : the run has read text that strangers wrote; needs one approval of operators"
        in said
    )
    assert "For operators could answer: ben, dora" in said
    assert REPORT in said
    assert not Run.objects.exists() and not AuditEvent.objects.filter(type__startswith="run.").exists()


@pytest.mark.parametrize(("text", "said"), [
    ("Bake a cake", "No playbook reads this"),
    ("Report on the repository /etc since v1", "/etc is not under /srv"),
])  # fmt: skip
def test_a_rehearsal_says_why_there_would_be_no_plan(j, text, said):
    assert said in words(ask(j, request=text, deed="look"))
    assert not Run.objects.exists()


def test_a_plan_that_policy_would_refuse_is_rehearsed_as_that(j):
    assert "would be refused" in words(ask(j, deed="look"))


def test_asking_again_begins_with_the_words_of_a_run_that_one_may_see(j):
    run = j.ask("Bake a cake", "dora")

    mine = visit(j.house.dora).get(at("new_request"), {"again": run.number})
    theirs = visit(j.house.ada).get(at("new_request"), {"again": run.number})

    assert "Bake a cake" in words(mine) and "Bake a cake" not in words(theirs)
