"""People who answer, cancel and ask at the same moment: one clean outcome each time."""

from uuid import UUID

import pytest
from django.db import transaction

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.models import AuditEvent
from gateway.idempotency import once
from gateway.models import IdempotencyRecord
from governance.actions import votes
from governance.actions.runs import cancel_run, request_run
from governance.actions.steps import finish_step
from governance.core.result import parse_result
from governance.models import Consent, Gate, Run, SkillInvocation, Vote
from runtime.actions import accept_answer
from tests.concurrency.conftest import QUORUM, held_letter
from tests.concurrency.meeting import Halfway, at_once, of_type
from tests.desk import Desk

pytestmark = pytest.mark.concurrency


def answer(j, gate, who, verdict="approve"):
    return lambda: votes.vote(
        gate.pk,
        by=j.house.by(who),
        user=getattr(j.house, who),
        verdict=verdict,
        because="my view",
        payload_digest=gate.payload_digest,
        channel="api",
    )


def test_two_last_votes_at_once_release_the_call(begin, monkeypatch):
    """Guard: the run's lock, taken before votes are counted. Without it each counts without the other, and the gate waits for ever."""
    j = begin(QUORUM)
    gate = held_letter(j)
    Halfway(monkeypatch, votes, "record")

    answers = at_once(answer(j, gate, "bob"), answer(j, gate, "ben"))

    assert [type(each) for each in answers] == [Gate, Gate]
    gate.refresh_from_db()
    assert (gate.state, Vote.objects.count(), Consent.objects.count()) == ("approved", 2, 1)
    assert SkillInvocation.objects.get().state == "released"
    j.tick()
    assert Desk.done == [("send", "hello")]


def test_a_yes_and_a_no_at_once_end_in_one_of_them(j, monkeypatch):
    """Guard: the run's lock. Without it the second finds the gate moved under its hands: `overtaken`, not `transition_refused`."""
    gate = held_letter(j)
    Halfway(monkeypatch, votes, "approver_members")

    answers = at_once(answer(j, gate, "bob"), answer(j, gate, "ben", "reject"))

    (refusal,) = of_type(answers, Refused)
    gate.refresh_from_db()
    assert (refusal.code, Vote.objects.count()) == (Code.TRANSITION_REFUSED, 1)
    assert gate.state in ("approved", "rejected")
    assert Run.objects.get().state == ("running" if gate.state == "approved" else "refused")


def test_the_same_person_twice_at_once_has_one_vote(begin, monkeypatch):
    """Guard: the run's lock; behind it the unique constraint, which would answer with an error of the data base."""
    j = begin(QUORUM)
    gate = held_letter(j)
    Halfway(monkeypatch, votes, "approver_members")

    answers = at_once(*[answer(j, gate, "bob")] * 2)

    assert [each.code for each in of_type(answers, Refused)] == [Code.ALREADY_VOTED]
    assert (Vote.objects.count(), Gate.objects.get(pk=gate.pk).state) == (1, "waiting")


def test_a_vote_and_a_cancel_at_once_leave_nothing_released(j, monkeypatch):
    """Guard: the run's lock in both. Without it the vote reads a waiting gate of a run that is being cancelled."""
    gate = held_letter(j)
    Halfway(monkeypatch, votes, "approver_members")

    said, cancelled = at_once(
        answer(j, gate, "bob"), lambda: cancel_run(j.run.pk, by=j.house.by("olga"), because="not any more")
    )
    j.tick()

    assert isinstance(cancelled, Run) and j.run.state == "cancelled"
    assert isinstance(said, Gate) or said.code == Code.TRANSITION_REFUSED
    assert SkillInvocation.objects.get().state == "cancelled"
    assert Gate.objects.get(pk=gate.pk).state == ("approved" if isinstance(said, Gate) else "withdrawn")
    assert Desk.done == [] and not Consent.objects.exclude(used_at=None).exists()


def test_a_vote_may_come_before_the_agent_has_said_that_it_sleeps(j, monkeypatch):
    """Guard: only the tick releases a step, and only when its old job is gone; the vote releases the call alone."""
    gate = held_letter(j, suspended=False)
    caller, job = j.caller(j.step("send")), j.job(j.step("send"))
    Halfway(monkeypatch, votes, "approver_members")
    asleep = parse_result({"status": "suspended", "summary": "waits", "waits_for": ["a"]})

    @transaction.atomic
    def sleep():
        finished = finish_step(caller, asleep)
        accept_answer(job.pk, digest="0" * 64, status=200, answer={})
        return finished

    said, slept = at_once(answer(j, gate, "bob"), sleep)

    assert isinstance(said, Gate) and slept.state == "suspended"
    assert j.step("send").state == "suspended" and SkillInvocation.objects.get().state == "released"
    j.tick()
    assert Desk.done == [("send", "hello")]
    assert j.step("send").state == "suspended", "its old job has not gone yet"
    j.leave(job)
    j.tick()
    assert (j.step("send").state, j.step("send").attempt, j.step("send").retries) == ("running", 2, 0)
    j.finish("send")
    j.tick()
    assert j.run.state == "succeeded"


def test_twenty_posts_with_one_key_make_one_run(j):
    """Guard: the record of the key is inserted first, under its constraint; whoever comes second waits for the first's commit."""
    house = j.house

    def create():
        run = request_run(house.workspace.pk, by=house.by("ada"), user=house.ada, text="Please", source="api")
        return 202, {"id": str(run.pk)}

    def post():
        return once(
            "key-1",
            workspace_id=house.workspace.pk,
            by=house.by("ada"),
            endpoint="POST /v1/runs",
            payload={"request": "Please"},
            create=create,
        )

    answers = at_once(*[post] * 20)

    run = Run.objects.get()
    assert answers == [(202, {"id": str(run.pk)})] * 20
    assert IdempotencyRecord.objects.count() == 1
    assert AuditEvent.objects.filter(type="run.receive").count() == 1


def test_runs_that_are_asked_for_at_once_have_numbers_of_their_own(j):
    """Guard: the counter on the workspace's row, moved by UPDATE; counting runs instead would give one number twice."""
    house = j.house

    answers = at_once(
        *[lambda: request_run(house.workspace.pk, by=house.by("ada"), user=house.ada, text="Please", source="api").pk]
        * 8
    )

    assert len(set(of_type(answers, UUID))) == 8
    assert sorted(Run.objects.values_list("number", flat=True)) == list(range(1, 9))
