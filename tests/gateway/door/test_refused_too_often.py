"""An agent that is refused again and again is not heard without end."""

from audit.models import AuditEvent
from governance.models import Burn
from runtime import actions

UNKNOWN = {"call_id": "x", "skill": "vault.open", "input": {}}


def test_the_hundredth_refusal_of_an_attempt_ends_it_and_its_token(ernest, working):
    for number in range(actions.MOST_REFUSED):
        assert ernest.post("/skills", UNKNOWN).status_code == 403, number

    answer = ernest.post("/skills", UNKNOWN)

    assert (answer.status_code, answer.json()["code"]) == (401, "job_over")
    assert len(ernest.gates(effect="deny")) == actions.MOST_REFUSED == 100
    burn = Burn.objects.get()
    assert (burn.kind, burn.reason, burn.step) == (
        "policy",
        "attempt made too many refused requests",
        working.step("look"),
    )
    assert AuditEvent.objects.get(type="job.withdraw").because == burn.reason
    working.run.refresh_from_db()
    assert working.run.state == "refused", "it was denied calls, so another attempt would bring nothing else"


def test_a_planner_that_is_refused_too_often_loses_an_attempt_and_its_token(planner, planning, monkeypatch):
    monkeypatch.setattr(actions, "MOST_REFUSED", 3)
    for _ in range(3):
        assert planner.post("/skills", UNKNOWN).status_code == 403
    assert planner.get("/context").json()["code"] == "job_over"
    planning.run.refresh_from_db()
    assert (planning.run.state, planning.run.planning_attempts) == ("planning", 1)
    assert Burn.objects.get().kind == "policy"


def test_what_was_refused_in_an_earlier_attempt_does_not_count(visitor_of, working, monkeypatch):
    monkeypatch.setattr(actions, "MOST_REFUSED", 3)
    first = visitor_of("look")
    for _ in range(2):
        assert first.post("/artifacts", {"no": "file"}).is_error
    working.leave(first.job, exit_code=1)
    working.tick()
    working.step("look").__class__.objects.update(not_before=None)
    working.tick()
    second = visitor_of("look")
    assert second.job.attempt == 2
    for _ in range(2):
        assert second.post("/artifacts", {"no": "file"}).is_error
    assert second.get("/context").status_code == 200
