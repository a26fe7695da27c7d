"""Runs in every state that rows can be in, and in many that they never should be."""

from datetime import timedelta
from random import Random

from hypothesis import strategies as st

from governance.core.snapshot import PlanFact, Waits
from governance.core.states import GateState, InvocationState, PlanState, RunState, StepState
from tests.core.flow.builders import FREEZE, NOW, STOPPED, a_call, a_gate, a_job, a_run, a_step

TEXTS = ("", "it broke", "the \x1b[31mworld\u202e ended <!channel>")
OPEN_STEPS = (StepState.PENDING, StepState.READY, StepState.RUNNING, StepState.SUSPENDED, StepState.SUCCEEDED)


def runs():
    """Return a strategy of runs. Each is grown from one number: drawn field by field they took a tenth of a second each."""
    return st.integers(0, 2**32).map(lambda seed: _run(Random(seed)))


def _some(dice, make, share=0.5):
    return make() if dice.random() < share else None


def _past(dice):
    return NOW - timedelta(seconds=dice.randrange(86_400))


def _moment(dice):
    return NOW + timedelta(seconds=dice.randrange(-86_400, 86_400))


def _job(dice):
    return a_job(
        state=dice.choice(["queued", "submitted", "running"]), created_at=_past(dice),
        last_sign_at=_some(dice, lambda: _past(dice)), accepted=dice.random() < 0.2,
    )  # fmt: skip


def _gate(dice, name):
    return a_gate(
        id=f"gate-{name}", state=dice.choice([GateState.WAITING, *GateState]), asked_at=_past(dice),
        barred=dice.choice([frozenset({"1"}), frozenset({"1", "2", "3"})]), expires_at=_some(dice, lambda: _moment(dice)),
    )  # fmt: skip


def _call(dice, step, name):
    return a_call(
        id=f"{step}-{name}", call_id=name, state=dice.choice([InvocationState.HELD, *InvocationState]),
        state_changed_at=_past(dice), not_before=_some(dice, lambda: _moment(dice)),
        gate=_some(dice, lambda: _gate(dice, f"{step}-{name}")), delayed_by=dice.choice(["", "the lock x"]),
        service="slack", unconnected=dice.choice(["", "", "slack is not connected in this workspace"]), error=dice.choice(TEXTS),
    )  # fmt: skip


def _waits(dice):
    return Waits(
        calls=tuple(dice.sample(["a", "b", "gone"], dice.randrange(3))), until=_some(dice, lambda: _moment(dice), 0.2),
        frozen=dice.random() < 0.2,
    )  # fmt: skip


def _step(dice, sequence):
    earlier = [f"step-{number}" for number in range(1, sequence)]
    return a_step(
        sequence, state=dice.choice([*OPEN_STEPS, *OPEN_STEPS, *StepState]), state_changed_at=_past(dice),
        attempt=dice.randrange(4), retries=dice.randrange(4), not_before=_some(dice, lambda: _moment(dice)),
        waits_for=_some(dice, lambda: _waits(dice), 0.8), last_error=dice.choice(TEXTS),
        depends_on=tuple(dice.sample(earlier, dice.randrange(sequence))),
        calls=tuple(_call(dice, sequence, name) for name in "ab"[: dice.randrange(3)]),
        live_job=_some(dice, lambda: _job(dice), 0.4), frozen=_some(dice, lambda: STOPPED, 0.2), objective=dice.choice(TEXTS),
    )  # fmt: skip


def _run(dice):
    steps = [_step(dice, number) for number in range(1, dice.randrange(1, 5))]
    return a_run(
        *steps, state=dice.choice([RunState.RUNNING] * 4 + list(RunState)), state_changed_at=_past(dice),
        deadline_at=_some(dice, lambda: _moment(dice), 0.2), max_age_at=_some(dice, lambda: _moment(dice), 0.1),
        frozen=_some(dice, lambda: FREEZE, 0.2), reason=dice.choice(TEXTS), planning_attempts=dice.randrange(5),
        planning_not_before=_some(dice, lambda: _moment(dice)), planning_job=_some(dice, lambda: _job(dice)),
        planning_error=dice.choice(TEXTS), last_plan_refused=dice.random() < 0.5,
        plan=_some(dice, lambda: PlanFact("plan-1", 1, dice.choice(list(PlanState)))), gate=_some(dice, lambda: _gate(dice, "p")),
        no_capacity=dice.choice(["", "no sandbox"]),
    )  # fmt: skip
