"""Who is asking: an agent in one attempt of one step, as its token and its job row say."""

from dataclasses import dataclass
from uuid import UUID

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import Principal


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated agent. `step_id` is None for the planner; nothing of it comes from a request's body."""

    principal: Principal
    agent: str
    workspace_id: UUID
    run_id: UUID
    step_id: UUID | None
    attempt: int
    job_name: str


class JobOver(Refused):
    """The job is not wanted any more, so its token opens nothing."""

    code = Code.JOB_OVER
    recovery = "Exit. If the work is still wanted, a new attempt with a new token does it."
