"""GET /context and POST /plan."""

from typing import Any

from django.db import transaction
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit.core.canonical import digest, parse
from audit.core.codes import Code
from audit.core.refusals import Fault, Refused
from gateway.door.identity import Visitor, without_identity
from gateway.door.pools import in_database
from gateway.door.verbs import MIB, read_bytes, verb
from gateway.llm import configured_model
from gateway.playbooks import playbooks
from gateway.remembering.recalling import recall
from governance.actions.plans import Proposed, propose_plan, refuse_unread
from governance.context import context_for
from runtime.actions import accept_answer


@verb(action="context.read")
async def get_context(request: Request, visitor: Visitor) -> Response:
    """Give the agent its envelope: what it is to do, and all that it may use for it."""
    envelope = await in_database(
        context_for, visitor.caller, playbooks=playbooks, model=configured_model(), memories=recall
    )
    return JSONResponse(envelope)


@verb(action="plan.propose", after_answer=True)
async def post_plan(request: Request, visitor: Visitor) -> Response:
    """Take a plan, or the reason why there is none."""
    if visitor.caller.step_id is not None:
        raise Refused(
            "only the planner proposes plans",
            code=Code.POLICY_DENIED,
            facts={"reason": "only the planner proposes plans"},
        )
    try:
        content = await read_bytes(request, MIB)
        body = parse(content)
    except Refused as refusal:
        if visitor.answered:
            raise
        proposed = await in_database(refuse_unread, visitor.caller, code=Code(refusal.code), message=str(refusal))
        raise _refusal(proposed) from None
    if isinstance(body, dict):
        body = without_identity(visitor.caller, body)
    said = digest(body)
    if visitor.answered:
        return _again(visitor, said)
    proposed, answer = await in_database(_propose, visitor, body, said)
    if answer is None:
        raise _refusal(proposed)
    return JSONResponse(answer, status_code=201)


@transaction.atomic
def _propose(visitor: Visitor, body: Any, said: str) -> tuple[Proposed, dict[str, Any] | None]:
    served = {each["name"]: each["digest"] for each in playbooks()}
    proposed = propose_plan(visitor.caller, body, playbooks=served)
    if proposed.state not in ("accepted", "held", "no_plan"):
        return proposed, None
    answer = {
        "state": proposed.state,
        "plan": str(proposed.plan.pk) if proposed.plan else None,
        "gate": str(proposed.gate.pk) if proposed.gate else None,
    }
    accept_answer(visitor.job.pk, digest=said, status=201, answer=answer)
    return proposed, answer


def _again(visitor: Visitor, said: str) -> Response:
    """Answer a repeat of what was accepted as it was answered first; anything else comes too late."""
    if said != visitor.answered:
        raise Refused("another plan of this job was accepted already", code=Code.RESULT_CONFLICT)
    return JSONResponse(visitor.first_answer["body"], status_code=visitor.first_answer["status"])


def _refusal(proposed: Proposed) -> Refused:
    faults = proposed.faults or (Fault("", "denied", proposed.reason),)
    return Refused(
        proposed.reason,
        code=proposed.code or Code.PLAN_REFUSED,
        faults=faults,
        facts={"gate": str(proposed.gate.pk) if proposed.gate else None, "reason": proposed.reason},
        recovery="Mend every error and propose again; the context says how many attempts are left.",
    )
