"""POST /skills: decided, gated and answered; the same call always in the same way."""

from gateway.connector import Outcome, SkillFailed
from governance.actions.freezing import disable, freeze_workspace, thaw_workspace
from governance.models import Budget, Gate, Skill, SkillInvocation
from tests.desk import POLICY, Desk
from tests.people import use_policy


def own(call_id, skill, **value):
    return {"call_id": call_id, "skill": skill, "input": value or {"text": "x"}}


def no_call(**about):
    return not SkillInvocation.objects.filter(**about).exists()


def test_a_call_of_the_plan_is_performed_and_answered(ernest):
    answer = ernest.post("/skills", {"call": "a"})

    assert (answer.status_code, answer.json()) == (
        200,
        {"state": "succeeded", "call_id": "a", "output": {"said": "LETTERS"}},
    )
    [gate] = ernest.gates(action="skill.invoke")
    assert (gate.effect, gate.subject, gate.call_id) == ("allow", "desk.read", "a")
    assert Desk.done == [("read", "letters")]


def test_the_same_call_again_gets_the_first_answer_and_nothing_is_done_twice(ernest):
    first = ernest.post("/skills", own("mine", "desk.peek"))

    assert ernest.post("/skills", own("mine", "desk.peek")).json() == first.json()
    assert ernest.post("/skills", {"call": "mine"}).json() == first.json()
    assert Desk.done == [("peek", "x")] and len(ernest.gates()) == 1


def test_the_same_id_with_another_input_is_a_conflict(ernest):
    ernest.post("/skills", own("mine", "desk.peek", text="one"))

    for other in (own("mine", "desk.peek", text="two"), own("mine", "desk.read", text="one")):
        ernest.denied(ernest.post("/skills", other), 409, "call_conflict", "skill.invoke")
    assert Desk.done == [("peek", "one")]
    assert SkillInvocation.objects.get().state == "succeeded"


def test_a_skill_that_is_not_in_the_steps_list_is_refused(ernest):
    gate = ernest.denied(ernest.post("/skills", own("x", "desk.stamp")), 403, "policy_denied", "skill.invoke")

    assert gate.subject == "desk.stamp" and not gate.thresholds
    assert Desk.done == []


def test_a_skill_that_is_not_in_the_steps_list_is_refused_also_where_a_rule_would_hold_it(ernest):
    gate = ernest.denied(ernest.post("/skills", own("x", "desk.send")), 403, "policy_denied", "skill.invoke")

    assert not gate.thresholds and not Gate.objects.filter(state="waiting").exists()
    assert Desk.done == []
    again = ernest.post("/skills", own("x", "desk.send"))
    assert (again.status_code, again.json()["gate"]) == (403, str(gate.pk))


def test_a_skill_that_the_manifest_no_longer_gives_the_agent_is_refused_also_where_a_rule_would_hold_it(
    visitor_of, working
):
    use_policy(working.house.workspace, POLICY.replace('skills: ["desk.*"]', 'skills: ["desk.read"]'))
    ernest = visitor_of("send")

    for call in ("c", "s"):
        gate = ernest.denied(ernest.post("/skills", {"call": call}), 403, "policy_denied", "skill.invoke")
        assert not gate.thresholds
    assert not Gate.objects.filter(state="waiting").exists() and Desk.done == []


def test_a_skill_that_does_not_exist_is_refused_and_leaves_no_call(ernest):
    for name in ("desk.fly", "desk", "nothing", "*", "desk.*"):
        ernest.denied(ernest.post("/skills", own("x", name)), 403, "policy_denied", "skill.invoke")
    assert no_call()


def test_a_rule_that_denies_says_its_reason(ernest):
    answer = ernest.post("/skills", {"call": "w"})

    gate = ernest.denied(answer, 403, "policy_denied", "skill.invoke")
    assert answer.json()["reason"] == gate.reason and "nobody writes that" in gate.reason
    assert SkillInvocation.objects.get().state == "denied"


def test_a_call_that_is_held_says_so_with_its_gate_and_is_not_performed(visitor_of):
    ernest = visitor_of("send")

    answer = ernest.post("/skills", {"call": "c"})

    gate = Gate.objects.get(state="waiting")
    assert (answer.status_code, answer.json()) == (202, {"state": "held", "call_id": "c", "gate": str(gate.pk)})
    assert ernest.post("/skills", {"call": "c"}).json() == answer.json()
    assert ernest.get("/skills/c").json() == answer.json()
    assert Gate.objects.filter(action="skill.invoke").count() == 1 and Desk.done == []


def test_an_input_that_does_not_fit_is_refused_with_every_fault(ernest):
    answer = ernest.post("/skills", own("x", "desk.peek", text=7, more=True))

    ernest.denied(answer, 422, "bad_input", "skill.invoke")
    assert len(answer.json()["errors"]) == 2
    assert {error["path"].split("/")[1] for error in answer.json()["errors"]} == {"input"}
    assert no_call() and Desk.done == []


def test_an_id_that_was_refused_for_its_input_is_free_for_a_better_one(ernest):
    ernest.post("/skills", own("x", "desk.peek", text="x" * 500))

    assert ernest.post("/skills", own("x", "desk.peek", text="x")).json()["state"] == "succeeded"


def test_a_call_that_the_plan_does_not_name_is_refused(ernest):
    answer = ernest.post("/skills", {"call": "c"})

    assert answer.status_code in (403, 422)
    ernest.denied(answer, answer.status_code, answer.json()["code"], "skill.invoke")
    assert no_call()


def test_bodies_of_the_wrong_shape_are_refused_with_every_fault(ernest):
    wrong = [
        ({}, {"/call_id", "/skill", "/input"}),
        ({"call": 7}, {"/call"}),
        ({"call": "a", "input": {}}, {"/input"}),
        (own("x", "desk.peek") | {"extra": 1, "policy": "allow"}, {"/extra", "/policy"}),
        ({"call_id": 1, "skill": ["x"], "input": "y"}, {"/call_id", "/skill", "/input"}),
        ({"call_id": "x", "skill": "desk.peek", "input": [1]}, {"/input"}),
        (own("", "desk.peek"), {"/call_id"}),
        (own("x" * 65, "desk.peek"), {"/call_id"}),
        (own("a/b", "desk.peek"), {"/call_id"}),
        (own("a b", "desk.peek"), {"/call_id"}),
        (own("é", "desk.peek"), {"/call_id"}),
        ({"call": "x" * 65}, {"/call"}),
        (own("x", ""), {"/skill"}),
        (own("x", "desk." + "x" * 10_000), {"/skill"}),
    ]
    for body, places in wrong:
        answer = ernest.post("/skills", body)
        ernest.denied(answer, 422, "invalid", "skill.invoke")
        assert {error["path"] for error in answer.json()["errors"]} == places
    assert no_call()


def test_bodies_that_are_no_objects_or_not_canonical_are_refused_and_gated(ernest):
    wrong = {
        b"": "not_canonical",
        b"{": "not_canonical",
        b"[]": "invalid",
        b'"x"': "invalid",
        b"null": "invalid",
        b'{"call": "a", "call": "b"}': "not_canonical",
        b'{"call": 9007199254740993}': "not_canonical",
        b'{"call": NaN}': "not_canonical",
        b'{"call": -Infinity}': "not_canonical",
        b'{"call": 1e400}': "not_canonical",
        b'{"call": "\\ud800"}': "not_canonical",
        b'{"call": "a\\u0000"}': "not_canonical",
        b'{"call\\u0000": 1}': "not_canonical",
        b'{"call": "\xff"}': "not_canonical",
        b'{"call": ' + b"[" * 64 + b"]" * 64 + b"}": "not_canonical",
        b"[" * 100_000: "not_canonical",
        b'{"call_id": "x", "skill": "desk.peek", "input": {"text": "x", "text": "y"}}': "not_canonical",
    }
    for count, (body, code) in enumerate(wrong.items(), start=1):
        answer = ernest.ask("POST", "/skills", content=body, headers={"Content-Type": "application/json"})
        ernest.denied(answer, 422, code, "skill.invoke")
        assert len(ernest.gates()) == count
    assert no_call()


def test_a_body_of_more_than_a_mebibyte_is_refused_and_gated(ernest):
    ernest.denied(ernest.post("/skills", own("x", "desk.peek", text="x" * 2**20)), 413, "too_large", "skill.invoke")
    assert no_call()


def test_a_frozen_workspace_refuses_the_call_leaves_its_id_free_and_lets_the_step_end(ernest, working):
    freeze_workspace(working.house.workspace.pk, by=working.house.by("dora"), because="an incident")

    gate = ernest.denied(ernest.post("/skills", {"call": "a"}), 409, "frozen", "skill.invoke")
    assert "an incident" in gate.reason and no_call()
    assert ernest.post("/result", {"status": "suspended", "waits_for": "frozen"}).json()["state"] == "suspended"

    thaw_workspace(working.house.workspace.pk, by=working.house.by("dora"), because="it is over")
    assert working.step("look").retries == 0


def test_a_disabled_skill_is_refused(ernest, working):
    disable(Skill.objects.get(name="desk.peek"), by=working.house.by("dora"), because="it is broken")

    gate = ernest.denied(ernest.post("/skills", {"call": "b"}), 409, "frozen", "skill.invoke")

    assert "disabled" in gate.reason and no_call()


def test_a_lock_that_another_holds_is_a_conflict_that_passes(visitor_of, working):
    ernest = visitor_of("send")
    taken: list = []

    class Meeting(list):
        # The desk is asked for the first stamp; in the middle of it the second one comes.
        def append(self, done):
            super().append(done)
            if not taken:
                taken.append(None)
                taken[0] = ernest.post("/skills", own("other", "desk.stamp", text="a letter"))

    Desk.done = Meeting()
    assert ernest.post("/skills", {"call": "s"}).json()["state"] == "succeeded"

    conflict = taken[0]
    gates = {gate.call_id: gate for gate in ernest.gates()}
    assert (conflict.status_code, conflict.json()["code"]) == (409, "lock_conflict")
    assert conflict.headers["retry-after"] == "1"
    assert conflict.json()["gate"] == str(gates["other"].pk) and gates["other"].effect == "deny"
    assert no_call(call_id="other")


def test_the_budget_of_calls_is_a_wall(ernest, working):
    use_policy(working.house.workspace, POLICY)
    Budget.objects.filter(scope=working.run.pk, kind="invocations").update(limit=1)
    assert ernest.post("/skills", {"call": "b"}).status_code == 200

    answer = ernest.post("/skills", {"call": "a"})

    ernest.denied(answer, 429, "budget_exceeded", "skill.invoke")
    assert no_call(call_id="a") and Desk.done == [("peek", "more")]


def test_a_skill_that_failed_without_effect_may_be_asked_again(ernest):
    Desk.fails.append(SkillFailed("the desk is closed", effect="none"))

    failed = ernest.post("/skills", {"call": "b"})

    assert (failed.status_code, failed.json()["code"], failed.json()["effect"]) == (502, "skill_failed", "none")
    assert failed.json()["final"] is False and "retry-after" in failed.headers
    assert ernest.post("/skills", {"call": "b"}).json()["output"] == {"said": "MORE"}


def test_an_answer_that_is_not_what_the_skill_promised_goes_no_further(visitor_of, working, monkeypatch):
    ernest, sender = visitor_of("look"), visitor_of("send")
    monkeypatch.setattr(Desk, "call", lambda *_: Outcome(["a-strangers-value"]))

    read, sent = ernest.post("/skills", {"call": "b"}), sender.post("/skills", {"call": "s"})

    assert (read.status_code, read.json()["code"]) == (502, "skill_failed")
    assert "something else than its schema says, at /" in read.json()["detail"]
    # What may have been done is for people to say.
    assert (sent.status_code, sent.json()["state"]) == (202, "unknown")
    assert "a-strangers-value" not in read.text + sent.text
    assert not SkillInvocation.objects.filter(run=working.run, output__isnull=False, state="succeeded").exists()


def test_a_connector_that_breaks_says_nothing_of_its_inside(ernest):
    Desk.fails.append(RuntimeError("the password is hunter2"))

    answer = ernest.post("/skills", {"call": "b"})

    assert answer.status_code == 502 and "hunter2" not in answer.text


def test_an_effect_that_nobody_knows_is_unknown_and_waits_for_people(visitor_of, working):
    ernest = visitor_of("send")
    Desk.fails.append(SkillFailed("the line broke", effect="maybe"))

    answer = ernest.post("/skills", {"call": "s"})

    assert (answer.status_code, answer.json()["state"]) == (202, "unknown")
    assert ernest.post("/skills", {"call": "s"}).json() == answer.json()
    refused = ernest.post("/result", {"status": "succeeded"})
    ernest.denied(refused, 409, "calls_open", "step.finish")
    assert working.step("send").state == "running"
