"""Say what a backend needs to start a job."""

from django.conf import settings

from governance.models import Agent
from runtime.core.jobs import JobSpec, Limits
from runtime.core.traces import traceparent
from runtime.models import AgentJob
from runtime.tokens import mint_token


def spec_of(job: AgentJob) -> JobSpec:
    """Return the spec of a job with a fresh token; nothing of the host's environment goes along."""
    command = Agent.objects.values_list("command", flat=True).get(name=job.agent_name)
    env = {
        "WORKA_RUN_ID": str(job.run_id),
        "WORKA_JOB": job.name,
        "TRACEPARENT": traceparent(job.run_id, job.name, is_recorded=settings.WORKA_IS_TRACED),
    }
    if job.step_id is not None:
        env["WORKA_STEP_ID"] = str(job.step_id)
    return JobSpec(
        name=job.name, argv=tuple(command), env=env, token=mint_token(job), limits=Limits.from_json(job.limits)
    )
