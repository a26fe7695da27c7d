"""How long a decision takes over 50 and 1 000 rules, beside Cedar with its policies parsed once: `python -m benchmarks.decide`.

Both engines get the same rules and the same requests, and their answers are compared before anything is timed. Cedar knows
no hold: its rules carry `@effect("hold")`, and the answer is read from the rules that it says were determining.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import cedarpy

from governance.core.compiled import CompiledManifest
from governance.core.evaluate import decide
from governance.core.facts import Request, SkillFact
from governance.core.manifest import compile_manifest

VERBS = ("list", "read", "create", "update", "delete")
SIDE_EFFECTS = ("read_only", "read_only", "write", "external", "destructive")
SCHEMA = {"type": "object", "properties": {"repo": {"type": "string"}, "amount": {"type": "integer"}}}
PLATFORM = 'version: 1\nagents: {"*": {actions: ["*"], skills: ["*"], models: ["*"]}}\n'
HEAD = 'version: 1\nagents: {ernest: {actions: [skill.invoke], skills: ["*"]}}\nrules:\n'
GOALS_US = {50: 20, 1000: 100}
ROUNDS = 300


def skills(connectors: int) -> dict[str, SkillFact]:
    """Make five skills per connector."""
    return {
        f"c{number}.{verb}": SkillFact(f"c{number}.{verb}", side_effect, input_schema=SCHEMA)
        for number in range(connectors)
        for verb, side_effect in zip(VERBS, SIDE_EFFECTS, strict=True)
    }


def rules(count: int) -> list[tuple[str, str]]:
    """Write rules of five kinds, each in both languages."""
    found = [
        ("hold: {side_effect: [external, destructive], ask: operators}",
         '@effect("hold") forbid(principal, action, resource) when { ["external", "destructive"].contains(context.side_effect) };'),
        ("hold: {tainted: true, side_effect: [write], ask: operators}",
         '@effect("hold") forbid(principal, action, resource) when { context.tainted && context.side_effect == "write" };'),
    ]  # fmt: skip
    number = 0
    while len(found) < count:
        name = f"c{number}"
        found += [
            (f'deny: {{skill: "{name}.del*"}}',
             f'@effect("deny") forbid(principal, action, resource) when {{ context.skill like "{name}.del*" }};'),
            (f"hold: {{skill: {name}.create, when: {{args.repo: {{not_in: [acme/sandbox, acme/lab]}}}}, ask: operators}}",
             (f'@effect("hold") forbid(principal, action, resource) when {{ context.skill == "{name}.create" && '
             '!(["acme/sandbox", "acme/lab"].contains(context.repo)) };')),
            (f'deny: {{skill: "{name}.*", when: {{args.repo: {{glob: "evil/*"}}}}}}',
             f'@effect("deny") forbid(principal, action, resource) when {{ context.skill like "{name}.*" && context.repo like "evil/*" }};'),
            (f"hold: {{skill: {name}.update, when: {{args.amount: {{gt: 100}}}}, ask: operators}}",
             f'@effect("hold") forbid(principal, action, resource) when {{ context.skill == "{name}.update" && context.amount > 100 }};'),
            (f'deny: {{skill: {name}.read, tainted: true, when: {{args.repo: {{starts_with: "secret/"}}}}}}',
             (f'@effect("deny") forbid(principal, action, resource) when {{ context.skill == "{name}.read" && context.tainted && '
             'context.repo like "secret/*" };')),
        ]  # fmt: skip
        number += 1
    return found[:count]


def requests(known: dict[str, SkillFact]) -> list[Request]:
    """Ask for every verb of three connectors, with arguments that some rules mind and some do not."""
    names = [
        name
        for number in (0, len(known) // 10, len(known) // 5 - 1)
        for name in known
        if name.startswith(f"c{number}.")
    ]
    return [
        Request(
            "skill.invoke", "ernest", agent_enabled=True, skill=name, skill_fact=known[name],
            args={"repo": repo, "amount": amount}, allowed_skills=frozenset({name}), taint=taint,
        )
        for name in names
        for repo, amount in (("acme/sandbox", 5), ("evil/x", 5), ("secret/x", 500))
        for taint in (frozenset[str](), frozenset({"untrusted_output"}))
    ]  # fmt: skip


class Cedar:
    """Cedar over the same rules: policies and entities parsed once."""

    def __init__(self, count: int) -> None:
        texts = ["permit(principal, action, resource);", *(cedar for _, cedar in rules(count))]
        self.policies = cedarpy.PolicySet.from_str("\n".join(texts))
        self.entities = cedarpy.Entities.from_json_str("[]")
        self.effects = {f"policy{number}": "deny" if '"deny"' in text else "hold" for number, text in enumerate(texts)}

    def asked(self, request: Request) -> dict[str, Any]:
        fact = request.skill_fact
        assert fact is not None
        return {
            "principal": 'Agent::"ernest"', "action": 'Action::"skill.invoke"', "resource": 'Skill::"any"',
            "context": {
                "skill": request.skill, "side_effect": fact.side_effect, "tainted": "untrusted_output" in request.taint, **request.args,
            },
        }  # fmt: skip

    def answer(self, asked: dict[str, Any]) -> str:
        result = cedarpy.is_authorized(asked, self.policies, self.entities)
        if result.allowed:
            return "allow"
        assert not result.diagnostics.errors
        return "deny" if any(self.effects[name] == "deny" for name in result.diagnostics.reasons) else "hold"


def timed(answer: Callable[[Any], Any], asked: Sequence[Any], rounds: int) -> tuple[float, float]:
    """Return p50 and p99 of single answers, in µs."""
    took: list[int] = []
    clock = time.perf_counter_ns
    for _ in range(rounds):
        for request in asked:
            started = clock()
            answer(request)
            took.append(clock() - started)
    took.sort()
    return took[len(took) // 2] / 1000, took[int(len(took) * 0.99)] / 1000


def compiled(count: int, known: dict[str, SkillFact]) -> list[CompiledManifest]:
    text = HEAD + "".join(f"  - {ours}\n" for ours, _ in rules(count))
    given: dict[str, Any] = {"skills": known, "agents": ["ernest"], "groups": ["operators"]}
    return [compile_manifest(PLATFORM, layer="platform", **given), compile_manifest(text, layer="workspace", **given)]


def main() -> int:
    """Print a table; the exit code says whether both engines gave the same answers, never how fast they were."""
    print(f"{'rules':>6}  {'engine':<22}{'p50 µs':>10}{'p99 µs':>10}   goal p50")
    for count, goal in GOALS_US.items():
        known = skills(max(3, count // 5))
        started = time.perf_counter()
        manifests = compiled(count, known)
        compile_ms = (time.perf_counter() - started) * 1000
        started = time.perf_counter()
        cedar = Cedar(count)
        parse_ms = (time.perf_counter() - started) * 1000
        asked = requests(known)
        for_cedar = [cedar.asked(request) for request in asked]
        ours = [decide(manifests, request).effect for request in asked]
        theirs = [cedar.answer(request) for request in for_cedar]
        if ours != theirs:
            print(f"{count:>6}  the engines do not agree")
            return 1
        p50, p99 = timed(lambda request, layers=manifests: decide(layers, request), asked, ROUNDS)
        print(f"{count:>6}  {'worka, both layers':<22}{p50:>10.1f}{p99:>10.1f}   < {goal} µs")
        p50, p99 = timed(cedar.answer, for_cedar, max(3, ROUNDS * 5 // count))
        print(f"{count:>6}  {'cedarpy, parsed once':<22}{p50:>10.1f}{p99:>10.1f}")
        answers = ", ".join(f"{ours.count(effect)} {effect}" for effect in ("allow", "hold", "deny"))
        print(
            f"        same {len(asked)} answers ({answers}); compiled in {compile_ms:.0f} ms, Cedar parsed in {parse_ms:.0f} ms"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
