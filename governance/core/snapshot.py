"""A run and everything below it as frozen values: what `progress` moves and `explain` reads. Ids are text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from governance.core.quorum import Members, Outcome, Threshold, VoteFact, tally
from governance.core.states import OPEN_INVOCATION, OPEN_RUN, OPEN_STEP, GateState, InvocationState


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """The limits of the active manifest that move a run; `sign_of_life` is the longest silence of a live job."""

    plan_attempts: int = 3
    step_attempts: int = 3
    backoff: timedelta = timedelta(seconds=10)
    sign_of_life: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class FrozenFact:
    """A freeze: of `what` (`workspace default`, `agent ernest`, `skill files.write`), by whom, why and since when."""

    what: str
    by: str
    because: str
    since: datetime


@dataclass(frozen=True, slots=True)
class JobFact:
    """A live job. `accepted` says that its result or plan is in and it is only expected to go."""

    name: str
    state: str
    created_at: datetime
    last_sign_at: datetime | None = None
    accepted: bool = False
    deadline_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GateFact:
    """A gate that is or was waiting. `what` names the deed in words (`the plan`, `files.write`).

    `members` maps each asked group to the ids of its people, `barred` holds the people behind the request,
    `names` gives ids their user names.
    """

    id: str
    state: str
    what: str
    thresholds: tuple[Threshold, ...]
    asked_at: datetime
    votes: tuple[VoteFact, ...] = ()
    members: Members = field(default_factory=dict)
    barred: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None

    @property
    def is_waiting(self) -> bool:
        return self.state == GateState.WAITING

    @property
    def outcome(self) -> Outcome:
        return tally(self.thresholds, self.members, self.votes, self.barred)


@dataclass(frozen=True, slots=True)
class CallFact:
    """A skill call. `delayed_by` says why a released one is put off until `not_before` (a lock, a throttle);
    `unconnected` says why a requested one has no way out (`github is not connected …`), and `service` to what.
    """

    id: str
    call_id: str
    state: str
    skill: str
    state_changed_at: datetime
    not_before: datetime | None = None
    gate: GateFact | None = None
    delayed_by: str = ""
    service: str = ""
    unconnected: str = ""
    error: str = ""

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_INVOCATION

    @property
    def is_awaited(self) -> bool:
        """Say whether somebody else than the agent has to bring it on: a `requested` call waits for its agent, unless
        it waits for a connection.
        """
        return self.is_open and (self.state != InvocationState.REQUESTED or bool(self.unconnected))

    @property
    def is_under_way(self) -> bool:
        return self.state in (InvocationState.RUNNING, InvocationState.UNKNOWN)

    @property
    def waiting_gate(self) -> GateFact | None:
        return self.gate if self.state == InvocationState.HELD and self.gate and self.gate.is_waiting else None


@dataclass(frozen=True, slots=True)
class Waits:
    """What a suspended step named: call ids, a time, the end of a freeze."""

    calls: tuple[str, ...] = ()
    until: datetime | None = None
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class StepFact:
    """A step. `depends_on` holds step ids; `frozen` is set while its agent, or a skill it may call, is disabled."""

    id: str
    ref: str
    sequence: int
    agent_name: str
    objective: str
    state: str
    state_changed_at: datetime
    attempt: int = 0
    retries: int = 0
    not_before: datetime | None = None
    waits_for: Waits | None = None
    depends_on: tuple[str, ...] = ()
    last_error: str = ""
    calls: tuple[CallFact, ...] = ()
    live_job: JobFact | None = None
    frozen: FrozenFact | None = None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STEP

    @property
    def awaited_calls(self) -> tuple[CallFact, ...]:
        """Return the calls it named and that are not over."""
        named = self.waits_for.calls if self.waits_for else ()
        return tuple(call for call in self.calls if call.call_id in named and call.is_awaited)


@dataclass(frozen=True, slots=True)
class PlanFact:
    """The latest plan of a run."""

    id: str
    version: int
    state: str


@dataclass(frozen=True, slots=True)
class RunFact:
    """A run. `gate` is the gate of a held plan; `planning_job` the live one; `planning_attempts` counts planning jobs so far.

    `frozen` is set while the workspace is frozen or, as long as the run is being planned, its planner disabled.
    `no_capacity` says why no job can start now (`no sandbox`, `all 4 slots are taken`), else it is empty.
    """

    id: str
    number: int
    state: str
    created_at: datetime
    state_changed_at: datetime
    deadline_at: datetime | None = None
    max_age_at: datetime | None = None
    frozen: FrozenFact | None = None
    reason: str = ""
    planner: str = "hari"
    planning_attempts: int = 0
    planning_not_before: datetime | None = None
    planning_job: JobFact | None = None
    planning_error: str = ""
    last_plan_refused: bool = False
    plan: PlanFact | None = None
    gate: GateFact | None = None
    steps: tuple[StepFact, ...] = ()
    limits: LimitFacts = LimitFacts()
    no_capacity: str = ""

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_RUN
