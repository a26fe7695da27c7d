from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.utils.timezone import now

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.models import AuditEvent
from audit.screens import refusal_sentence
from governance.models import Run, Workspace

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.portal.decision_site")]


@pytest.fixture
def run() -> Run:
    workspace = Workspace.objects.create(slug="acme", name="acme")
    late = now() + timedelta(hours=1)
    return Run.objects.create(
        workspace=workspace, number=1, source="web", request_text="Report", requester_name="user:requester", state="received",
        deadline_at=late, max_age_at=late,
    )  # fmt: skip


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_user("operator", is_staff=True))
    return client


def row(run: Run) -> str:
    return f"/admin/governance/run/{run.pk}/change/"


def press(run: Run, event: str) -> str:
    return f"/admin/governance/run/{run.pk}/press/{event}/"


def said(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_a_button_is_shown_when_the_machine_has_the_event_and_the_person_may(operator: Client, run: Run) -> None:
    shown = operator.get(row(run)).context["buttons"]

    assert [each.button.event for each in shown] == ["cancel", "praise"]
    assert shown[0].href == press(run, "cancel")


def test_pressing_a_button_acts_and_writes_down_who_and_why(operator: Client, run: Run) -> None:
    answer = operator.post(press(run, "cancel"), {"because": " wrong tag ", "note": "see 142", "state": "succeeded"})

    run.refresh_from_db()
    event = AuditEvent.objects.exclude(type__startswith="user.").get()
    assert answer.status_code == 302
    assert answer["Location"] == row(run)
    assert said(answer) == ["Cancel: done, and written to the ledger."]
    assert run.state == "cancelled"
    assert (event.type, event.actor, event.because, event.facts["note"]) == (
        "run.cancel",
        "user:operator",
        "wrong tag",
        "see 142",
    )


def test_the_entries_about_a_row_come_with_it(operator: Client, run: Run) -> None:
    operator.post(press(run, "cancel"), {"because": "wrong tag"})

    page = operator.get(row(run))

    assert [entry.type for entry in page.context["ledger"]] == ["run.cancel"]
    assert page.context["filled"] == ("governance.run.row", run)


def test_without_a_reason_nothing_is_done(operator: Client, run: Run) -> None:
    for reason in ({}, {"because": ""}, {"because": " \n "}):
        answer = operator.post(press(run, "cancel"), reason)
        assert "say why" in said(answer)[-1]

    run.refresh_from_db()
    assert run.state == "received"
    assert not AuditEvent.objects.exclude(type__startswith="user.").exists()


def test_a_deed_that_comes_too_late_is_refused_politely_and_has_no_button(operator: Client, run: Run) -> None:
    operator.post(press(run, "cancel"), {"because": "wrong tag"})

    answer = operator.post(press(run, "cancel"), {"because": "again"})

    assert said(answer)[-1] == "a run that is cancelled cannot cancel."
    assert AuditEvent.objects.exclude(type__startswith="user.").count() == 1
    assert [each.button.event for each in operator.get(row(run)).context["buttons"]] == ["praise"]


def test_who_may_not_is_stopped_also_without_the_button(operator: Client, client: Client, run: Run) -> None:
    assert operator.post(press(run, "fail"), {"because": "x"}).status_code == 403
    client.force_login(User.objects.create_user("viewer", is_staff=True))

    assert client.get(row(run)).context["buttons"] == []
    assert client.post(press(run, "cancel"), {"because": "x"}).status_code == 403
    assert not AuditEvent.objects.exclude(type__startswith="user.").exists()


def test_what_a_person_may_not_see_is_not_there_to_see_or_to_press(operator: Client, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(requester_name="user:hidden")

    assert operator.get(row(run)).status_code == 404
    assert operator.post(press(run, "cancel"), {"because": "x"}).status_code == 404


@pytest.mark.parametrize("key", ["not-a-key", "1", "00000000-0000-0000-0000-000000000000"])
def test_a_key_that_names_nothing_is_404(operator: Client, run: Run, key: str) -> None:
    assert operator.get(f"/admin/governance/run/{key}/change/").status_code == 404
    assert operator.post(f"/admin/governance/run/{key}/press/cancel/", {"because": "x"}).status_code == 404


def test_a_deed_that_does_not_exist_is_404_and_pressing_is_posting(operator: Client, run: Run) -> None:
    assert operator.post(press(run, "promote"), {"because": "x"}).status_code == 404
    assert operator.get(press(run, "cancel")).status_code == 405


def test_a_stranger_is_sent_to_sign_in(client: Client, run: Run) -> None:
    for address in (row(run), "/admin/governance/run/", "/admin/", "/admin/freeze/"):
        assert client.get(address)["Location"].startswith("/admin/login/")
    client.post(press(run, "cancel"), {"because": "x"})
    run.refresh_from_db()
    assert run.state == "received"


def test_a_press_needs_the_token_of_its_form(run: Run) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_user("operator", is_staff=True))

    assert strict.post(press(run, "cancel"), {"because": "x"}).status_code == 403


@pytest.mark.parametrize("wanted", ["/admin/governance/run/", "/admin/freeze/?x=1"])
def test_a_person_comes_back_to_where_they_pressed(operator: Client, run: Run, wanted: str) -> None:
    assert operator.post(press(run, "cancel"), {"because": "x", "next": wanted})["Location"] == wanted


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example", "evil"]
)
def test_nobody_is_sent_off_the_site(operator: Client, run: Run, wanted: str) -> None:
    assert operator.post(press(run, "cancel"), {"because": "x", "next": wanted})["Location"] == row(run)


def test_rows_cannot_be_added_changed_or_deleted(operator: Client, run: Run) -> None:
    User.objects.update(is_superuser=True)

    for address in ("add/", f"{run.pk}/delete/", f"{run.pk}/history/"):
        assert operator.get(f"/admin/governance/run/{address}").status_code == 404
    operator.post(row(run), {"state": "succeeded"})
    run.refresh_from_db()
    assert run.state == "received"


def test_a_refusal_is_said_with_its_way_out() -> None:
    refusal = Refused(
        "nobody approves what they asked for", code=Code.OWN_REQUEST, recovery="Ask somebody else of the group."
    )

    assert refusal_sentence(refusal) == "nobody approves what they asked for. Ask somebody else of the group."
    assert refusal_sentence(Refused("no.")) == "no."
