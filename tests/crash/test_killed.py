"""A server that is killed wherever it hurts, and started again: nothing is lost, nothing is done twice."""

import contextlib
import json
from uuid import uuid4

import pytest

from tests.crash.conftest import TRAPS
from worka.errors import Unreachable

pytestmark = [pytest.mark.crash, pytest.mark.sandbox, pytest.mark.timeout(600)]


def test_a_report_succeeds_though_the_server_is_killed_at_every_point_of_its_way(installation, repository):
    """Run created, plan stored, call intended, call performed, result received, result stored: once each, in one run."""
    asked, key = f"Report on the repository {repository} since v1", str(uuid4())
    first, *later = TRAPS
    installation.set_trap(first)
    with pytest.raises(Unreachable):
        installation.as_("requester").runs.create(asked, idempotency_key=key)
    installation.wait_for_death()
    for point in later:
        installation.set_trap(point)
        installation.start()
        installation.wait_for_death()
    installation.start()

    again = installation.as_("requester").runs.create(asked, idempotency_key=key)
    gate = installation.gate(again.id)
    installation.set_trap("call performed")
    installation.approve(gate, may_die=True)
    installation.wait_for_death()
    installation.start()
    run = installation.end_of(again.id)

    assert run.state == "succeeded", run.reason
    owner = installation.as_("owner")
    assert [each.id for each in owner.runs.list()] == [run.id]
    assert [(step.agent, step.state) for step in owner.runs.steps(run.id)] == [("ernest", "succeeded")] * 3 + [
        ("daneel", "succeeded")
    ]
    assert {name: call["state"] for name, call in installation.calls(run.id).items()} == dict.fromkeys(
        ("log", "diffstat", "shortlog", "write"), "succeeded"
    )
    with installation.postgres.connect("worka") as connection:
        assert connection.execute("SELECT count(*) FROM governance_plan").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM gateway_documentversion").fetchone() == (1,)
        assert connection.execute("SELECT count(*), count(used_by) FROM governance_consent").fetchone() == (1, 1)
        assert connection.execute(
            "SELECT reserved FROM governance_budget WHERE scope = %s AND kind = 'invocations'", [run.id]
        ).fetchone() == (0,)
        # An agent lives on for a moment after its result was taken, and the tick then sees that it has ended.
        open_jobs = "SELECT count(*) FROM runtime_agentjob WHERE state IN ('queued', 'submitted', 'running')"
        installation.until(lambda: connection.execute(open_jobs).fetchone() == (0,))
        types = [row[0] for row in connection.execute("SELECT type FROM audit_auditevent WHERE run = %s", [run.id])]
    assert [types.count(once) for once in ("run.receive", "plan.accept", "gate.vote", "run.succeed")] == [1, 1, 1, 1]
    assert types.count("step.succeed") == 4
    assert installation.verify().returncode == 0


def test_a_letter_that_may_have_gone_out_is_never_sent_twice_and_a_person_is_asked(installation):
    run = installation.as_("requester").runs.create("Send the letter hello")
    gate = installation.gate(run.id)
    installation.set_trap("call performed")

    installation.approve(gate, may_die=True)
    installation.wait_for_death()
    installation.start()
    why = installation.until(
        lambda: (found := installation.as_("requester").runs.why(run.id)).code == "awaiting_settlement" and found
    )

    assert "letters.send" in why.sentence
    assert installation.letters() == ["hello"]
    call = installation.calls(run.id)["send"]
    installation.as_("operator").settle(call["id"], "succeeded", because="the letter has arrived")
    assert installation.end_of(run.id).state == "succeeded"
    assert installation.letters() == ["hello"]


def test_a_letter_that_was_intended_and_not_sent_is_not_sent_behind_anybodys_back(installation):
    """The server cannot know that it died before the deed: it asks, and what a person says counts."""
    run = installation.as_("requester").runs.create("Send the letter again")
    gate = installation.gate(run.id)
    installation.set_trap("call intended")

    installation.approve(gate, may_die=True)
    installation.wait_for_death()
    installation.start()
    installation.until(lambda: installation.as_("requester").runs.why(run.id).code == "awaiting_settlement")

    assert installation.letters() == []
    call = installation.calls(run.id)["send"]
    installation.as_("operator").settle(call["id"], "failed", because="nobody has received it")
    assert installation.end_of(run.id).state == "failed"
    assert installation.letters() == []


def test_a_vote_that_was_stored_is_not_asked_for_again(installation):
    run = installation.as_("requester").runs.create("Send the letter third")
    gate = installation.gate(run.id)
    installation.set_trap("vote given")

    with pytest.raises(Unreachable):
        installation.approve(gate)
    installation.wait_for_death()
    installation.start()

    assert installation.end_of(run.id).state == "succeeded"
    assert installation.letters() == ["third"]


def test_a_seal_that_was_half_done_is_whole_at_the_next_start(installation):
    """Positions given and no seal; a seal and no head outside; half a head: each at a start of its own."""
    for point in ("seal begun", "seal stored", "head torn"):
        installation.set_trap(point)
        with contextlib.suppress(Unreachable):
            installation.as_("owner").runs.create("Do what nobody has planned")
        installation.wait_for_death()
        installation.start()

    verified = installation.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr
    with installation.postgres.connect("worka") as connection:
        assert connection.execute(
            "SELECT count(*) FROM governance_workspace WHERE frozen_at IS NOT NULL"
        ).fetchone() == (0,)
        seals, last = connection.execute("SELECT count(*), max(number) FROM audit_seal").fetchone()
    heads = (installation.home / "tree_heads.jsonl").read_text().splitlines()
    assert seals == last
    assert [json.loads(head)["seal"] for head in heads] == list(range(1, last + 1))


def test_when_everything_is_killed_postgres_and_agents_too_the_run_goes_on(installation, repository):
    run = installation.as_("requester").runs.create(f"Compare v1 with main in {repository}")
    gate = installation.gate(run.id)

    installation.kill_everything()
    installation.start()
    still = installation.gate(run.id)
    installation.approve(still)
    installation.kill_everything()
    installation.start()

    assert (still["id"], still["payload_digest"]) == (gate["id"], gate["payload_digest"])
    assert installation.end_of(run.id).state == "succeeded"
    with installation.postgres.connect("worka") as connection:
        versions = "SELECT count(*) FROM gateway_documentversion v JOIN gateway_document d ON d.id = v.document_id WHERE d.path LIKE 'comparisons/%'"
        assert connection.execute(versions).fetchone() == (1,)
    assert installation.verify().returncode == 0
