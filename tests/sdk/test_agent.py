"""The agent's side, against a door that is strict about the contract."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.sdk.door_double import TOKEN, problem
from worka.agent import EXIT_JOB_OVER, EXIT_UNREACHABLE, Agent, Suspended
from worka.errors import ApiError, JobOver, Misconfigured
from worka.wire import Wire

ROOT = Path(__file__).resolve().parents[2]

STEP = {
    "run": {"id": "run-1", "number": 7, "request": "Report"},
    "step": {
        "id": "step-1", "sequence": 1, "objective": "Read", "attempt": 2,
        "instruction": {"kind": "direct", "calls": [{"call_id": "c1", "skill": "git.log", "input": {}}]},
        "allowed_skills": [{"name": "git.log", "description": "d", "input_schema": {"type": "object"}, "side_effect": "read_only"}],
        "results": {"a": {"summary": "s", "output": {"x": 1}, "artifacts": [
            {"id": "1", "name": "r.md", "sha256": "00", "media_type": "text/markdown", "size": 3},
        ]}},
        "checkpoint": {"seq": 4, "state": {"done": ["c0"]}},
        "calls": [{"call_id": "c0", "skill": "git.log", "state": "succeeded", "output": {"n": 1}}],
    },
    "limits": {"steps": 20}, "memories": [],
    "a_field_of_next_year": True,
}  # fmt: skip


def python(code: str, environ: dict[str, str], *, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'sdk'}", **environ}, cwd=ROOT,
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


# Where it gets its job from


def test_an_agent_is_built_from_what_the_backend_gives_it(door, environ):
    door.context = STEP

    with Agent.from_env(environ) as agent:
        context = agent.context()

    assert agent.step_id == "step-1"
    assert (context.run_id, context.run_number, context.request) == ("run-1", 7, "Report")
    assert context.planning is None
    step = context.step
    assert step is not None
    assert (step.attempt, step.checkpoint, step.checkpoint_seq) == (2, {"done": ["c0"]}, 4)
    assert step.calls["c0"].output == {"n": 1}
    assert step.results["a"].artifacts[0].name == "r.md"
    assert step.allowed_skills[0].name == "git.log"
    assert door.headers[0]["traceparent"] == environ["TRACEPARENT"]


@pytest.mark.parametrize("missing", ["WORKA_GATEWAY_URL", "WORKA_TOKEN_FILE"])
def test_an_agent_started_by_hand_is_told_what_is_missing(environ, missing):
    del environ[missing]

    with pytest.raises(Misconfigured, match=missing):
        Agent.from_env(environ)


def test_a_token_file_that_is_not_there_is_named(environ):
    environ["WORKA_TOKEN_FILE"] = "/nowhere/token"

    with pytest.raises(Misconfigured, match="/nowhere/token"):
        Agent.from_env(environ)


@pytest.mark.parametrize(
    "url", ["http://gateway.example/", "ftp://x", "http+unix://relative", "http+unix://", "nonsense", "https://"]
)
def test_a_token_is_never_sent_where_it_could_be_read(url):
    with pytest.raises(Misconfigured):
        Wire(url, TOKEN)


def test_the_socket_may_be_written_as_a_quoted_host(door, environ):
    door.context = STEP
    environ["WORKA_GATEWAY_URL"] = "http+unix://" + str(door.socket_path).replace("/", "%2F")

    with Agent.from_env(environ) as agent:
        assert agent.context().run_number == 7


# Skills


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        ((200, {"state": "succeeded", "output": {"a": [1]}}), "succeeded", ""),
        ((202, {"state": "held", "gate": "g-1"}), "held", ""),
        ((202, {"state": "held", "gate": {"id": "g-1"}}), "held", ""),
        ((202, {"state": "unknown"}), "unknown", ""),
        ((202, {"state": "running"}), "running", ""),
        ((202, {"state": "released"}), "released", ""),
        (problem(403, "policy_denied", gate="g-1", reason="rule 3 says no"), "denied", "rule 3 says no"),
        (problem(429, "budget_exceeded", "no calls are left"), "denied", "no calls are left"),
        (problem(502, "skill_failed", "git broke", effect="maybe"), "failed", "git broke"),
        (problem(409, "frozen", "owner froze acme"), "frozen", "owner froze acme"),
        (
            problem(422, "bad_input", "wrong", errors=[{"path": "/limit", "code": "type", "message": "is no number"}]),
            "failed", "wrong; /limit: is no number (type)",
        ),
    ],
)  # fmt: skip
def test_every_answer_to_a_call_is_a_value(agent, door, answer, state, reason):
    door.calls["c1"] = [answer]

    outcome = agent.call("c1")

    assert (outcome.call_id, outcome.state, outcome.reason) == ("c1", state, reason)
    assert outcome.gate == ("g-1" if state in {"held", "denied"} and "gate" in answer[1] else "")
    assert outcome.is_waiting == (state in {"held", "unknown", "running", "released"})
    assert door.asked == [{"call": "c1"}]


def test_a_call_of_the_agents_own_carries_its_input(agent, door):
    door.calls["t1.1"] = [(200, {"state": "succeeded", "output": 5})]

    outcome = agent.skill("t1.1", "git.log", {"repository": "/r"})

    assert outcome.output == 5
    assert door.asked == [{"call_id": "t1.1", "skill": "git.log", "input": {"repository": "/r"}}]


def test_what_is_no_answer_to_a_call_is_an_error(agent, door):
    door.calls["c1"] = [problem(409, "call_conflict", "c1 was asked with other input", recovery="use another id")]

    with pytest.raises(ApiError) as refused:
        agent.call("c1")

    assert (refused.value.code, refused.value.recovery) == ("call_conflict", "use another id")


def test_a_call_is_waited_for_by_long_poll(agent, door):
    door.polls["c/1"] = [(200, {"call_id": "c/1", "state": "running"})]
    door.polls["c1"] = [(200, {"call_id": "c1", "state": "succeeded", "output": 1})]

    assert agent.wait_call("c1", wait_s=5).output == 1
    assert door.requests[-1] == ("GET", "skills/c1")


# What is kept


def test_checkpoints_count_on_from_the_last_attempt(agent, door):
    door.context = STEP
    agent.context()

    agent.checkpoint({"a": 1})
    agent.checkpoint({"a": 2})

    assert door.checkpoints == [{"seq": 5, "state": {"a": 1}}, {"seq": 6, "state": {"a": 2}}]


@pytest.mark.parametrize("content", [b"", b"# Report\r\n\x00\xff--worka-", "ünï".encode() * 50_000])
def test_an_artifact_arrives_byte_for_byte(agent, door, content):
    stored = agent.upload_artifact('a "b".md', "text/markdown", content)

    assert door.contents[stored.id] == content
    assert (stored.media_type, stored.size) == ("text/markdown", len(content))
    assert agent.artifact(stored.id) == content


def test_an_artifact_of_somebody_else_is_refused(agent, door):
    with pytest.raises(ApiError) as refused:
        agent.artifact("foreign")

    assert refused.value.code == "not_found"


def test_a_name_cannot_smuggle_headers_into_an_upload(agent, door):
    stored = agent.upload_artifact('x"\r\nContent-Type: text/html\r\n\r\nboo', "text/plain", b"1")

    assert door.contents[stored.id] == b"1"
    assert "\r" not in stored.name


def test_lines_travel_together_and_before_the_result(agent, door):
    for number in range(3):
        agent.log(f"line {number}")
    assert door.lines == []

    agent.result("succeeded", summary="done", output={})

    assert door.lines == ["line 0", "line 1", "line 2"]
    assert [path for _, path in door.requests] == ["events", "result"]


def test_progress_that_cannot_be_shown_never_stops_the_work(agent, door):
    door.before = lambda method, path: problem(500, "internal") if path == "events" else None
    agent.log("hello")

    agent.result("succeeded", summary="done")

    assert door.results[0]["status"] == "succeeded"


# The end


def test_a_result_that_is_sent_twice_is_heard_once(agent, door):
    agent.result("succeeded", summary="done", output={"n": 1})
    agent.result("succeeded", summary="done", output={"n": 1})

    assert door.results == [{"status": "succeeded", "summary": "done", "output": {"n": 1}, "artifacts": []}]
    with pytest.raises(JobOver):
        agent.result("failed", summary="no, wait")


def test_suspending_stores_the_checkpoint_first_and_ends_the_process(agent, door):
    with pytest.raises(Suspended) as ended:
        agent.suspend(waits_for=["c1"], state={"next": "c1"}, summary="c1 is held")

    assert ended.value.code == 0
    assert [path for _, path in door.requests] == ["checkpoint", "result"]
    assert door.results[0]["waits_for"] == ["c1"]


def test_suspending_for_a_freeze_names_it(agent, door):
    with pytest.raises(Suspended):
        agent.suspend(waits_for="frozen", state={})

    assert door.results[0]["waits_for"] == "frozen"


def test_a_job_that_is_over_ends_whatever_the_agent_does(agent, door):
    door.is_over = True

    with pytest.raises(JobOver):
        agent.call("c1")


# The sign of life


def test_a_sign_of_life_is_given_and_carries_the_lines(door):
    with Agent(Wire(door.url, TOKEN), heartbeat_s=0.02) as agent:
        agent.log("still here")
        deadline = time.monotonic() + 5
        while not door.lines and time.monotonic() < deadline:
            time.sleep(0.01)

    assert door.lines == ["still here"]
    assert ("POST", "heartbeat") in door.requests


def test_a_process_nobody_wants_any_more_leaves_by_itself(door, environ):
    door.heartbeat = problem(401, "job_over", "the run was cancelled")
    code = """
import time
from worka.agent import Agent
agent = Agent.from_env()
agent._heartbeat_s = 0.05
with agent:
    time.sleep(20)
"""

    done = python(code, environ)

    assert done.returncode == EXIT_JOB_OVER
    assert "the run was cancelled" in done.stderr


def test_a_token_that_died_because_the_result_was_heard_does_not_spoil_the_exit(door):
    with Agent(Wire(door.url, TOKEN), heartbeat_s=0.01) as agent:
        agent.result("succeeded", summary="done")
        deadline = time.monotonic() + 5
        while ("POST", "heartbeat") not in door.requests and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)

    assert ("POST", "heartbeat") in door.requests
    assert threading.current_thread().is_alive()


def test_exit_codes_tell_what_happened(door, environ):
    program = "import sys\nfrom worka.agent import run_agent\nsys.exit(run_agent(lambda agent: agent.context()))"

    door.is_over = True
    assert python(program, environ).returncode == EXIT_JOB_OVER

    door.before = lambda method, path: problem(403, "policy_denied", "hari may not read the context")
    refused = python(program, environ)
    assert (refused.returncode, "hari may not read the context" in refused.stderr) == (1, True)

    assert python(program, {}).returncode == EXIT_UNREACHABLE


# What it costs to start


def test_an_agent_starts_without_the_libraries_it_may_never_need(environ):
    code = """
import sys
import runtime.agents.__main__, runtime.agents.hari, runtime.agents.ernest, runtime.agents.daneel
heavy = {"httpx2", "jinja2", "asyncio", "django", "typer", "rich", "yaml", "governance", "gateway", "audit"}
print(sorted(heavy & set(sys.modules)))
"""

    assert python(code, {}).stdout.strip() == "[]"
