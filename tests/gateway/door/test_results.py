"""POST /result, PUT /checkpoint, POST /events and /heartbeat."""

from audit.models import AuditEvent
from governance.models import Burn, Gate
from governance.payloads import open_value
from runtime import actions
from runtime.models import AgentJob


def test_a_result_ends_the_step_and_a_repeat_gets_the_first_answer(ernest, working):
    body = {"status": "succeeded", "summary": "done", "output": {"n": 1}}

    first = ernest.post("/result", body)
    gate = Gate.objects.get(action="step.finish")

    assert (first.status_code, first.json()) == (200, {"state": "succeeded", "gate": str(gate.pk)})
    assert ernest.post("/result", dict(reversed(body.items()))).json() == first.json()
    assert working.step("look").state == "succeeded"
    assert Gate.objects.filter(action="step.finish").count() == 1
    assert AuditEvent.objects.filter(type="step.succeed").count() == 1


def test_another_result_comes_too_late(ernest, working):
    ernest.post("/result", {"status": "succeeded", "output": {"n": 1}})

    late = ernest.post("/result", {"status": "succeeded", "output": {"n": 2}})
    foreign = ernest.post("/result", {"status": "succeeded", "agent": "daneel"})

    conflict = ernest.gates()[-2]
    assert (late.status_code, late.json()["code"], late.json()["gate"]) == (409, "result_conflict", str(conflict.pk))
    assert (conflict.effect, conflict.action, conflict.code) == ("deny", "step.finish", "result_conflict")
    ernest.denied(foreign, 403, "identity_mismatch", "step.finish")
    assert open_value(working.run.pk, working.step("look"), "result")["output"] == {"n": 1}


def test_a_job_that_goes_on_contradicting_its_result_is_stopped(ernest, working, monkeypatch):
    monkeypatch.setattr(actions, "MOST_REFUSED", 2)
    ernest.post("/result", {"status": "succeeded", "output": {"n": 1}})

    for number in (2, 3):
        assert ernest.post("/result", {"status": "succeeded", "output": {"n": number}}).status_code == 409
    dead = ernest.post("/result", {"status": "succeeded", "output": {"n": 1}})

    assert (dead.status_code, dead.json()["code"]) == (401, "job_over")
    assert working.step("look").state == "succeeded"
    assert not Burn.objects.exists()


def test_after_its_result_a_job_may_do_nothing_else(ernest):
    ernest.post("/result", {"status": "succeeded"})
    gates = Gate.objects.count()

    for method, path, body in (
        ("GET", "/context", None),
        ("POST", "/skills", {"call": "a"}),
        ("GET", "/skills/a", None),
        ("POST", "/heartbeat", {}),
        ("PUT", "/checkpoint", {"seq": 1, "state": 1}),
        ("POST", "/events", {"lines": ["x"]}),
    ):
        answer = ernest.ask(method, path, **({"json": body} if body is not None else {}))
        assert (answer.status_code, answer.json()["code"]) == (401, "job_over")
    assert Gate.objects.count() == gates


def test_garbage_is_refused_gated_and_burned_and_the_agent_may_mend_it(ernest, working):
    garbage = [
        b"",
        b"no JSON at all",
        b"[]",
        b"7",
        b'"done"',
        b"{}",
        b'{"status": "fine"}',
        b'{"status": "succeeded", "extra": 1}',
        b'{"status": "succeeded", "summary": {}}',
        b'{"status": "suspended"}',
        b'{"status": "suspended", "waits_for": []}',
        b'{"status": "suspended", "waits_for": "tomorrow"}',
        b'{"status": "succeeded", "artifacts": [7]}',
        b"\xff\xfe{",
    ]
    for count, body in enumerate(garbage, start=1):
        answer = ernest.ask("POST", "/result", content=body, headers={"Content-Type": "application/json"})
        ernest.denied(answer, 422, "bad_output", "step.finish")
        assert Burn.objects.count() == count
    assert set(Burn.objects.values_list("kind", "job_name", "agent_name")) == {
        ("bad_output", ernest.job.name, "ernest")
    }
    assert working.step("look").state == "running"

    assert ernest.post("/result", {"status": "succeeded"}).status_code == 200


def test_what_is_json_but_not_canonical_is_refused_gated_and_burned(ernest):
    for body in (
        b'{"status": "succeeded", "status": "failed"}',
        b'{"status": "succeeded", "output": NaN}',
        b'{"status": "succeeded", "output": 9007199254740993}',
        b'{"status": "succeeded", "output": "\\ud800"}',
        b'{"status": "succeeded", "output": "\\u0000"}',
        b'{"status": "succeeded", "output": ' + b"[" * 70 + b"]" * 70 + b"}",
    ):
        answer = ernest.ask("POST", "/result", content=body, headers={"Content-Type": "application/json"})
        ernest.denied(answer, 422, "not_canonical", "step.finish")
    assert Burn.objects.filter(kind="bad_output").count() == 6


def test_a_result_in_a_fence_is_mended(ernest, working):
    text = b'Here it is:\n```json\n{"status": "Done", "summary": ["a", "b"], "output": {"n": 1}}\n```\nBye!'

    answer = ernest.ask("POST", "/result", content=text, headers={"Content-Type": "application/json"})

    assert answer.json()["state"] == "succeeded"
    assert open_value(working.run.pk, working.step("look"), "result")["summary"] == "a\nb"


def test_a_result_that_waits_for_calls_never_made_is_bad_output(ernest):
    answer = ernest.post("/result", {"status": "suspended", "waits_for": ["never"]})

    ernest.denied(answer, 422, "bad_output", "step.finish")


def test_a_result_of_more_than_a_mebibyte_is_refused(ernest, working):
    ernest.denied(
        ernest.post("/result", {"status": "succeeded", "output": "x" * 2**20}), 413, "too_large", "step.finish"
    )
    assert working.step("look").state == "running"


def test_a_failed_result_spends_a_retry_and_the_step_is_tried_again(ernest, working):
    assert ernest.post("/result", {"status": "failed", "summary": "no luck"}).json()["state"] == "ready"

    step = working.step("look")
    assert (step.retries, step.last_error) == (1, "no luck")
    assert Burn.objects.get().kind == "job_failed"
    assert AgentJob.objects.get(pk=ernest.job.pk).result_digest


# Beside gates


def test_the_newest_checkpoint_is_kept_and_told_in_the_context(ernest, working):
    assert ernest.put("/checkpoint", {"seq": 2, "state": {"at": "two"}}).json() == {"seq": 2}
    assert ernest.put("/checkpoint", {"seq": 1, "state": {"at": "one"}}).status_code == 200

    assert ernest.get("/context").json()["step"]["checkpoint"] == {"seq": 2, "state": {"at": "two"}}
    assert not Gate.objects.filter(job_name=ernest.job.name).exclude(action="context.read").exists()


def test_a_checkpoint_of_more_than_a_mebibyte_or_of_another_shape_is_refused(ernest, working):
    for body, status, code in (
        ({"seq": 1, "state": "x" * 2**20}, 413, "too_large"),
        ({"seq": -1, "state": 1}, 422, "invalid"),
        ({"seq": 2**31, "state": 1}, 422, "invalid"),
        ({"seq": True, "state": 1}, 422, "invalid"),
        ({"seq": 1.5, "state": 1}, 422, "invalid"),
        ({"seq": "1", "state": 1}, 422, "invalid"),
        ({"seq": 1}, 422, "invalid"),
        ({"seq": 1, "state": 1, "more": 1}, 422, "invalid"),
    ):
        answer = ernest.put("/checkpoint", body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body
    assert working.step("look").checkpoint is None and not ernest.gates()


def test_lines_of_progress_are_kept_masked_and_bounded(ernest):
    assert ernest.post("/events", {"lines": ["hello", "x" * 9000]}).json() == {"kept": 2}

    kept = AgentJob.objects.get(pk=ernest.job.pk)
    assert kept.progress.startswith("hello\n") and len(kept.progress) < 4100
    for body in ({"lines": ["x"] * 201}, {"lines": [7]}, {"lines": "x"}, {}, {"lines": [], "level": "info"}):
        assert ernest.post("/events", body).status_code == 422
    assert not ernest.gates()


def test_a_heartbeat_is_a_sign_of_life(ernest):
    before = AgentJob.objects.get(pk=ernest.job.pk).last_sign_at

    assert ernest.post("/heartbeat").json() == {"wanted": True}
    assert ernest.post("/heartbeat", {"mood": "fine"}).status_code == 422

    after = AgentJob.objects.get(pk=ernest.job.pk).last_sign_at
    assert after and after != before
