"""Who stands at the door: the token says it, the job row must agree, and a body that says otherwise is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import agent
from audit.rows import find_in_order
from governance.caller import Caller, JobOver
from runtime.core.jobs import OPEN_JOB
from runtime.models import AgentJob
from runtime.queries import job_and_standing, job_and_standing_asked
from runtime.tokens import Claims, TokenRefused

NAMES = frozenset({"agent", "agent_name", "run", "run_id", "step", "step_id", "job", "workspace", "sub"})


class IdentityMismatch(Refused):
    """A body names somebody or something else than the token does."""

    code = Code.IDENTITY_MISMATCH
    recovery = "Leave identity out of the body: the token alone says who asks."


@dataclass(frozen=True, slots=True)
class Visitor:
    """A caller with its job. `answered` holds the digest and answer of a plan or result that was accepted already."""

    caller: Caller
    job: AgentJob
    answered: str = ""

    def must_not_be_over(self) -> None:
        """Refuse with job_over when its plan or result was accepted."""
        if self.answered:
            raise JobOver("its plan or result was accepted, so the job is over")

    @property
    def first_answer(self) -> dict[str, Any]:
        """Return the answer that the accepted plan or result got: its status and body."""
        return dict(self.job.result_answer or {})


@dataclass
class Arrival:
    """Somebody whose token is good, and whose job is still to be asked about, together with what they want."""

    claims: Claims
    visitor: Visitor | None = None

    def arrive(self, job_row: AgentJob | None, standing_row: Sequence[Any] | None) -> Caller:
        """Recognise them by what was read of their job, and return them as a caller; refuses as `recognise`, and with job_over."""
        self.visitor = visitor_of(self.claims, job_row, standing_row)
        self.visitor.must_not_be_over()
        return self.visitor.caller


def token_of(request: Request) -> str:
    """Return the bearer token of a request, or refuse with unauthorized."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenRefused("there is no bearer token")
    return token.strip()


def recognise(claims: Claims) -> Visitor:
    """Compare a verified token with its job; refuses with unauthorized, or job_over when its job is not wanted any more."""
    return visitor_of(claims, *find_in_order(*job_and_standing_asked(claims.job_id)))


def visitor_of(claims: Claims, job_row: AgentJob | None, standing_row: Sequence[Any] | None) -> Visitor:
    """Do as `recognise`, with what was read of the job already."""
    said = (claims.agent, claims.workspace_id, claims.run_id, claims.step_id)
    found = job_and_standing(job_row, standing_row)
    if found is None or said != (found[0].agent_name, found[0].workspace_id, found[0].run_id, found[0].step_id):
        raise TokenRefused("the token names a job that is not there")
    job, standing = found
    if job.state not in OPEN_JOB or not job.wanted:
        raise JobOver("the job is over" if job.wanted else f"the job is not wanted any more: {job.unwanted_because}")
    if not job.result_digest and not standing.is_wanted:
        # A cancel or a new attempt kills the token at once; the tick only finds the job a moment later.
        raise JobOver("the attempt of this job is over")
    principal = agent(job.agent_name, key=str(job.pk), on_behalf_of=standing.requester, persons=standing.persons)
    caller = Caller(principal, job.agent_name, job.workspace_id, job.run_id, job.step_id, job.attempt, job.name)
    return Visitor(caller, job, job.result_digest)


def without_identity(caller: Caller, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body without the names that merely repeat the token; refuses with identity_mismatch where one differs."""
    own: dict[str, set[str]] = {
        "agent": {caller.agent},
        "agent_name": {caller.agent},
        "sub": {f"agent:{caller.agent}"},
        "run": {str(caller.run_id)},
        "run_id": {str(caller.run_id)},
        "workspace": {str(caller.workspace_id)},
        "step": {str(caller.step_id)} if caller.step_id else set(),
        "step_id": {str(caller.step_id)} if caller.step_id else set(),
        "job": {caller.job_name},
    }
    for name in sorted(NAMES & set(body)):
        if not isinstance(body[name], str) or body[name] not in own[name]:
            raise IdentityMismatch(f"the body's `{name}` is not what the token says", facts={"field": name})
    return {name: value for name, value in body.items() if name not in NAMES}
