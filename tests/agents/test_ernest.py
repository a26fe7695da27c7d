"""Ernest: calls in order, sleeping where one waits; and templates."""

from datetime import UTC, datetime, timedelta

import pytest

from runtime.agents import daneel, ernest
from runtime.agents.ernest import NoSuchValue, pointed_at
from tests.agents.contexts import figures, step
from tests.sdk.door_double import problem
from worka.agent import Suspended
from worka.errors import ApiError, WorkaError

CALLS = {
    "kind": "direct",
    "calls": [
        {"call_id": "log", "skill": "git.log", "input": {"repository": "/r"}},
        {"call_id": "stat", "skill": "git.diffstat", "input": {"repository": "/r"}},
    ],
}


def succeeded(output):
    return 200, {"state": "succeeded", "output": output}


# direct


def test_calls_are_made_in_their_order_and_their_outputs_handed_in(agent, door):
    door.context = step(CALLS)
    door.calls |= {"log": [succeeded({"total": 3})], "stat": [succeeded({"added": 9})]}

    ernest.work(agent)

    assert door.asked == [{"call": "log"}, {"call": "stat"}]
    assert door.results == [{
        "status": "succeeded", "summary": "done: git.log, git.diffstat", "artifacts": [],
        "output": {"log": {"total": 3}, "stat": {"added": 9}},
    }]  # fmt: skip
    assert door.lines == ["git.log (log) is done", "git.diffstat (stat) is done"]


def test_an_output_is_put_together_from_own_calls_and_earlier_results(agent, door):
    output = {
        "n": {"$from": "self", "pointer": "/log/total"},
        "all": [{"$from": "a", "pointer": "/x/0"}, "as it is"],
        "own": {"$from": "self"},
    }
    door.context = step(
        {**CALLS, "output": output}, results={"a": {"summary": "", "output": {"x": [7]}, "artifacts": []}}
    )
    door.calls |= {"log": [succeeded({"total": 3})], "stat": [succeeded(1)]}

    ernest.work(agent)

    assert door.results[0]["output"] == {"n": 3, "all": [7, "as it is"], "own": {"log": {"total": 3}, "stat": 1}}


@pytest.mark.parametrize(
    "reference",
    [{"$from": "self", "pointer": "/nothing"}, {"$from": "nobody", "pointer": ""}, {"$from": "self", "pointer": "x"}],
)
def test_an_output_that_points_at_nothing_fails_with_a_reason(agent, door, reference):
    door.context = step({**CALLS, "output": {"n": reference}})
    door.calls |= {"log": [succeeded({})], "stat": [succeeded({})]}

    ernest.work(agent)

    assert door.results[0]["status"] == "failed"
    assert door.results[0]["output"] == {"code": "bad_instruction"}


@pytest.mark.parametrize("state", ["held", "unknown"])
def test_a_call_that_waits_for_a_person_puts_the_step_to_sleep(agent, door, state):
    door.context = step(CALLS)
    door.calls |= {"log": [succeeded({"total": 3})], "stat": [(202, {"state": state, "gate": "g-1"})]}

    with pytest.raises(Suspended):
        ernest.work(agent)

    assert door.checkpoints == [{"seq": 1, "state": {"done": ["log"], "waiting": "stat"}}]
    (result,) = door.results
    assert (result["status"], result["waits_for"]) == ("suspended", ["stat"])
    assert [path for _, path in door.requests][-2:] == ["events", "result"]


def test_the_step_goes_on_with_the_outcome_and_asks_nothing_twice(agent, door):
    door.context = step(CALLS, attempt=2, checkpoint={"seq": 1, "state": {"done": ["log"], "waiting": "stat"}}, calls=[
        {"call_id": "log", "skill": "git.log", "state": "succeeded", "output": {"total": 3}},
        {"call_id": "stat", "skill": "git.diffstat", "state": "succeeded", "output": {"added": 9}},
    ])  # fmt: skip

    ernest.work(agent)

    assert door.asked == []
    assert door.results[0]["output"] == {"log": {"total": 3}, "stat": {"added": 9}}


def test_a_call_whose_end_is_not_in_the_context_is_asked_for_again(agent, door):
    door.context = step(CALLS, attempt=2, calls=[{"call_id": "log", "skill": "git.log", "state": "held"}])
    door.calls |= {"log": [succeeded(1)], "stat": [succeeded(2)]}

    ernest.work(agent)

    assert door.asked == [{"call": "log"}, {"call": "stat"}]


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (
            problem(403, "policy_denied", gate="g", reason="git is closed today"),
            "policy_denied",
            "was denied: git is closed today",
        ),
        (problem(502, "skill_failed", "no such revision", effect="maybe"), "skill_failed", "failed: no such revision"),
        (problem(422, "bad_input", "input is wrong"), "bad_input", "failed: input is wrong"),
        (
            problem(429, "budget_exceeded", "0 of 200 calls are left"),
            "budget_exceeded",
            "was denied: 0 of 200 calls are left",
        ),
        (problem(404, "not_found", "no such repository"), "not_found", "failed: no such repository"),
    ],
)
def test_a_call_that_is_refused_or_fails_ends_the_step_with_the_reason(agent, door, answer, code, says):
    door.context = step(CALLS)
    door.calls["log"] = [answer]

    ernest.work(agent)

    (result,) = door.results
    assert (result["status"], result["output"]) == ("failed", {"code": code})
    assert result["summary"] == f"{code}: git.log (log) {says}"
    assert door.asked == [{"call": "log"}]


def test_a_denial_that_came_while_the_step_slept_ends_it(agent, door):
    door.context = step(
        CALLS, calls=[{"call_id": "log", "skill": "git.log", "state": "denied", "reason": "bob rejected it"}]
    )

    ernest.work(agent)

    assert door.results[0]["summary"] == "denied: git.log (log) was denied: bob rejected it"
    assert door.asked == []


def test_a_call_under_way_is_polled_before_the_step_sleeps(agent, door):
    door.context = step(CALLS)
    door.calls |= {"log": [(202, {"state": "running"})], "stat": [succeeded(2)]}
    door.polls["log"] = [
        (200, {"call_id": "log", "state": "running"}),
        (200, {"call_id": "log", "state": "succeeded", "output": 1}),
    ]

    ernest.work(agent)

    assert door.results[0]["output"] == {"log": 1, "stat": 2}


def test_a_call_that_stays_under_way_puts_the_step_to_sleep(agent, door):
    door.context = step(CALLS)
    door.calls["log"] = [(202, {"state": "released"})]
    door.polls["log"] = [(200, {"call_id": "log", "state": "running"})]

    with pytest.raises(Suspended):
        ernest.work(agent)

    assert door.results[0]["waits_for"] == ["log"]


def test_a_freeze_puts_the_step_to_sleep_until_it_is_over(agent, door):
    door.context = step(CALLS)
    door.calls["log"] = [problem(409, "frozen", "owner froze acme")]

    with pytest.raises(Suspended):
        ernest.work(agent)

    assert door.results[0]["waits_for"] == "frozen"


@pytest.mark.parametrize("work", [ernest.work, daneel.work])
def test_a_freeze_before_the_step_is_even_read_puts_it_to_sleep(agent, door, monkeypatch, work):
    def refused():
        raise ApiError(409, {"code": "frozen", "detail": "owner froze acme"})

    monkeypatch.setattr(agent, "context", refused)

    with pytest.raises(Suspended):
        work(agent)

    assert (door.results[0]["status"], door.results[0]["waits_for"]) == ("suspended", "frozen")


def test_a_lock_that_stays_taken_puts_the_step_to_sleep_for_a_while(agent, door):
    door.context = step(CALLS)
    door.calls["log"] = [(*problem(409, "lock_conflict", "repo:/r is locked"), {"Retry-After": "300"})]
    before = datetime.now(UTC)

    with pytest.raises(Suspended):
        ernest.work(agent)

    until = datetime.fromisoformat(door.results[0]["waits_for"])
    assert timedelta(seconds=299) < until - before < timedelta(seconds=310)


# render


def rendering(**more):
    return {
        "kind": "render", "template": "repository-report", "data": figures(),
        "artifact": {"name": "report.md", "media_type": "text/markdown"}, **more,
    }  # fmt: skip


def test_a_template_becomes_an_artifact(agent, door):
    door.context = step(rendering())

    ernest.work(agent)

    (stored,) = door.artifacts.values()
    assert (stored["name"], stored["media_type"]) == ("report.md", "text/markdown")
    content = door.contents[stored["id"]].decode()
    assert content.startswith("# Report on orders since v2.3.0\n")
    (result,) = door.results
    assert (result["status"], result["artifacts"], result["output"]) == (
        "succeeded",
        [stored["id"]],
        {"artifact": stored},
    )


def test_a_template_without_an_artifact_is_handed_in_as_text(agent, door):
    instruction = rendering()
    del instruction["artifact"]
    door.context = step(instruction)

    ernest.work(agent)

    assert door.artifacts == {}
    assert door.results[0]["output"]["text"].startswith("# Report on orders")


@pytest.mark.parametrize(
    "change", [{"template": "nothing"}, {"data": {}}, {"data": None}, {"data": {**figures(), "log": {"total": "many"}}}]
)
def test_data_that_do_not_fit_fail_the_step_and_store_nothing(agent, door, change):
    door.context = step(rendering(**change))

    ernest.work(agent)

    assert door.artifacts == {}
    assert (door.results[0]["status"], door.results[0]["output"]) == ("failed", {"code": "bad_instruction"})


# the rest


def test_an_instruction_that_needs_a_model_fails_with_no_model(agent, door):
    door.context = step({"kind": "agentic", "goal": "think", "max_turns": 3})

    ernest.work(agent)

    assert door.results[0]["status"] == "failed"
    assert door.results[0]["output"] == {"code": "no_model"}
    assert door.results[0]["summary"].startswith("no_model: ")


@pytest.mark.parametrize("instruction", [{}, {"kind": "shell", "command": "ls"}])
def test_an_instruction_of_an_unknown_kind_fails(agent, door, instruction):
    door.context = step(instruction)

    ernest.work(agent)

    assert door.results[0]["output"] == {"code": "bad_instruction"}


def test_workers_do_not_plan(agent, door):
    door.context = {"run": {"id": "r", "number": 1, "request": "x"}}

    for work in (ernest.work, daneel.work):
        with pytest.raises(WorkaError):
            work(agent)


@pytest.mark.parametrize(("pointer", "value"), [("", {"a/b": [1, {"~": 2}]}), ("/a~1b/0", 1), ("/a~1b/1/~0", 2)])
def test_pointers_are_read_as_rfc_6901_says(pointer, value):
    assert pointed_at({"a/b": [1, {"~": 2}]}, pointer) == value


@pytest.mark.parametrize("pointer", ["/x", "/a~1b/2", "/a~1b/-", "/a~1b/01x", "/a~1b/0/0", "a"])
def test_pointers_at_nothing_are_refused(pointer):
    with pytest.raises(NoSuchValue):
        pointed_at({"a/b": [1, {"~": 2}]}, pointer)


# Daneel


def test_daneel_drafts_the_answer(agent, door):
    door.context = step(
        {"kind": "render", "template": "answer", "data": {**figures(), "document": "reports/orders.md"}}
    )

    daneel.work(agent)

    (result,) = door.results
    assert result["status"] == "succeeded"
    assert set(result["output"]) == {"text"}
    assert result["output"]["text"].endswith("reports/orders.md")
    assert result["summary"].startswith("2 commits by 1 person")


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        (CALLS, "bad_instruction"),
        (rendering(), "bad_instruction"),
        ({"kind": "agentic", "goal": "x", "max_turns": 1}, "no_model"),
        ({}, "bad_instruction"),
    ],
)
def test_daneel_does_nothing_but_answer(agent, door, instruction, code):
    door.context = step(instruction)

    daneel.work(agent)

    assert door.asked == []
    assert door.artifacts == {}
    assert door.results[0]["output"] == {"code": code}


def test_an_answer_without_its_figures_fails(agent, door):
    door.context = step({"kind": "render", "template": "answer", "data": {}})

    daneel.work(agent)

    assert door.results[0]["status"] == "failed"


def test_data_that_cannot_be_put_together_end_the_step_with_the_reason(agent, door, monkeypatch):
    refusal = problem(422, "bad_input", "the references here put in more than 1048576 bytes")
    monkeypatch.setattr(agent, "context", refusing(refusal))

    ernest.work(agent)

    assert [(result["status"], result["output"]) for result in door.results] == [("failed", {"code": "bad_input"})]
    assert "more than 1048576 bytes" in door.results[0]["summary"]


def test_another_refusal_of_the_context_is_an_error_of_the_attempt(agent, door, monkeypatch):
    monkeypatch.setattr(agent, "context", refusing(problem(403, "policy_denied", "no")))

    with pytest.raises(ApiError, match="policy_denied"):
        ernest.work(agent)
    assert door.results == []


def refusing(refusal):
    status, body = refusal[:2]

    def context():
        raise ApiError(status, body)

    return context
