"""Get there through the real actions: never a state that was set by hand."""

from dataclasses import dataclass, field
from typing import Any

from audit.principals import agent
from gateway.tasks import due_calls, perform_released
from gateway.tools import perform
from governance.actions.plans import Proposed, propose_plan
from governance.actions.reserve import request_call
from governance.actions.runs import request_run
from governance.actions.steps import Finished, finish_step
from governance.actions.votes import vote
from governance.actions.work import CallAnswer
from governance.caller import Caller
from governance.core.result import parse_result
from governance.models import Gate, Run, Step
from runtime import actions as runtime_actions
from runtime import tasks
from runtime.core.jobs import OPEN_JOB, Ended
from runtime.models import AgentJob
from tests import desk
from tests.fakes import FakeBackend
from tests.people import House, build_house


@dataclass
class Journey:
    """One run on a fake backend, with the test as its agents. Its connector is `tests.desk.Desk`."""

    house: House
    backend: FakeBackend
    run: Run = field(init=False)

    def ask(self, text: str = "Please", who: str = "ada") -> Run:
        """Ask for a run and let it be picked up for planning."""
        self.run = request_run(
            self.house.workspace.pk, by=self.house.by(who), user=getattr(self.house, who), text=text, source="api"
        )
        self.tick()
        return self.run

    def tick(self, times: int = 3) -> None:
        """Turn the job plane, and perform what people have released, until nothing more happens at once."""
        for _ in range(times):
            taken, due = tasks.tick(), due_calls()
            for pk in due:
                perform_released(pk)
            if not taken and not due:
                break
        if hasattr(self, "run"):
            self.run.refresh_from_db()

    # The agents

    def job(self, step: Step | None = None) -> AgentJob:
        return AgentJob.objects.get(run=self.run, step=step, state__in=OPEN_JOB)

    def caller(self, step: Step | None = None) -> Caller:
        """Return the agent of the live job of a step, or the planner."""
        job = self.job(step)
        principal = agent(
            job.agent_name,
            key=str(job.pk),
            on_behalf_of=self.run.requester_name,
            persons=frozenset(self.run.requester_persons),
        )
        return Caller(principal, job.agent_name, job.workspace_id, job.run_id, job.step_id, job.attempt, job.name)

    def propose(self, *steps: dict[str, Any]) -> Proposed:
        """Propose a plan as the planner, whose job then leaves when it was accepted."""
        job = self.job()
        proposed = propose_plan(self.caller(), desk.plan(*steps))
        if proposed.state in ("accepted", "held"):
            runtime_actions.accept_answer(job.pk, digest="0" * 64, status=201, answer={"state": proposed.state})
            self.leave(job)
        self.tick()
        return proposed

    def step(self, ref: str) -> Step:
        return Step.objects.get(run=self.run, ref=ref)

    def call(self, ref: str, call_id: str) -> CallAnswer:
        """Make a call that the plan names, and perform it when it is allowed."""
        answer = request_call(self.caller(self.step(ref)), call_id=call_id)
        if answer.work is not None:
            perform(answer.work)
        return answer

    def finish(self, ref: str, status: str = "succeeded", **more: Any) -> Finished:
        """Hand in a result, whose job then leaves when it was accepted."""
        step = self.step(ref)
        job = self.job(step)
        finished = finish_step(self.caller(step), parse_result({"status": status, "summary": "said so", **more}))
        if finished.code is None:
            runtime_actions.accept_answer(job.pk, digest="0" * 64, status=200, answer={"state": finished.state})
            self.leave(job)
        self.tick()
        return finished

    def leave(self, job: AgentJob, exit_code: int = 0, ended: Ended = Ended.EXITED) -> None:
        """Let a job's process end."""
        self.backend.end(job.name, ended, exit_code=exit_code)

    # The people

    def gate(self) -> Gate:
        return Gate.objects.get(run=self.run, state="waiting")

    def answer(
        self, verdict: str = "approve", who: str = "bob", because: str = "looked at it", gate: Gate | None = None
    ) -> Gate:
        gate = gate or self.gate()
        answered = vote(
            gate.pk,
            by=self.house.by(who),
            user=getattr(self.house, who),
            verdict=verdict,
            because=because,
            payload_digest=gate.payload_digest,
            channel="api",
        )
        self.tick()
        return answered


def journey(monkeypatch: Any, *, policy: str = desk.POLICY) -> Journey:
    """Begin a journey: a house with the desk's skills, a fake backend, and nothing asked yet."""
    backend = FakeBackend()
    for module in (tasks,):
        monkeypatch.setattr(module, "configured_backend", lambda: backend)
    monkeypatch.setattr("gateway.tools.all_connectors", lambda: {"desk": desk.Desk})
    monkeypatch.setattr(desk.Desk, "done", [])
    monkeypatch.setattr(desk.Desk, "fails", [])
    return Journey(build_house(policy=policy, skills=desk.SKILLS), backend)
