"""A plan says which reviewed playbook it was made from; only what is served can be said."""

import pytest

from governance.actions.plans import propose_plan
from governance.models import Plan
from tests import desk
from tests.desk import step
from tests.journeys import journey

pytestmark = pytest.mark.django_db

SERVED = {"report": "a" * 64}


@pytest.fixture
def j(monkeypatch):
    return journey(monkeypatch)


def proposed(j, name, digest, **served):
    j.ask()
    body = desk.plan(step("a", ("a", "peek", "x"))) | {"playbook": {"name": name, "digest": digest}}
    return propose_plan(j.caller(), body, **served)


def test_a_playbook_that_is_served_is_stored_with_its_digest(j):
    assert proposed(j, "report", "a" * 64, playbooks=SERVED).state == "accepted"
    stored = Plan.objects.get()
    assert (stored.playbook_name, stored.playbook_digest) == ("report", "a" * 64)


@pytest.mark.parametrize(
    ("name", "digest", "served", "says"),
    [
        ("report", "f" * 64, {"playbooks": SERVED}, "another digest"),
        ("forged", "a" * 64, {"playbooks": SERVED}, "not among those served"),
        ("report", "a" * 64, {}, "not among those served"),
    ],
)
def test_a_playbook_that_nobody_serves_is_a_fault_of_the_plan(j, name, digest, served, says):
    refused = proposed(j, name, digest, **served)

    assert (refused.state, [(fault.path, fault.code) for fault in refused.faults]) == (
        "refused",
        [("/playbook", "bad_schema")],
    )
    assert says in refused.faults[0].message
    assert Plan.objects.get().playbook_name == ""


def test_a_name_that_no_column_holds_is_a_fault_of_the_plan(j):
    refused = proposed(j, "p" * 81, "a" * 64, playbooks={"p" * 81: "a" * 64})
    assert [fault.path for fault in refused.faults] == ["/playbook/name"]
