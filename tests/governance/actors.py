"""Agents, tools, people and time around whole runs, for a machine that moves them at random."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import time_machine

import governance.tasks
import runtime.tasks
from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import agent
from gateway.connector import SkillFailed
from gateway.tasks import due_calls, sweep_leases
from gateway.tools import perform
from governance.actions.freezing import disable, enable, freeze_workspace, thaw_workspace
from governance.actions.outcomes import settle_call
from governance.actions.plans import propose_plan
from governance.actions.reserve import request_call, reserve_released
from governance.actions.runs import request_run
from governance.actions.steps import finish_step
from governance.actions.votes import vote
from governance.actions.work import Work
from governance.caller import Caller, JobOver
from governance.core.result import parse_result
from governance.inputs import calls_in_plan
from governance.models import Agent, Consent, Gate, Run, Skill, SkillInvocation, Step
from runtime.actions import accept_answer
from runtime.core.jobs import OPEN_JOB, Ended, Phase
from runtime.models import AgentJob
from tests import desk
from tests.fakes import FakeBackend
from tests.governance.laws import Memory
from tests.people import House

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
ENDS = (Ended.EXITED, Ended.OOM, Ended.TIMED_OUT, Ended.SIGNALLED, Ended.LOST, Ended.NOT_STARTED)
VERBS = ("read", "peek", "write", "send", "stamp", "send", "stamp")
TEXTS = ("one", "two", "forbidden")
MOMENT = timedelta(milliseconds=10)  # no two rows at the same time: their order must not be left to chance
LEASE = timedelta(seconds=36)  # longer than the timeout of the desk's skills and the grace together


class Recording(desk.Desk):
    """The desk, remembering what it did for which call."""

    memory = Memory()

    def call(self, verb: str, arguments: dict[str, Any], context: Any) -> Any:
        outcome = super().call(verb, arguments, context)
        self.memory.deeds.append((context.invocation_id, verb, arguments))
        return outcome


class Actors:
    """Everybody who has to do with two runs at most. Calls are performed in two halves: a performer can die in between."""

    house: House
    backend: FakeBackend

    def __init__(self) -> None:
        super().__init__()
        self.clock = time_machine.travel(START, tick=False)
        self.time = self.clock.start()
        Actors.backend = FakeBackend()
        self.memory = Recording.memory = Memory()
        desk.Desk.fails, desk.Desk.done = [], []
        self.under_way: list[Work] = []
        self.lost: list[Work] = []
        self.stale: list[Caller] = []

    def _ask(self, who: str) -> None:
        with suppress(Refused):  # frozen
            request_run(
                self.house.workspace.pk,
                by=self.house.by(who),
                user=getattr(self.house, who),
                text="Please",
                source="api",
            )

    def _tick(self) -> None:
        self.time.shift(MOMENT)
        governance.tasks.tick()
        runtime.tasks.tick()
        over = AgentJob.objects.filter(state__in=OPEN_JOB, wanted=True, result_at=None).exclude(
            run__in=Run.objects.open()
        )
        assert not over.exists(), "the job of a run that is over is still wanted"

    # --- Agents ---

    def live(self, *, planning: bool) -> list[AgentJob]:
        """Return the jobs whose agent is at work."""
        jobs = AgentJob.objects.filter(
            state__in=["submitted", "running"], wanted=True, result_at=None, step__isnull=planning
        )
        return list(jobs.select_related("run", "step").order_by("created_at", "run__number", "step__sequence"))

    def processes(self) -> list[str]:
        rows = AgentJob.objects.order_by("created_at", "run__number", "step__sequence").values_list("name", flat=True)
        return [name for name in rows if self.backend.observe(name).phase is Phase.RUNNING]

    def caller(self, job: AgentJob) -> Caller:
        principal = agent(
            job.agent_name,
            key=str(job.pk),
            on_behalf_of=job.run.requester_name,
            persons=frozenset(job.run.requester_persons),
        )
        caller = Caller(principal, job.agent_name, job.workspace_id, job.run_id, job.step_id, job.attempt, job.name)
        if caller not in self.stale:
            self.stale.append(caller)
        return caller

    def is_wanted(self, caller: Caller) -> bool:
        """Say, by another way than the product's, whether a caller's attempt is the one that is wanted."""
        run = Run.objects.get(pk=caller.run_id)
        if datetime.now(UTC) >= run.deadline_at or datetime.now(UTC) >= run.max_age_at:
            return False
        if caller.step_id is None:
            return run.state == "planning"
        step = Step.objects.get(pk=caller.step_id)
        return (run.state, step.state, step.attempt) == ("running", "running", caller.attempt)

    def is_stopped(self, caller: Caller) -> bool:
        frozen = Run.objects.select_related("workspace").get(pk=caller.run_id).workspace.frozen_at is not None
        return frozen or not Agent.objects.get(name=caller.agent).enabled

    def _propose(self, job: AgentJob, body: dict[str, Any]) -> None:
        before = Run.objects.get(pk=job.run_id).planning_attempts
        with Unless(self, self.caller(job)) as done:
            proposed = propose_plan(self.caller(job), body)
            if proposed.state in ("accepted", "held"):
                accept_answer(job.pk, digest="0" * 64, status=201, answer={"state": proposed.state})
                self.backend.end(job.name, Ended.EXITED, exit_code=0)
                assert Step.objects.filter(run=job.run).count() == len(body["steps"])
            else:
                assert not Step.objects.filter(run=job.run).exists()
                assert proposed.state == "no_plan" or proposed.gate.state == "denied"
                if proposed.code == Code.PLAN_REFUSED:
                    assert Run.objects.get(pk=job.run_id).planning_attempts == before + 1
            done.append(proposed)

    def _call(self, caller: Caller, **asked: Any) -> None:
        stopped = self.is_stopped(caller)
        with Unless(self, caller) as done:
            answer = request_call(caller, **asked)
            done.append(answer)
            if answer.code is not None:
                assert answer.work is None
                assert answer.gate.state in ("denied", "rejected", "expired")
            if answer.state == "held":
                assert answer.gate.state == "waiting"
            if answer.work is not None:
                assert not stopped and answer.gate.effect == "allow"
                self.under_way.append(answer.work)

    def _finish(self, job: AgentJob, body: dict[str, Any], *, ends: bool = True) -> None:
        with Unless(self, self.caller(job)) as done:
            finished = finish_step(self.caller(job), parse_result(body))
            if finished.code is None:
                accept_answer(job.pk, digest="0" * 64, status=200, answer={"state": finished.state})
                if ends:
                    self.backend.end(job.name, Ended.EXITED, exit_code=0)
            else:
                assert finished.gate.state == "denied" and finished.code in (Code.CALLS_OPEN, Code.BAD_OUTPUT)
            done.append(finished)

    def _work(self, job: AgentJob) -> None:
        """Make the next call that the plan names, as Ernest does; hand in when there is none, sleep where one waits."""
        known = {call.call_id: call.state for call in SkillInvocation.objects.filter(step=job.step)}
        for named in calls_in_plan(job.run, job.step):
            state = known.get(named["call_id"], "requested")
            if state == "requested":
                gates = Gate.objects.filter(step=job.step, attempt=job.attempt, call_id=named["call_id"], effect="deny")
                if gates.exists():
                    self._finish(job, {"status": "failed", "summary": "no"})
                else:
                    self._call(self.caller(job), call_id=named["call_id"])
                return
            if state in ("held", "released", "running", "unknown"):
                self._finish(job, {"status": "suspended", "waits_for": [named["call_id"]]})
                return
            if state != "succeeded":
                self._finish(job, {"status": "failed", "summary": "no"})
                return
        # One of its own that nobody knows the end of is waited for, too: `calls_open` says no to who insists.
        if going_on := [call_id for call_id, state in known.items() if state in ("running", "unknown")]:
            self._finish(job, {"status": "suspended", "waits_for": going_on})
            return
        self._finish(job, {"status": "succeeded", "summary": "done"})

    # --- Tools ---

    def _hand_out(self) -> None:
        for pk in due_calls():
            work = reserve_released(pk)
            if work is not None:
                self.under_way.append(work)

    def _perform(self, pick: int, outcome: str) -> None:
        work = self.under_way.pop(pick % len(self.under_way))
        if outcome in ("none", "maybe"):
            desk.Desk.fails = [SkillFailed("no luck", effect=outcome)]
        elif outcome == "broken":
            desk.Desk.fails = [ValueError("broken")]
        if outcome.startswith("dies"):
            if outcome == "dies after":
                context: Any = SimpleNamespace(invocation_id=work.invocation_id)
                Recording().call(work.skill.partition(".")[2], dict(work.input), context)
            self.lost.append(work)
        else:
            perform(work)

    def _leases_expire(self) -> None:
        self.time.shift(LEASE)
        sweep_leases()

    # --- People ---

    def _answer(self, gate: Gate, who: str, verdict: str, payload_digest: str) -> None:
        vote(
            gate.pk,
            by=self.house.by(who),
            user=getattr(self.house, who),
            verdict=verdict,
            because="my view",
            payload_digest=payload_digest,
            channel="api",
        )

    def _freeze(self, what: str, *, stop: bool) -> None:
        by, because = self.house.by("olga"), "caution"
        if what == "workspace":
            (freeze_workspace if stop else thaw_workspace)(self.house.workspace.pk, by=by, because=because)
        else:
            row = Agent.objects.get(name="ernest") if what == "agent" else Skill.objects.get(name="desk.write")
            (disable if stop else enable)(row, by=by, because=because)

    # --- Everybody does their part ---

    def _go_on(self, pick: int) -> None:
        """Take a step that brings some run forward; with a pick from 500 on, something goes wrong on the way."""
        mishap = pick // 100 - 4
        self._tick()
        self._hand_out()
        if not self.under_way and not self.processes():
            self._tick()
        if self.under_way:
            outcomes = {1: "none", 2: "maybe", 3: "dies before", 4: "dies after", 5: "dies after"}
            self._perform(pick, outcomes.get(mishap, "well"))
        elif jobs := self.live(planning=True):
            self._propose(jobs[pick % len(jobs)], desk.plan(desk.step("only")))
        elif jobs := self.live(planning=False):
            job = jobs[pick % len(jobs)]
            if mishap == 1:
                self.backend.end(job.name, ENDS[pick % len(ENDS)], exit_code=pick % 2)
            elif mishap == 2:
                self._call(self.caller(job), **own_call(pick, VERBS[pick % 7], TEXTS[pick % 3]))
            else:
                self._work(job)
        elif gate := Gate.objects.filter(state="waiting").order_by("created_at").first():
            if mishap == 3:
                self.time.shift(timedelta(hours=25))
            else:
                with suppress(Refused):  # they asked for the run themselves, or have answered
                    self._answer(
                        gate,
                        ("ben", "bob", "dora")[pick % 3],
                        "reject" if mishap in (4, 5) else "approve",
                        gate.payload_digest,
                    )
        elif call := SkillInvocation.objects.filter(state="unknown").order_by("created_at").first():
            settle_call(
                call.pk, by=self.house.by("dora"), because="I looked", outcome="failed" if mishap == 1 else "succeeded"
            )
        else:
            self._leases_expire()

    def _bring_to_an_end(self) -> None:
        """With everybody willing, every run ends, and well before any deadline: nothing hangs."""
        for what in ("workspace", "agent", "skill"):
            self._freeze(what, stop=False)
        deadlines = {run.pk: min(run.deadline_at, run.max_age_at) for run in Run.objects.open()}
        for pick in range(150):
            if not Run.objects.open().exists():
                break
            self._go_on(pick)
        late = [run for run in Run.objects.open() if deadlines[run.pk] > datetime.now(UTC)]
        assert not late, [f"{run} is still {run.state}" for run in late]
        # Calls that outlive their run come to an end of their own.
        while self.under_way:
            perform(self.under_way.pop())
        self._leases_expire()
        assert not SkillInvocation.objects.filter(state="running").exists()


class Unless:
    """Expect `job_over` exactly where the attempt is not wanted any more, and then that nothing has changed."""

    def __init__(self, actors: Actors, caller: Caller) -> None:
        self.is_wanted = actors.is_wanted(caller)
        self.before = self._counts()

    @staticmethod
    def _counts() -> tuple[int, ...]:
        return Gate.objects.count(), SkillInvocation.objects.count(), Consent.objects.exclude(used_at=None).count()

    def __enter__(self) -> list[Any]:
        self.done: list[Any] = []
        return self.done

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if kind is not None and not issubclass(kind, JobOver):
            return False
        assert bool(self.done) == self.is_wanted
        assert self.is_wanted or self._counts() == self.before
        return True


def own_call(which: int, verb: str, text: str) -> dict[str, Any]:
    """Return a call with an id of the agent's own; now and then one whose input does not fit."""
    return {
        "call_id": f"own{which % 3}",
        "skill": f"desk.{verb}",
        "value": {"text": text} if which % 5 else {"txt": text},
    }
