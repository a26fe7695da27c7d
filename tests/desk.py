"""A connector in memory, with a skill of each kind, and the policy that tests judge it by."""

from typing import Any

from audit.core.canonical import digest
from gateway.connector import CallContext, Connector, Outcome, SkillFailed, SkillSpec, digest_of

TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string", "maxLength": 200}},
    "required": ["text"],
    "additionalProperties": False,
}


def _spec(verb: str, side_effect: Any, *labels: Any, idempotent: bool = True, lock_key: str = "") -> SkillSpec:
    return SkillSpec(
        f"desk.{verb}",
        f"{verb} at the desk",
        TEXT,
        {"type": "object"},
        side_effect,
        frozenset(labels),
        idempotent=idempotent,
        lock_key=lock_key,
        timeout_s=5,
    )


class Desk(Connector):
    """Reads strangers' letters, writes notes, sends letters. What it did is in `done`; a test may make it fail."""

    skills = (
        _spec("read", "read_only", "reads_private", "untrusted_output"),
        _spec("peek", "read_only"),
        _spec("write", "write"),
        _spec("send", "external", "sends_outside", idempotent=False),
        _spec("stamp", "write", idempotent=False, lock_key="stamp:{args.text}"),
    )
    done: list[tuple[str, str]] = []
    fails: list[SkillFailed | Exception] = []

    def call(self, verb: str, arguments: dict[str, Any], context: CallContext) -> Outcome:
        if Desk.fails:
            raise Desk.fails.pop(0)
        Desk.done.append((verb, arguments["text"]))
        return Outcome({"said": arguments["text"].upper()})


SKILLS = tuple(
    {
        "name": spec.name,
        "description": spec.description,
        "input_schema": dict(spec.input_schema),
        "output_schema": dict(spec.output_schema),
        "digest": digest_of(spec),
        "side_effect": spec.side_effect,
        "labels": sorted(spec.labels),
        "lock_key": spec.lock_key,
        "idempotent": spec.idempotent,
        "timeout_s": spec.timeout_s,
    }
    for spec in Desk.skills
)

POLICY = """\
version: 1
agents:
  hari: {actions: [context.read, plan.propose]}
  ernest: {actions: [context.read, skill.invoke, artifact.read, artifact.write, step.finish], skills: ["desk.*"]}
  daneel: {actions: [context.read, artifact.read, step.finish]}
rules:
  - deny: {skill: desk.write, when: {args.text: {eq: forbidden}}, because: "nobody writes that"}
  - hold: {side_effect: external, ask: operators, because: "it leaves the house"}
  - hold: {tainted: true, side_effect: write, ask: operators, because: "the run has read text that strangers wrote"}
limits:
  run: {invocations: 20}
  step: {attempts: 3, backoff: 1s}
"""


def plan(*steps: dict[str, Any], summary: str = "A plan") -> dict[str, Any]:
    """Return a plan body."""
    return {"summary": summary, "steps": list(steps)}


def step(ref: str, *calls: tuple[str, str, Any], after: tuple[str, ...] = (), agent: str = "ernest") -> dict[str, Any]:
    """Return a direct step; each call is (call_id, verb, text)."""
    made = [{"call_id": name, "skill": f"desk.{verb}", "input": {"text": text}} for name, verb, text in calls]
    instruction = {"kind": "direct", "calls": made} if made else {"kind": "render", "template": "answer", "data": {}}
    return {
        "step_ref": ref,
        "agent_name": agent,
        "objective": f"do {ref}",
        "instruction": instruction,
        "allowed_skills": sorted({call["skill"] for call in made}),
        "depends_on": list(after),
    }


def digest_of_text(text: str) -> str:
    return digest({"text": text})
