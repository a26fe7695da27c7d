"""What a job is, what it may use, and what can be seen of it. Plain values."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self

from audit.core.machine import Machine


class JobState(StrEnum):
    QUEUED = "queued"
    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    CANCELLED = "cancelled"


OPEN_JOB = (JobState.QUEUED, JobState.SUBMITTED, JobState.RUNNING)
JOB = Machine(
    "job",
    {JobState.QUEUED: "queue"},
    {
        (JobState.QUEUED, "submit"): JobState.SUBMITTED,
        (JobState.SUBMITTED, "start"): JobState.RUNNING,
        (JobState.SUBMITTED, "succeed"): JobState.SUCCEEDED,
        (JobState.RUNNING, "succeed"): JobState.SUCCEEDED,
        (JobState.QUEUED, "fail"): JobState.FAILED,
        (JobState.SUBMITTED, "fail"): JobState.FAILED,
        (JobState.RUNNING, "fail"): JobState.FAILED,
        (JobState.SUBMITTED, "time_out"): JobState.TIMED_OUT,
        (JobState.RUNNING, "time_out"): JobState.TIMED_OUT,
        (JobState.SUBMITTED, "lose"): JobState.LOST,
        (JobState.RUNNING, "lose"): JobState.LOST,
        (JobState.QUEUED, "cancel"): JobState.CANCELLED,
        (JobState.SUBMITTED, "cancel"): JobState.CANCELLED,
        (JobState.RUNNING, "cancel"): JobState.CANCELLED,
    },
)

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# What an agent is told by its environment; everything else (HOME, the token's file, the gateway's address) is the backend's.
AGENT_ENV = frozenset({"WORKA_RUN_ID", "WORKA_STEP_ID", "WORKA_JOB", "TRACEPARENT"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what one job may use: bytes, counts and seconds, all of the whole process tree."""

    memory_bytes: int = 512 * 2**20
    pids: int = 64
    disk_bytes: int = 64 * 2**20
    wall_s: int = 900
    open_files: int = 256
    log_bytes: int = 2**20

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
                raise ValueError(f"the limit {each.name} is {value!r}, not a positive whole number")

    def as_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read limits that were stored with a job; a limit that is not named has its default."""
        return cls(**value)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Say everything that a backend needs to start a job.

    `argv` is run inside the sandbox, where the program `python` is the agents' interpreter. `env` may hold the names of
    AGENT_ENV only. `token` reaches the agent as a file and is never in the environment, an argument or a `repr`.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    token: str = field(default="", repr=False)
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name[:80]!r} is no name for a job: it needs lower case letters, digits and dashes")
        if not self.argv:
            raise ValueError(f"the job {self.name} has no command")
        if strangers := set(self.env) - AGENT_ENV:
            raise ValueError(f"{', '.join(sorted(strangers))} may not be in an agent's environment")
        if any("\0" in text for text in (*self.argv, *self.env.values(), self.token)):
            raise ValueError(f"the job {self.name} has a NUL in its command, environment or token")


class Phase(StrEnum):
    """`unknown`: never started, or no longer there. `pending`: accepted, not yet running."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"


class Ended(StrEnum):
    """Tell apart how a job came to its end."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    OOM = "oom"
    TIMED_OUT = "timed_out"
    KILLED = "killed"
    LOST = "lost"
    NOT_STARTED = "not_started"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a backend sees of a job; `detail` is one sentence about the end, `peak_memory_bytes` is of the whole tree."""

    phase: Phase
    ended: Ended | None = None
    exit_code: int | None = None
    detail: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    peak_memory_bytes: int | None = None
