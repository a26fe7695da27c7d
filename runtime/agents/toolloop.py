"""The tool loop: the model says what to call, the gateway calls it or not, and the model goes on from what came of it.

A turn is checkpointed before its calls are made, so that an attempt that is killed makes the same calls under the same ids again,
and gets the answers they had. A call that waits for people ends the process; the next attempt goes on from the checkpoint.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.agents.prompting import Prompt, block
from worka.agent import Agent
from worka.contract import Message, ModelOffer, Outcome, SkillOffer, Step, ToolUse
from worka.errors import ApiError

PATIENT_POLLS = 3
LONGEST_OUTPUT = 40_000
LARGEST_TRANSCRIPT = 900_000
"""Characters of JSON: a checkpoint has at most 1 MiB."""

READ_ARTIFACT = "read_artifact"
ENOUGH_TURNS = 20


class GivenUp(Exception):
    """The loop ends without an answer; `code` says why for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Transcript:
    """What was said so far. `turns` counts the model's answers; the last one is open while its calls are not answered."""

    messages: list[dict[str, Any]]
    turns: int = 0
    tokens: int = 0
    renamed: dict[str, str] = field(default_factory=dict)

    @property
    def open_uses(self) -> tuple[ToolUse, ...]:
        last = self.messages[-1]
        if last["role"] != "assistant" or not isinstance(last["content"], list):
            return ()
        return Message(tuple(last["content"]), "").tool_uses

    def as_json(self) -> dict[str, Any]:
        return {"messages": self.messages, "turns": self.turns, "tokens": self.tokens, "renamed": self.renamed}

    @classmethod
    def from_json(cls, state: Mapping[str, Any] | None) -> "Transcript | None":
        """Read a checkpoint; None when there is none of this kind."""
        if not state or not isinstance(state.get("messages"), list):
            return None
        return cls(
            list(state["messages"]),
            int(state.get("turns", 0)),
            int(state.get("tokens", 0)),
            dict(state.get("renamed") or {}),
        )


@dataclass(frozen=True, slots=True)
class Loop:
    """One step's tool loop."""

    agent: Agent
    step: Step
    model: ModelOffer
    prompt: Prompt
    most_turns: int

    def run(self, told: str) -> tuple[str, Transcript]:
        """Talk until the model answers in words; return them. Raises GivenUp, or Suspended where something waits."""
        self.agent.log(f"asking {self.model.name} (prompt {self.prompt.name} {self.prompt.version})")
        talk = Transcript.from_json(self.step.checkpoint) or Transcript([{"role": "user", "content": told}])
        while True:
            if talk.open_uses:
                talk.messages.append({"role": "user", "content": self._answered(talk)})
            if talk.turns >= self.most_turns:
                raise GivenUp("too_many_turns", f"the goal was not reached in {self.most_turns} turns")
            said = self._ask(talk)
            talk.turns += 1
            talk.tokens += said.tokens
            talk.messages.append({"role": "assistant", "content": [dict(each) for each in said.content] or "…"})
            self._keep(talk)
            if said.stop_reason == "max_tokens":
                raise GivenUp("cut_off", "the model's answer was cut off")
            if not said.tool_uses:
                if said.stop_reason == "refusal" or not said.text:
                    raise GivenUp("no_answer", "the model gave no answer")
                return said.text, talk

    def _ask(self, talk: Transcript) -> Message:
        request: dict[str, Any] = {
            "model": self.model.name, "max_tokens": self.model.max_tokens, "system": self.prompt.text, "messages": talk.messages,
        }  # fmt: skip
        tools = self._tools()
        if tools:
            request["tools"] = tools
        try:
            return self.agent.message(**request)
        except ApiError as refusal:
            if refusal.code in ("budget_exceeded", "policy_denied", "bad_input", "invalid", "too_large"):
                raise GivenUp(refusal.code, f"the model could not be asked: {refusal.detail}") from None
            if refusal.code in ("rate_limited", "unavailable"):
                self.agent.suspend(
                    waits_for=_later(refusal.retry_after_s),
                    state=talk.as_json(),
                    summary=f"the model is put off: {refusal.detail}",
                )
            raise

    def _tools(self) -> list[dict[str, Any]]:
        tools = [
            {
                "name": tool_name(each.name),
                "description": f"{each.description} ({each.side_effect})",
                "input_schema": dict(each.input_schema),
            }
            for each in self.step.allowed_skills
        ]
        if any(result.artifacts for result in self.step.results.values()):
            tools.append({
                "name": READ_ARTIFACT,
                "description": "Read the text of an artifact that an earlier step has left.",
                "input_schema": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
            })  # fmt: skip
        return tools

    def _answered(self, talk: Transcript) -> list[dict[str, Any]]:
        """Make the open turn's calls and return their results; suspends when one waits, after the others were made."""
        skills = {tool_name(each.name): each for each in self.step.allowed_skills}
        results, waiting, frozen = [], [], False
        for number, use in enumerate(talk.open_uses, start=1):
            if use.name == READ_ARTIFACT:
                results.append(self._read(use))
                continue
            skill = skills.get(use.name)
            if skill is None:
                # Asked for all the same: what an agent tries beyond its list is to be on record.
                skill = SkillOffer(use.name.replace("__", "."), "", {}, "")
            outcome = self._call(talk, f"t{talk.turns}.{number}", skill.name, use.input)
            if outcome.state == "frozen":
                frozen = True
            elif outcome.state == "busy":
                self.agent.suspend(
                    waits_for=_later(outcome.retry_after_s), state=talk.as_json(), summary=f"{skill.name} is put off"
                )
            elif outcome.is_waiting:
                waiting.append(outcome.call_id)
            results.append(_result(use, skill.name, outcome))
        if frozen:
            self.agent.suspend(waits_for="frozen", state=talk.as_json(), summary="it meets a freeze")
        if waiting:
            self.agent.suspend(waits_for=waiting, state=talk.as_json(), summary=f"waits for {', '.join(waiting)}")
        return results

    def _call(self, talk: Transcript, ordinal: str, skill: str, value: Mapping[str, Any]) -> Outcome:
        call_id = talk.renamed.get(ordinal, ordinal)
        known = self.step.calls.get(call_id)
        if known is not None and known.state in {"succeeded", "denied", "failed", "cancelled"}:
            return known
        try:
            outcome = self.agent.skill(call_id, skill, value)
        except ApiError as refusal:
            if refusal.code == "call_conflict" and ordinal not in talk.renamed:
                # An attempt that was killed before its turn was kept has used this id for something else.
                talk.renamed[ordinal] = f"{ordinal}.a{self.step.attempt}"
                self._keep(talk)
                return self._call(talk, ordinal, skill, value)
            if refusal.code in ("invalid", "not_canonical", "too_large"):
                return Outcome(call_id, "failed", skill, reason=refusal.detail, code=refusal.code)
            raise
        for _ in range(PATIENT_POLLS):
            if outcome.state not in {"running", "released"}:
                break
            outcome = self.agent.wait_call(call_id)
        self.agent.log(f"{skill} ({call_id}) is {outcome.state}")
        return outcome

    def _read(self, use: ToolUse) -> dict[str, Any]:
        wanted = str(use.input.get("id", ""))
        known = {ref.id for result in self.step.results.values() for ref in result.artifacts}
        if wanted not in known:
            return _tool_result(use, "There is no such artifact.", is_error=True)
        try:
            text = self.agent.artifact(wanted).decode("utf-8")
        except UnicodeDecodeError:
            return _tool_result(use, "The artifact is no text.", is_error=True)
        except ApiError as refusal:
            if refusal.code in ("frozen", "job_over"):
                raise
            return _tool_result(use, f"It cannot be read: {refusal.detail}", is_error=True)
        return _tool_result(use, block("artifact", text, LONGEST_OUTPUT))

    def _keep(self, talk: Transcript) -> None:
        state = talk.as_json()
        if len(json.dumps(state, ensure_ascii=False)) > LARGEST_TRANSCRIPT:
            raise GivenUp("too_large", "the conversation has become too long to be kept")
        self.agent.checkpoint(state)


def tool_name(skill: str) -> str:
    """Return a skill's name in the form that the Messages API takes for tools."""
    return skill.replace(".", "__")[:128]


def told_of(request: str, step: Step, memories: Sequence[Any], goal: str) -> str:
    """Return what the model is told to begin with: the goal, and what others have said, each in its block."""
    results = {
        ref: {"summary": each.summary, "output": each.output, "artifacts": [one.as_json() for one in each.artifacts]}
        for ref, each in step.results.items()
        # A result is also there under the step's id; it is told once.
        if "-" not in ref or len(ref) != 36
    }
    parts = [f"Goal: {goal}", f"Objective of the step: {step.objective}", block("request", request)]
    if results:
        parts.append(block("results", results, 200_000))
    if memories:
        parts.append(block("memories", list(memories)))
    return "\n\n".join(parts)


def _result(use: ToolUse, skill: str, outcome: Outcome) -> dict[str, Any]:
    if outcome.state == "succeeded":
        return _tool_result(use, block("tool_output", outcome.output, LONGEST_OUTPUT))
    word = "was denied" if outcome.state == "denied" else outcome.state
    return _tool_result(use, f"{skill} {word}: {outcome.reason or 'no reason was given'}", is_error=True)


def _tool_result(use: ToolUse, content: str, *, is_error: bool = False) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": use.id, "content": content, "is_error": is_error}


def _later(seconds: float | None) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) + timedelta(seconds=max(seconds or 0, 60))).isoformat()
