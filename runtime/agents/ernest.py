"""Ernest works one step: calls in their order, or a template over what earlier steps have found."""

from collections.abc import Mapping
from typing import Any

from runtime.agents.freezes import asleep_while_frozen
from worka.agent import Agent
from worka.contract import Context, Outcome, Step
from worka.errors import ApiError, WorkaError

PATIENT_POLLS = 3
"""Long polls of a call that is under way, before the step sleeps and lets its process go."""

LONGEST_SUMMARY = 1000


class NoSuchValue(Exception):
    """A reference points at nothing."""


def work(agent: Agent) -> None:
    """Work the step of this job by its instruction; sleep while that is frozen."""
    with asleep_while_frozen(agent):
        _work(agent)


def _work(agent: Agent) -> None:
    try:
        context = agent.context()
        step = context.step
    except ApiError as refusal:
        # Its own data cannot be put together (too much, or nothing there): another try would find the same.
        if refusal.code != "bad_input":
            raise
        _fail(agent, refusal.code, refusal.detail)
        return
    if step is None:
        raise WorkaError("this job has no step to work")
    match step.instruction.get("kind"):
        case "direct":
            make_calls(agent, step)
        case "render":
            render_artifact(agent, step)
        case "agentic":
            work_towards_goal(agent, context, step)
        case kind:
            _fail(agent, "bad_instruction", f"the instruction is of no known kind: {str(kind)[:80]}")


def make_calls(agent: Agent, step: Step) -> None:
    """Make the step's calls one after the other; sleep where one waits, stop where one is refused or fails."""
    outputs: dict[str, Any] = {}
    for call in step.instruction.get("calls", ()):
        call_id, skill = str(call["call_id"]), str(call["skill"])
        known = step.calls.get(call_id)
        outcome = (
            known if known is not None and known.state in {"succeeded", "denied", "failed"} else agent.call(call_id)
        )
        if outcome.state in {"running", "released"}:
            outcome = _polled(agent, outcome)
        match outcome.state:
            case "succeeded":
                outputs[call_id] = outcome.output
                agent.log(f"{skill} ({call_id}) is done")
            case "held" | "unknown" | "unconnected" | "running" | "released":
                agent.suspend(
                    waits_for=[call_id],
                    state={"done": list(outputs), "waiting": call_id},
                    summary=f"{skill} ({call_id}) is {outcome.state}",
                )
            case "frozen":
                agent.suspend(
                    waits_for="frozen",
                    state={"done": list(outputs), "waiting": call_id},
                    summary=f"{skill} meets a freeze",
                )
            case "busy":
                agent.suspend(
                    waits_for=_later(outcome),
                    state={"done": list(outputs), "waiting": call_id},
                    summary=f"{skill} is put off: {outcome.reason}",
                )
            case state:
                word = "was denied" if state == "denied" else "failed"
                _fail(
                    agent,
                    outcome.code or state,
                    f"{skill} ({call_id}) {word}: {outcome.reason or 'no reason was given'}",
                )
                return
    try:
        output = resolved(step.instruction["output"], outputs, step) if "output" in step.instruction else outputs
    except NoSuchValue as error:
        _fail(agent, "bad_instruction", f"the output cannot be put together: {error}")
        return
    agent.result("succeeded", summary=_short(f"done: {', '.join(_skills(step))}"), output=output)


def work_towards_goal(agent: Agent, context: Context, step: Step) -> None:
    """Let the model decide which of the step's skills to call, and hand in what it says in the end."""
    if context.model is None:
        _fail(agent, "no_model", "this step needs a model, and none is configured that it may call")
        return
    from runtime.agents.prompting import prompt_of
    from runtime.agents.toolloop import ENOUGH_TURNS, GivenUp, Loop, told_of

    turns = int(step.instruction.get("max_turns") or ENOUGH_TURNS)
    told = told_of(context.request, step, context.memories, str(step.instruction.get("goal", "")))
    try:
        text, talk = Loop(agent, step, context.model, prompt_of("ernest"), turns).run(told)
    except GivenUp as why:
        _fail(agent, why.code, str(why))
        return
    agent.result(
        "succeeded",
        summary=_short(text.partition("\n")[0]),
        output={"text": text, "turns": talk.turns, "tokens": talk.tokens},
    )


def render_artifact(agent: Agent, step: Step) -> None:
    """Fill the instruction's template with its data (the gateway has resolved them) and store what comes out."""
    # Jinja takes longer to import than all the rest of a step together; calls do without it.
    from runtime.agents.rendering import CannotRender, render

    try:
        text = render(str(step.instruction.get("template", "")), step.instruction.get("data"))
    except CannotRender as error:
        _fail(agent, "bad_instruction", str(error))
        return
    wanted = step.instruction.get("artifact")
    if wanted is None:
        agent.result("succeeded", summary=_short(text.partition("\n")[0]), output={"text": text})
        return
    stored = agent.upload_artifact(str(wanted["name"]), str(wanted.get("media_type", "text/markdown")), text.encode())
    agent.result(
        "succeeded",
        summary=_short(f"{stored.name}: {len(text.encode()):,} bytes"),
        output={"artifact": stored.as_json()},
        artifacts=[stored],
    )


def resolved(template: Any, outputs: Mapping[str, Any], step: Step) -> Any:
    """Return the template with each `{"$from", "pointer"}` replaced by what it points at, or raise NoSuchValue.

    `self` means this step's own calls; any other name is a step that this one depends on.
    """
    match template:
        case {"$from": str(source), **rest} if set(rest) <= {"pointer"}:
            if source == "self":
                return pointed_at(outputs, str(rest.get("pointer", "")))
            if source not in step.results:
                raise NoSuchValue(f"there is no result of {source}")
            return pointed_at(step.results[source].output, str(rest.get("pointer", "")))
        case Mapping():
            return {key: resolved(value, outputs, step) for key, value in template.items()}
        case list():
            return [resolved(value, outputs, step) for value in template]
        case _:
            return template


def pointed_at(value: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) points at, or raise NoSuchValue."""
    if pointer and not pointer.startswith("/"):
        raise NoSuchValue(f"{pointer!r} is no JSON pointer")
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise NoSuchValue(f"nothing is at {pointer}")
    return value


def _polled(agent: Agent, outcome: Outcome) -> Outcome:
    for _ in range(PATIENT_POLLS):
        outcome = agent.wait_call(outcome.call_id)
        if outcome.state not in {"running", "released"}:
            break
    return outcome


def _later(outcome: Outcome) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) + timedelta(seconds=outcome.retry_after_s or 60)).isoformat()


def _skills(step: Step) -> list[str]:
    return [str(call["skill"]) for call in step.instruction.get("calls", ())]


def _fail(agent: Agent, code: str, why: str) -> None:
    agent.result("failed", summary=_short(f"{code}: {why}"), output={"code": code})


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_SUMMARY else text[: LONGEST_SUMMARY - 1] + "…"
