"""What one gated call costs the data base: few statements, two commits."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.desk import step
from tests.journeys import journey
from tests.modelling import POLICY, answered

pytestmark = pytest.mark.django_db


def test_a_gated_call_costs_few_statements(monkeypatch):
    j = journey(monkeypatch)
    j.ask()
    j.propose(step("look", ("a", "peek", "letters"), ("b", "peek", "more")))
    j.call("look", "a")

    with CaptureQueriesContext(connection) as asked:
        j.call("look", "b")

    statements = [query["sql"] for query in asked if "SAVEPOINT" not in query["sql"]]
    # Two of them find the agent that calls, and are the test's own.
    assert len(statements) <= 2 + 11, "\n".join(s[:120] for s in statements)


def test_a_model_call_costs_few_statements(monkeypatch):
    j = journey(monkeypatch, policy=POLICY)
    j.ask()
    j.propose(step("look", ("a", "peek", "letters")))
    answered(j)

    with CaptureQueriesContext(connection) as asked:
        answered(j)

    statements = [query["sql"] for query in asked if "SAVEPOINT" not in query["sql"]]
    assert len(statements) <= 2 + 8, "\n".join(s[:120] for s in statements)
