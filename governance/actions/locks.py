"""The order of locks: workspace, run, plan, step, invocation, gate, job, budgets, skill locks."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol
from uuid import UUID

from django.utils.timezone import now

from audit.rows import Asked, Wanted, find_in_order, lock
from governance.caller import Caller, JobOver
from governance.core.states import RunState, StepState
from governance.models import Run, SkillInvocation, Step

# A decision needs none of these, and some are as large as an agent made them.
HEAVY_RUN = ("request_text", "request_input", "request_exact", "metadata", "deliver_to", "outcome")
HEAVY_STEP = ("objective", "instruction_redacted", "result", "result_redacted", "checkpoint")


class Named(Protocol):
    """Whoever names a run and a step of it."""

    @property
    def run_id(self) -> UUID: ...

    @property
    def step_id(self) -> UUID | None: ...


def lock_run(run_id: UUID) -> Run:
    """Lock a run before anything that belongs to it; its workspace is not locked, and read when it is looked at."""
    return lock(Run, run_id)


def lock_step(step_id: UUID) -> Step:
    """Lock a step; its run must be locked already."""
    return lock(Step, step_id)


def lock_call(run_id: UUID, step_id: UUID, **call: Any) -> tuple[Run, Step, SkillInvocation | None]:
    """Lock a run, a step of it and a call of that, in this order and in one exchange; None where there is no such call."""
    run, step, found = _lock_call(run_id, step_id, call)
    return run, step, found


def lock_attempt_and_call(
    caller: Caller, call_id: str, *also: Wanted[Any] | Asked
) -> tuple[Run, Step, SkillInvocation | None, Sequence[Any]]:
    """Lock the caller's run and step, and its call of this id where there is one, then read what else is asked for.

    One exchange with the server; refuses with `job_over` as `lock_attempt`.
    """
    assert caller.step_id is not None  # the edge refuses planners before
    asked = {"step": caller.step_id, "call_id": call_id}
    run, step, call, *read = _lock_call(caller.run_id, caller.step_id, asked, *also)
    _demand_attempt(caller, run, step)
    return run, step, call, read


def lock_attempt(caller: Caller) -> tuple[Run, Step | None]:
    """Lock the caller's run and step, or refuse with `job_over` when its attempt is not the one that is wanted."""
    run, step, _ = lock_attempt_and_read(caller)
    return run, step


def lock_attempt_and_read(caller: Caller, *also: Asked) -> tuple[Run, Step | None, Sequence[Any]]:
    """Do as `lock_attempt`, and read what else is asked for, in one exchange with the server."""
    _, run, step, read = lock_arrival_and_read(caller, (), lambda: caller, *also)
    return run, step, read


def lock_arrival_and_read(
    said: Named, first: Sequence[Wanted[Any] | Asked], arrive: Callable[..., Caller], *also: Asked
) -> tuple[Caller, Run, Step | None, Sequence[Any]]:
    """Do as `lock_attempt_and_read` for somebody who says where they belong: `first` is read, too, and `arrive` tells by it who
    they are, or refuses.
    """
    where = (
        [Wanted(Run, {"pk": said.run_id}, without=HEAVY_RUN)]
        if said.step_id is None
        else _run_and_step(said.run_id, said.step_id, "instruction")
    )
    found = find_in_order(*first, *where, *also)
    caller = arrive(*found[: len(first)])
    locked, read = found[len(first) : len(first) + len(where)], found[len(first) + len(where) :]
    run, *steps = _there(where, locked)
    if steps:
        _demand_attempt(caller, run, steps[0])
        return caller, run, steps[0], read
    _demand_time(run)
    if run.state != RunState.PLANNING:
        raise JobOver(f"the run is {run.state}, so nobody is asked to plan")
    return caller, run, None, read


def _lock_call(run_id: UUID, step_id: UUID, call: dict[str, Any], *also: Wanted[Any] | Asked) -> list[Any]:
    return _lock_in_order(_run_and_step(run_id, step_id), Wanted(SkillInvocation, call), *also)


def _run_and_step(run_id: UUID, step_id: UUID, *unread: str) -> list[Wanted[Any]]:
    return [
        Wanted(Run, {"pk": run_id}, without=HEAVY_RUN),
        Wanted(Step, {"pk": step_id}, without=(*HEAVY_STEP, *unread)),
    ]


def _lock_in_order(must: Sequence[Wanted[Any]], *also: Wanted[Any] | Asked) -> list[Any]:
    """Lock what must be there, then read what may be, in one exchange; raises DoesNotExist."""
    found = find_in_order(*must, *also)
    return _there(must, found)


def _there(must: Sequence[Wanted[Any]], found: list[Any]) -> list[Any]:
    for wanted, row in zip(must, found, strict=False):
        if row is None:
            raise wanted.model.DoesNotExist(f"there is no {wanted.model._meta.verbose_name} {wanted.where['pk']}")
    return found


def _demand_attempt(caller: Caller, run: Run, step: Step) -> None:
    _demand_time(run)
    if run.state != RunState.RUNNING or step.state != StepState.RUNNING or step.attempt != caller.attempt:
        raise JobOver(f"attempt {caller.attempt} of the step is over")


def _demand_time(run: Run) -> None:
    if run.is_overdue(now()):
        raise JobOver("the run took longer than a run may take")
