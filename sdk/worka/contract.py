"""What the agent's door sends, as values. Unknown fields are ignored: an older agent meets a newer gateway."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from worka.errors import ApiError, Fault

WAITING = frozenset({"held", "unknown", "unconnected", "running", "released"})
"""States of a call that is not over yet: the first three wait for a person."""


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """A stored output: what it is called, and the SHA-256 that pins its content. `size` is in bytes."""

    id: str
    name: str
    sha256: str
    media_type: str
    size: int

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read one artifact of the door's."""
        return cls(
            str(body["id"]), str(body.get("name", "")), str(body.get("sha256", "")), str(body.get("media_type", "")),
            int(body.get("size", 0)),
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Return what a later step can refer to."""
        return {
            "id": self.id, "name": self.name, "sha256": self.sha256, "media_type": self.media_type, "size": self.size,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class SkillOffer:
    """A skill that may be asked for; `agents` says which agents may, in a planner's catalogue."""

    name: str
    description: str
    input_schema: Mapping[str, Any]
    side_effect: str
    agents: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read one skill of the context."""
        return cls(
            str(body["name"]), str(body.get("description", "")), body.get("input_schema") or {},
            str(body.get("side_effect", "")), tuple(body.get("agents") or ()),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AgentOffer:
    """An agent that a plan may name."""

    name: str
    kind: str
    description: str
    skills: tuple[str, ...]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read one agent of the planner's catalogue."""
        return cls(
            str(body["name"]), str(body.get("kind", "")), str(body.get("description", "")),
            tuple(body.get("skills") or ()),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlaybookOffer:
    """A playbook as it is served: its source as JSON, and the digest that the plan must name."""

    name: str
    digest: str
    text: Mapping[str, Any]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read one playbook of the planner's context."""
        return cls(str(body["name"]), str(body.get("digest", "")), body.get("text") or {})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a skill call.

    `state`: `succeeded` with `output`, `failed` or `denied` with `reason`, `held | unknown | running | released` when it
    is not over, `unconnected` when it waits for people to connect a service, `frozen` and `busy` when it was not begun
    (`retry_after_s` says when to come back).
    """

    call_id: str
    state: str
    skill: str = ""
    output: Any = None
    reason: str = ""
    code: str = ""
    gate: str = ""
    effect: str = ""
    retry_after_s: float | None = None

    @property
    def is_waiting(self) -> bool:
        return self.state in WAITING

    @classmethod
    def from_json(cls, body: Mapping[str, Any], *, call_id: str = "", skill: str = "") -> Self:
        """Read a call's state from a 200 or 202 of the door, or from the context."""
        error = body.get("error")
        told = error.get("detail") or error.get("message") if isinstance(error, Mapping) else error
        return cls(
            call_id=str(body.get("call_id") or call_id),
            state=str(body.get("state", "")),
            skill=str(body.get("skill") or skill),
            output=body.get("output"),
            reason=str(body.get("reason") or told or ""),
            code=str(body.get("code") or (error.get("code") if isinstance(error, Mapping) else "") or ""),
            gate=_gate_id(body.get("gate")),
            effect=str(body.get("effect") or ""),
        )

    @classmethod
    def from_refusal(cls, refusal: ApiError, *, call_id: str, skill: str = "") -> Self | None:
        """Read a call's state from a refusal, or None when the refusal is no answer to the call."""
        states = {
            "policy_denied": "denied", "budget_exceeded": "denied", "skill_failed": "failed", "bad_input": "failed",
            "not_found": "failed", "unavailable": "failed",
            "no_connection": "unconnected", "frozen": "frozen", "lock_conflict": "busy", "throttled": "busy", "rate_limited": "busy",
        }  # fmt: skip
        if refusal.code not in states:
            return None
        reason = str(refusal.body.get("reason") or refusal.detail)
        if refusal.faults:
            reason = "; ".join([reason, *map(str, refusal.faults)])
        return cls(
            call_id=call_id, state=states[refusal.code], skill=skill, reason=reason, code=refusal.code,
            gate=_gate_id(refusal.body.get("gate")), effect=str(refusal.body.get("effect") or ""),
            retry_after_s=refusal.retry_after_s,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step that this one depends on has left."""

    summary: str
    output: Any
    artifacts: tuple[ArtifactRef, ...]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read one entry of `step.results`."""
        found = tuple(ArtifactRef.from_json(entry) for entry in body.get("artifacts") or ())
        return cls(str(body.get("summary", "")), body.get("output"), found)


@dataclass(frozen=True, slots=True)
class Step:
    """The one piece of work that this process is for."""

    id: str
    sequence: int
    objective: str
    attempt: int
    instruction: Mapping[str, Any]
    allowed_skills: tuple[SkillOffer, ...]
    results: Mapping[str, StepResult]
    checkpoint: Mapping[str, Any] | None
    checkpoint_seq: int
    calls: Mapping[str, Outcome]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read the `step` of a context."""
        stored = body.get("checkpoint") or {}
        calls = [Outcome.from_json(entry) for entry in body.get("calls") or ()]
        return cls(
            id=str(body["id"]),
            sequence=int(body.get("sequence", 0)),
            objective=str(body.get("objective", "")),
            attempt=int(body.get("attempt", 1)),
            instruction=body.get("instruction") or {},
            allowed_skills=tuple(SkillOffer.from_json(entry) for entry in body.get("allowed_skills") or ()),
            results=_results(body.get("results") or {}),
            checkpoint=stored.get("state"),
            checkpoint_seq=int(stored.get("seq", 0)),
            calls={outcome.call_id: outcome for outcome in calls},
        )


@dataclass(frozen=True, slots=True)
class Planning:
    """What a planner may use: the catalogue that the manifest allows, and what was wrong with its last plan."""

    attempt: int
    refused: tuple[Fault, ...]
    agents: tuple[AgentOffer, ...]
    skills: tuple[SkillOffer, ...]
    playbooks: tuple[PlaybookOffer, ...]
    repositories: tuple[str, ...]
    limits: Mapping[str, Any]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read the `planning` of a context."""
        return cls(
            attempt=int(body.get("attempt", 1)),
            refused=tuple(Fault.from_json(entry) for entry in body.get("refused") or ()),
            agents=tuple(AgentOffer.from_json(entry) for entry in body.get("agents") or ()),
            skills=tuple(SkillOffer.from_json(entry) for entry in body.get("skills") or ()),
            playbooks=tuple(PlaybookOffer.from_json(entry) for entry in body.get("playbooks") or ()),
            repositories=tuple(body.get("repositories") or ()),
            limits=body.get("limits") or {},
        )


@dataclass(frozen=True, slots=True)
class ModelOffer:
    """The model that this job may ask; `max_tokens` bounds one answer."""

    name: str
    max_tokens: int

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read the `model` of a context."""
        return cls(str(body["name"]), int(body.get("max_tokens") or 4096))


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One call of a tool that the model asks for."""

    id: str
    name: str
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the model: its blocks as they came, to be sent back as they are."""

    content: tuple[Mapping[str, Any], ...]
    stop_reason: str
    tokens: int = 0

    @property
    def text(self) -> str:
        return "\n".join(str(block.get("text", "")) for block in self.content if block.get("type") == "text").strip()

    @property
    def tool_uses(self) -> tuple[ToolUse, ...]:
        return tuple(
            ToolUse(str(block.get("id", "")), str(block.get("name", "")), block.get("input") or {})
            for block in self.content
            if block.get("type") == "tool_use"
        )

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read an answer of the Messages API."""
        usage = body.get("usage") or {}
        tokens = int(usage.get("input_tokens") or 0) + int(usage.get("output_tokens") or 0)
        blocks = tuple(block for block in body.get("content") or () if isinstance(block, Mapping))
        return cls(blocks, str(body.get("stop_reason") or ""), tokens)


@dataclass(frozen=True, slots=True)
class Context:
    """The envelope of a job: the run it belongs to, and either a step to work or a plan to make."""

    run_id: str
    run_number: int
    request: str
    step: Step | None
    planning: Planning | None
    limits: Mapping[str, Any]
    memories: Sequence[Any]
    model: ModelOffer | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read the answer of `GET /agent/v1/context`."""
        run = body.get("run") or {}
        return cls(
            run_id=str(run.get("id", "")),
            run_number=int(run.get("number", 0)),
            request=str(run.get("request") or ""),
            step=Step.from_json(body["step"]) if body.get("step") else None,
            planning=Planning.from_json(body["planning"]) if body.get("planning") else None,
            limits=body.get("limits") or {},
            memories=tuple(body.get("memories") or ()),
            model=ModelOffer.from_json(body["model"]) if body.get("model") else None,
        )


@dataclass(frozen=True, slots=True)
class Proposal:
    """What became of a proposed plan: `accepted`, `held` for people, or `refused` with everything wrong with it."""

    state: str
    reason: str = ""
    faults: tuple[Fault, ...] = ()


def _results(body: Mapping[str, Any]) -> dict[str, StepResult]:
    # A reference in a stored plan names a step by its id, where the plan that was proposed named it by its ref.
    found: dict[str, StepResult] = {}
    for ref, entry in body.items():
        found[ref] = StepResult.from_json(entry)
        if entry.get("id"):
            found[str(entry["id"])] = found[ref]
    return found


def _gate_id(gate: Any) -> str:
    return str(gate.get("id", "")) if isinstance(gate, Mapping) else str(gate or "")
