"""Daneel tells people: drafts the answer to whoever asked, from what the steps have found. The gateway delivers it."""

from runtime.agents.freezes import asleep_while_frozen
from worka.agent import Agent
from worka.contract import Context, Step
from worka.errors import WorkaError


def work(agent: Agent) -> None:
    """Draft the answer that this step's instruction describes, as plain text; sleep while that is frozen."""
    with asleep_while_frozen(agent):
        _work(agent)


def _work(agent: Agent) -> None:
    context = agent.context()
    step = context.step
    if step is None:
        raise WorkaError("this job has no step to work")
    if step.instruction.get("kind") == "agentic":
        _write(agent, context, step)
        return
    if step.instruction.get("kind") != "render" or "artifact" in step.instruction:
        why = "bad_instruction: Daneel drafts an answer from a template, and stores nothing"
        agent.result("failed", summary=why, output={"code": "bad_instruction"})
        return
    from runtime.agents.rendering import CannotRender, render

    try:
        text = render(str(step.instruction.get("template", "")), step.instruction.get("data")).strip()
    except CannotRender as error:
        agent.result("failed", summary=f"bad_instruction: {error}"[:1000], output={"code": "bad_instruction"})
        return
    agent.result("succeeded", summary=text.partition("\n")[0][:1000], output={"text": text})


def _write(agent: Agent, context: Context, step: Step) -> None:
    """Let the model put the answer into the requester's language; it has no tools, and what it says is cleaned on its way."""
    from runtime.agents.prompting import prompt_of
    from runtime.agents.toolloop import GivenUp, Loop, told_of

    if context.model is None:
        why = "no_model: this answer needs a model, and none is configured that it may call"
        agent.result("failed", summary=why, output={"code": "no_model"})
        return
    told = told_of(context.request, step, (), str(step.instruction.get("goal", "")))
    try:
        text, _ = Loop(agent, step, context.model, prompt_of("daneel"), most_turns=1).run(told)
    except GivenUp as why:
        agent.result("failed", summary=f"{why.code}: {why}"[:1000], output={"code": why.code})
        return
    agent.result("succeeded", summary=text.partition("\n")[0][:1000], output={"text": text})
