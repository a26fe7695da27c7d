"""What the API tells about, as values. Each keeps the whole answer in `raw`: newer servers may say more than is named here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

FINAL_RUN_STATES = frozenset({"succeeded", "failed", "refused", "cancelled"})

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Why:
    """Why a run is where it is: a code for programs and one sentence for people."""

    code: str
    sentence: str

    @classmethod
    def from_json(cls, body: Any) -> Self:
        """Read the `why` of a run."""
        return (
            cls(_text(body, "code"), _text(body, "sentence")) if isinstance(body, Mapping) else cls("", str(body or ""))
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One request and all that became of it. `number` is what people say; times are RFC 3339, UTC, empty when not yet."""

    id: str
    number: int
    state: str
    request: str = ""
    source: str = ""
    requester: str = ""
    reason: str = ""
    outcome: Any = None
    url: str = ""
    created_at: str = ""
    started_at: str = ""
    finished_at: str = ""
    why: Why = field(default_factory=lambda: Why("", ""))
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_RUN_STATES

    @classmethod
    def from_json(cls, body: Json) -> Self:
        """Read one run, from a list or alone."""
        return cls(
            id=_text(body, "id"), number=int(body.get("number") or 0), state=_text(body, "state"), request=_text(body, "request"),
            source=_text(body, "source"), requester=_text(body, "requester"), reason=_text(body, "reason"),
            outcome=body.get("outcome"), url=_text(body, "url"), created_at=_text(body, "created_at"),
            started_at=_text(body, "started_at"), finished_at=_text(body, "finished_at"), why=Why.from_json(body.get("why")), raw=body,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run's plan."""

    id: str
    sequence: int
    state: str
    agent: str
    objective: str
    attempt: int
    started_at: str
    completed_at: str
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> Self:
        """Read one step of a run."""
        return cls(
            id=_text(body, "id"), sequence=int(body.get("sequence") or 0), state=_text(body, "state"),
            agent=_text(body, "agent"), objective=_text(body, "objective"),
            attempt=int(body.get("attempt") or 0), started_at=_text(body, "started_at"), completed_at=_text(body, "completed_at"),
            raw=body,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model by an agent of a run. `tokens_in` counts what a cache was written with or read from, too.

    A call under way has cost nothing yet; `reserved_usd` is the most that it can cost. `error` is a code, empty if none.
    """

    id: str
    state: str
    agent: str
    model: str
    tokens_in: int
    tokens_out: int
    cost_usd: Decimal
    reserved_usd: Decimal
    error: str
    created_at: str
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> Self:
        """Read one call of a model."""
        tokens_in = sum(int(body.get(f"{name}_tokens") or 0) for name in ("input", "cache_write", "cache_read"))
        return cls(
            id=_text(body, "id"), state=_text(body, "state"), agent=_text(body, "agent"), model=_text(body, "model"),
            tokens_in=tokens_in, tokens_out=int(body.get("output_tokens") or 0), cost_usd=Decimal(_text(body, "cost_usd") or 0),
            reserved_usd=Decimal(_text(body, "reserved_usd") or 0), error=_text(body.get("error"), "code"),
            created_at=_text(body, "created_at"), raw=body,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Approval:
    """A question put to people: the exact payload (only when looked at alone), and the digest that a vote must name.

    `subject` is the skill that would be called, or the plan that would be accepted.
    """

    id: str
    state: str
    run_id: str
    run_number: int
    subject: str
    agent: str
    reason: str
    payload: Any
    payload_digest: str
    expires_at: str
    created_at: str
    rules: tuple[Json, ...] = ()
    thresholds: tuple[Json, ...] = ()
    missing: tuple[Json, ...] = ()
    votes: tuple[Json, ...] = ()
    artifacts: tuple[Json, ...] = ()
    taint: tuple[str, ...] = ()
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> Self:
        """Read one waiting gate."""
        return cls(
            id=_text(body, "id"), state=_text(body, "state"), run_id=_text(body, "run"), run_number=int(body.get("run_number") or 0),
            subject=_text(body, "subject") or _text(body, "action"), agent=_text(body, "agent"), reason=_text(body, "reason"),
            payload=body.get("payload"), payload_digest=_text(body, "payload_digest"), expires_at=_text(body, "expires_at"),
            created_at=_text(body, "created_at"), rules=_objects(body, "rules"), thresholds=_objects(body, "thresholds"),
            missing=_objects(body, "missing"), votes=_objects(body, "votes"), artifacts=_objects(body, "artifacts"),
            taint=tuple(map(str, body.get("taint") or ())), raw=body,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the ledger, with its sentence. `position` is set once it is sealed, and is the cursor to go on from.

    The stream tells less than a timeline: no actor, reason or facts.
    """

    position: int | None
    type: str
    subject: str
    run: str
    actor: str
    because: str
    at: str
    sentence: str = ""
    facts: Json = field(default_factory=dict)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> Self:
        """Read one entry of a timeline, of the ledger or of the stream."""
        position = body.get("position")
        facts = body.get("facts")
        return cls(
            position=int(position) if position is not None else None, type=_text(body, "type"), subject=_text(body, "subject"),
            run=_text(body, "run"), actor=_text(body, "actor"), because=_text(body, "because"), at=_text(body, "at"),
            sentence=_text(body, "sentence"),
            facts=facts if isinstance(facts, Mapping) else {}, raw=body,
        )  # fmt: skip


def _text(body: Any, name: str) -> str:
    value = body.get(name) if isinstance(body, Mapping) else None
    return "" if value is None else str(value)


def _objects(body: Json, name: str) -> tuple[Json, ...]:
    value = body.get(name)
    return tuple(entry for entry in value if isinstance(entry, Mapping)) if isinstance(value, list) else ()
