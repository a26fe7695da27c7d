"""A span as a value: what happened, from when to when, under what, and what may be told of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from runtime.core.traces import span_id, trace_id


class Kind(StrEnum):
    """What a span is of."""

    RUN = "run"
    STEP = "step"
    JOB = "job"
    CALL = "call"
    APPROVAL = "approval"
    DENIAL = "denial"
    MODEL = "model"


class Level(StrEnum):
    """How it went: `warning` is not what was hoped for, `error` went wrong."""

    DEFAULT = "DEFAULT"
    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Trace:
    """What is true of every span of a run."""

    run_id: UUID
    number: int
    workspace: str
    requester: str
    session: str = ""

    @property
    def trace_id(self) -> int:
        return trace_id(self.run_id)

    @property
    def root(self) -> int:
        return span_id(Kind.RUN, self.run_id)


@dataclass(frozen=True, slots=True)
class Span:
    """One span. `about` are facts by short names; `input` and `output` are redacted twins, never the exact values.

    `moments` are named times within it. `standard` are attributes under the names of OpenTelemetry's conventions.
    """

    trace: Trace
    kind: Kind
    id: int
    parent: int | None
    name: str
    start: datetime
    end: datetime
    about: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    standard: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    input: Any = None
    output: Any = None
    level: Level = Level.DEFAULT
    says: str = ""
    moments: tuple[tuple[str, datetime], ...] = ()
    usage: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    cost_usd: float | None = None
    model: str = ""
