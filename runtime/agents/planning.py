"""Hari with a model: the catalogue and the request in, a plan out; what was wrong with a refused plan goes back to the model."""

from collections.abc import Mapping
from typing import Any

from runtime.agents.prompting import block, prompt_of
from worka.agent import Agent
from worka.contract import Context, Message, ModelOffer, Planning, Proposal, ToolUse

LONGEST_REASON = 2000
MOST_SILENT_TURNS = 2
"""Answers without a tool call, before Hari gives up."""

_CALL = {
    "type": "object",
    "required": ["call_id", "skill", "input"],
    "properties": {"call_id": {"type": "string"}, "skill": {"type": "string"}, "input": {"type": "object"}},
}
TOOLS: tuple[Mapping[str, Any], ...] = (
    {
        "name": "propose_plan",
        "description": "Propose a plan for the request.",
        "input_schema": {
            "type": "object",
            "required": ["summary", "steps"],
            "properties": {
                "summary": {"type": "string", "description": "One sentence for the people who may have to approve."},
                "steps": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": [
                            "step_ref",
                            "agent_name",
                            "objective",
                            "instruction",
                            "allowed_skills",
                            "depends_on",
                        ],
                        "properties": {
                            "step_ref": {"type": "string"},
                            "agent_name": {"type": "string"},
                            "objective": {"type": "string"},
                            "instruction": {
                                "type": "object",
                                "required": ["kind"],
                                "properties": {
                                    "kind": {"enum": ["direct", "agentic"]},
                                    "calls": {"type": "array", "items": _CALL},
                                    "goal": {"type": "string"},
                                    "max_turns": {"type": "integer"},
                                    "output": {},
                                },
                            },
                            "allowed_skills": {"type": "array", "items": {"type": "string"}},
                            "depends_on": {"type": "array", "items": {"type": "string"}},
                        },
                    },
                },
            },
        },
    },
    {
        "name": "no_plan",
        "description": "Say that the request cannot be planned with this catalogue.",
        "input_schema": {
            "type": "object",
            "required": ["reason"],
            "properties": {"reason": {"type": "string", "description": "For the requester, in their language."}},
        },
    },
)


def plan_with_model(agent: Agent, context: Context, planning: Planning, model: ModelOffer) -> None:
    """Ask the model for a plan and propose it, again with every fault while attempts are left; or say why there is none."""
    prompt = prompt_of("hari")
    agent.log(f"no playbook reads this request; asking {model.name} (prompt {prompt.name} {prompt.version})")
    messages: list[dict[str, Any]] = [{"role": "user", "content": _told(context, planning)}]
    silent = 0
    while True:
        said = agent.message(
            model=model.name, max_tokens=model.max_tokens, system=prompt.text, messages=messages, tools=list(TOOLS),
            tool_choice={"type": "any"},
        )  # fmt: skip
        if not said.tool_uses:
            silent += 1
            if silent == MOST_SILENT_TURNS:
                agent.no_plan("the model proposed nothing")
                return
            messages += [_as_turn(said), {"role": "user", "content": "Answer with one tool call."}]
            continue
        first = said.tool_uses[0]
        if first.name != "propose_plan":
            agent.no_plan(str(first.input.get("reason") or "the model gives no reason").rstrip(".")[:LONGEST_REASON])
            return
        # What it was made from is the gateway's to say: a model cannot claim a reviewed playbook.
        proposal = agent.propose({key: value for key, value in first.input.items() if key in ("summary", "steps")})
        if proposal.state != "refused":
            agent.log(f"the plan is {proposal.state}")
            return
        agent.log(f"the plan was refused: {proposal.reason}")
        messages += [_as_turn(said), {"role": "user", "content": _refusals(said.tool_uses, proposal)}]


def _told(context: Context, planning: Planning) -> str:
    agents = [
        {"name": each.name, "kind": each.kind, "does": each.description, "skills": list(each.skills)}
        for each in planning.agents
    ]
    skills = [
        {"name": each.name, "does": each.description, "input": each.input_schema, "side_effect": each.side_effect}
        for each in planning.skills
    ]
    parts = [
        block("request", context.request),
        block("agents", agents),
        block("skills", skills, 200_000),
        block("limits", dict(planning.limits)),
        block("repositories", list(planning.repositories)),
    ]
    if context.memories:
        parts.append(block("memories", list(context.memories)))
    if planning.refused:
        parts.append(block("refused_before", [str(fault) for fault in planning.refused]))
    return "\n\n".join(parts)


def _as_turn(said: Message) -> dict[str, Any]:
    return {"role": "assistant", "content": [dict(each) for each in said.content] or "…"}


def _refusals(uses: tuple[ToolUse, ...], proposal: Proposal) -> list[dict[str, Any]]:
    """Answer every tool call of the turn: the first with what was wrong, the others with that they were not looked at."""
    faults = "\n".join(str(fault) for fault in proposal.faults) or proposal.reason
    return [
        {
            "type": "tool_result",
            "tool_use_id": use.id,
            "is_error": True,
            "content": block("refused", faults) if number == 0 else "Only the first call of a turn counts.",
        }
        for number, use in enumerate(uses)
    ]
