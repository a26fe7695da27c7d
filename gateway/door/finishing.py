"""POST /result, PUT /checkpoint, POST /events and POST /heartbeat."""

from typing import Any

from django.db import transaction
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit.core.canonical import digest
from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.door.identity import Visitor, without_identity
from gateway.door.pools import in_database
from gateway.door.verbs import MIB, fields, read_bytes, read_json, verb
from governance.actions.burns import burn_output
from governance.actions.steps import Finished, finish_step, keep_checkpoint
from governance.core.result import parse_result, read_result
from runtime.actions import accept_answer, note_sign_of_life
from runtime.logs import keep_lines

MOST_LINES, LONGEST_LINE = 200, 4000


@verb(action="step.finish", after_answer=True)
async def post_result(request: Request, visitor: Visitor) -> Response:
    """Take the result of an attempt; an identical repeat gets the first answer."""
    if visitor.caller.step_id is None:
        raise Refused("a planner hands in a plan, not a result", code=Code.FORBIDDEN)
    content = await read_bytes(request, MIB)
    try:
        body = read_result(content)
    except Refused as refusal:
        if not visitor.answered:
            await in_database(burn_output, visitor.caller, str(refusal))
        raise
    body = without_identity(visitor.caller, body) if isinstance(body, dict) else body
    said = digest(body)
    if visitor.answered:
        if said != visitor.answered:
            raise Refused(
                "another result of this job was accepted already",
                code=Code.RESULT_CONFLICT,
                recovery="The first result stands. Exit.",
            )
        return JSONResponse(visitor.first_answer["body"], status_code=visitor.first_answer["status"])
    try:
        finished, answer = await in_database(_finish, visitor, body, said)
    except Refused as refusal:
        if refusal.code == Code.BAD_OUTPUT:
            await in_database(burn_output, visitor.caller, str(refusal))
        raise
    if answer is None:
        if finished.code == Code.BAD_OUTPUT:
            await in_database(burn_output, visitor.caller, finished.reason)
        raise Refused(
            finished.reason,
            code=finished.code,
            facts={"gate": str(finished.gate.pk) if finished.gate else None, "reason": finished.reason},
        )
    return JSONResponse(answer)


@transaction.atomic
def _finish(visitor: Visitor, body: Any, said: str) -> tuple[Finished, dict[str, Any] | None]:
    finished = finish_step(visitor.caller, parse_result(body))
    if finished.code is not None:
        return finished, None
    answer = {"state": finished.state, "gate": str(finished.gate.pk) if finished.gate else None}
    accept_answer(visitor.job.pk, digest=said, status=200, answer=answer)
    return finished, answer


@verb()
async def put_checkpoint(request: Request, visitor: Visitor) -> Response:
    """Replace the step's checkpoint; an older one than the stored is ignored."""
    body = fields(await read_json(request, visitor), {"seq": int, "state": object})
    await in_database(keep_checkpoint, visitor.caller, seq=body["seq"], state=body["state"])
    return JSONResponse({"seq": body["seq"]})


@verb()
async def post_events(request: Request, visitor: Visitor) -> Response:
    """Take lines of progress, shown live on the run's page."""
    body = fields(await read_json(request, visitor), {"lines": list})
    lines = body["lines"]
    if len(lines) > MOST_LINES or not all(isinstance(line, str) for line in lines):
        raise Refused(f"`lines` are at most {MOST_LINES} strings", code=Code.INVALID)
    await in_database(keep_lines, visitor.job.pk, [line[:LONGEST_LINE] for line in lines])
    return JSONResponse({"kept": len(lines)})


@verb()
async def post_heartbeat(request: Request, visitor: Visitor) -> Response:
    """Note a sign of life; 401 job_over tells the agent to leave."""
    fields(await read_json(request, visitor) if request.headers.get("content-length", "0") != "0" else {}, {})
    await in_database(note_sign_of_life, visitor.job.pk)
    return JSONResponse({"wanted": True})
