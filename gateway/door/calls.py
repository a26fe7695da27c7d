"""POST /skills and GET /skills/{call_id}: ask for a call, perform it when policy allows it, say what became of it."""

import re
import time
from math import isfinite
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit.core.codes import Code
from audit.core.refusals import Fault, Refused
from gateway.door.identity import Visitor
from gateway.door.pools import in_connector, in_database
from gateway.door.verbs import fields, read_json, verb
from gateway.tools import perform
from governance.actions.reserve import request_call
from governance.actions.work import CallAnswer, Work
from governance.core.states import InvocationState
from governance.models import SkillInvocation
from governance.payloads import open_value
from governance.queries import call_of

LONGEST_WAIT_S = 30.0
FIRST_LOOK_S, LONGEST_LOOK_S = 0.1, 1.0
# As in plans and in what a suspended step waits for: a call that was held must be one that can be waited for.
CALL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
LONGEST_SKILL = 96
CONNECT_IT = "Suspend and name the call in `waits_for`: the step goes on when somebody has connected it."
UNDER_WAY = (InvocationState.RUNNING, InvocationState.RELEASED, InvocationState.REQUESTED)


@verb(action="skill.invoke")
async def post_call(request: Request, visitor: Visitor) -> Response:
    """Ask for a call: one named in the plan, or one with an input of the agent's own."""
    body = await read_json(request, visitor)
    if visitor.caller.step_id is None:
        raise Refused(
            "a planner calls no skills", code=Code.POLICY_DENIED, facts={"reason": "a planner calls no skills"}
        )
    if "call" in body:
        asked = fields(body, {"call": str})
        _check_id("call", asked["call"])
        answer = await in_database(request_call, visitor.caller, call_id=asked["call"])
    else:
        asked = fields(body, {"call_id": str, "skill": str, "input": dict})
        _check_id("call_id", asked["call_id"])
        if not 0 < len(asked["skill"]) <= LONGEST_SKILL:
            raise Refused(
                "the body does not fit",
                code=Code.INVALID,
                faults=[Fault("/skill", "invalid", "there is no skill of that name")],
            )
        answer = await in_database(
            request_call, visitor.caller, call_id=asked["call_id"], skill=asked["skill"], value=asked["input"]
        )
    if answer.work is not None:
        return await in_connector(_perform, answer.work)
    if answer.invocation is not None and answer.state != "refused":
        return await in_database(_answer_of, answer.invocation)
    raise _refusal(answer)


@verb()
async def get_call(request: Request, visitor: Visitor) -> Response:
    """Say the state of a call, after at most `wait` seconds while it is under way; the wait holds no thread."""
    wait, call_id = _seconds(request.query_params.get("wait", "0")), request.path_params["call_id"]
    _check_id("call_id", call_id)
    until, pause = time.monotonic() + wait, FIRST_LOOK_S
    while True:
        call = await in_database(call_of, visitor.caller, call_id)
        if call is None:
            raise Refused("the step has made no such call", code=Code.NOT_FOUND)
        if call.state not in UNDER_WAY or time.monotonic() >= until:
            return await in_database(_answer_of, call)
        await anyio.sleep(min(pause, max(0.0, until - time.monotonic())))
        pause = min(pause * 2, LONGEST_LOOK_S)


def _check_id(field: str, text: str) -> None:
    if not CALL_ID.fullmatch(text):
        fault = Fault(f"/{field}", "invalid", "the id of a call has 1 to 64 letters, digits, `_`, `.` and `-`")
        raise Refused("the body does not fit", code=Code.INVALID, faults=[fault])


def _seconds(text: str) -> float:
    try:
        wait = float(text)
    except ValueError:
        wait = float("nan")
    if not isfinite(wait):
        raise Refused("`wait` is a number of seconds", code=Code.INVALID)
    return min(wait, LONGEST_WAIT_S)


def _perform(work: Work) -> Response:
    return _answer_of(perform(work))


def _answer_of(call: SkillInvocation) -> Response:
    """Return the answer for a call in its present state; the same state has always the same answer."""
    error: dict[str, Any] = call.error or {}
    gate = str(call.gate_id) if call.gate_id else None
    match call.state:
        case InvocationState.SUCCEEDED:
            return JSONResponse(
                {"state": "succeeded", "call_id": call.call_id, "output": open_value(call.run_id, call, "output")}
            )
        case InvocationState.HELD | InvocationState.UNKNOWN | InvocationState.RUNNING | InvocationState.RELEASED:
            return JSONResponse({"state": call.state, "call_id": call.call_id, "gate": gate}, status_code=202)
        case InvocationState.DENIED:
            reason = error.get("message", "it was denied")
            raise Refused(
                reason, code=Code.POLICY_DENIED, facts={"gate": gate, "reason": reason, "call_id": call.call_id}
            )
        case InvocationState.CANCELLED:
            raise Refused(
                "the call was cancelled", code=Code.POLICY_DENIED, facts={"gate": gate, "reason": "cancelled"}
            )
        case InvocationState.REQUESTED if error.get("code") == Code.NO_CONNECTION:
            raise Refused(
                error["message"],
                code=Code.NO_CONNECTION,
                recovery=CONNECT_IT,
                facts={"reason": error["message"], "call_id": call.call_id},
            )
        case _:
            final = call.state == InvocationState.FAILED
            raise Refused(
                error.get("message", "the skill failed"),
                code=Code.SKILL_FAILED,
                retry_after_s=None if final else error.get("retry_after_s", 1),
                facts={"gate": gate, "effect": error.get("effect", "none"), "final": final, "call_id": call.call_id},
            )


def _refusal(answer: CallAnswer) -> Refused:
    facts = {"gate": str(answer.gate.pk) if answer.gate else None, "reason": answer.reason}
    return Refused(
        answer.reason,
        code=answer.code or Code.POLICY_DENIED,
        faults=answer.faults,
        recovery=CONNECT_IT if answer.code == Code.NO_CONNECTION else "",
        facts=facts,
        retry_after_s=answer.retry_after_s,
    )
