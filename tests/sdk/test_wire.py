"""The agents' wire: how long it waits for a gateway that is away or busy, and what it never repeats."""

import json
import socket

import pytest

from tests.sdk.door_double import TOKEN, DoorServer, problem
from worka.agent import Agent
from worka.errors import Unreachable
from worka.wire import BUSY_S, PATIENCE_S, Answer, Wire, repeat_after_s

CONTEXT = {"run": {"id": "run-1", "number": 7, "request": "Report"}}


def test_a_gateway_that_restarts_is_waited_for(folder, fast_time):
    server = DoorServer(folder / "door.sock")
    server.double.context = CONTEXT

    def sleep(seconds):
        fast_time.sleep(seconds)
        if len(fast_time.slept) == 3:
            server.open()

    with Agent(Wire(server.double.url, TOKEN, clock=fast_time.clock, sleep=sleep), heartbeat_s=3600) as agent:
        assert agent.context().run_number == 7
        server.close()
        server.open()
        assert agent.context().run_number == 7
    server.close()

    assert fast_time.slept == [0.1, 0.2, 0.4]


def test_a_gateway_that_stays_away_is_given_up_after_ninety_seconds(folder, fast_time):
    wire = Wire(f"http+unix://{folder}/door.sock", TOKEN, sleep=fast_time.sleep, clock=fast_time.clock)

    with pytest.raises(Unreachable, match="90 s"):
        wire.ask("GET", "/agent/v1/context")

    assert 85 < fast_time.now <= PATIENCE_S


def test_a_gateway_that_never_answers_is_given_up_too(folder, fast_time):
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(f"{folder}/s")
        mute.listen()
        wire = Wire(
            f"http+unix://{folder}/s", TOKEN, timeout_s=0.02, patience_s=1, sleep=fast_time.sleep, clock=fast_time.clock
        )

        with pytest.raises(Unreachable, match="timed out"):
            wire.ask("GET", "/agent/v1/context")


def test_a_busy_gateway_is_asked_again_when_it_says(agent, door, fast_time):
    door.calls["c1"] = [
        (*problem(503, "unavailable"), {"Retry-After": "7"}),
        (*problem(429, "throttled"), {"Retry-After": "11"}),
        (*problem(409, "lock_conflict"), {"Retry-After": "2"}),
        (*problem(502, "skill_failed", effect="none", final=False), {"Retry-After": "1"}),
        (200, {"state": "succeeded", "output": 1}),
    ]

    outcome = agent.call("c1")

    assert outcome.state == "succeeded"
    assert fast_time.slept == [7, 11, 2, 1]


def test_a_lock_that_is_held_for_long_is_reported_instead_of_waited_for(agent, door, fast_time):
    door.calls["c1"] = [(*problem(409, "lock_conflict", "repo is locked"), {"Retry-After": "25"})]

    outcome = agent.call("c1")

    assert (outcome.state, outcome.retry_after_s) == ("busy", 25)
    assert fast_time.slept == [25, 25]


@pytest.mark.parametrize(
    ("status", "body", "repeats"),
    [
        (429, {"code": "budget_exceeded"}, False),
        (502, {"code": "skill_failed", "effect": "maybe", "final": True}, False),
        (502, {"code": "skill_failed", "effect": "none"}, False),
        (502, {"code": "skill_failed", "effect": "none", "final": False}, True),
        (502, {}, True),
        (503, {}, True),
        (429, {}, True),
        (409, {"code": "frozen"}, False),
        (409, {"code": "call_conflict"}, False),
        (409, {"code": "lock_conflict"}, True),
        (401, {"code": "job_over"}, False),
        (500, {"code": "internal"}, False),
        (422, {"code": "bad_input"}, False),
    ],
)  # fmt: skip
def test_only_what_may_pass_by_itself_is_asked_again(status, body, repeats):
    answer = Answer(status, {}, json.dumps(body).encode())

    assert (repeat_after_s(answer, 0, 0) is not None) is repeats
    assert repeat_after_s(answer, 50, PATIENCE_S) is None


def test_an_answer_that_asks_for_no_pause_cannot_make_the_agent_spin():
    answer = Answer(503, {"retry-after": "0"}, b"")

    assert repeat_after_s(answer, 0, 0) == 0.1
    assert repeat_after_s(Answer(429, {"Retry-After": str(BUSY_S + 1)}, b""), 0, 0) is None


def test_something_else_behind_the_socket_is_noticed(agent, door):
    door.before = lambda method, path: (200, [1, 2])  # type: ignore[return-value]

    with pytest.raises(Unreachable, match="no JSON object"):
        agent.context()
