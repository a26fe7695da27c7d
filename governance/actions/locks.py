"""The order of locks: workspace, run, plan, step, invocation, gate, job, budgets, skill locks."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.utils.timezone import now

from audit.rows import Asked, Wanted, find_in_order, lock
from governance.caller import Caller, JobOver
from governance.core.states import RunState, StepState
from governance.models import Run, SkillInvocation, Step


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
    locked: list[Wanted[Any]] = [Wanted(Run, {"pk": caller.run_id})]
    if caller.step_id is not None:
        locked.append(Wanted(Step, {"pk": caller.step_id}))
    run, *found = find_in_order(*locked, *also)
    if run is None:
        raise Run.DoesNotExist(f"there is no run {caller.run_id}")
    if caller.step_id is None:
        _demand_time(run)
        if run.state != RunState.PLANNING:
            raise JobOver(f"the run is {run.state}, so nobody is asked to plan")
        return run, None, found
    step, *read = found
    if step is None:
        raise Step.DoesNotExist(f"there is no step {caller.step_id}")
    _demand_attempt(caller, run, step)
    return run, step, read


def _lock_call(run_id: UUID, step_id: UUID, call: dict[str, Any], *also: Wanted[Any] | Asked) -> list[Any]:
    found = find_in_order(
        Wanted(Run, {"pk": run_id}), Wanted(Step, {"pk": step_id}), Wanted(SkillInvocation, call), *also
    )
    if found[0] is None or found[1] is None:
        raise (Run if found[0] is None else Step).DoesNotExist(f"there is no run {run_id} with a step {step_id}")
    return found


def _demand_attempt(caller: Caller, run: Run, step: Step) -> None:
    _demand_time(run)
    if run.state != RunState.RUNNING or step.state != StepState.RUNNING or step.attempt != caller.attempt:
        raise JobOver(f"attempt {caller.attempt} of the step is over")


def _demand_time(run: Run) -> None:
    if run.is_overdue(now()):
        raise JobOver("the run took longer than a run may take")
