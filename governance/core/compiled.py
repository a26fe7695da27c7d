"""A manifest that is ready to judge: immutable, addressed by the digest of its normal form, indexed by what is asked."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from audit.core.canonical import digest
from audit.core.codes import Code
from audit.core.refusals import Fault, Refused
from governance.core.ceiling import Limits
from governance.core.egress import Target
from governance.core.facts import CALL_MODEL, INVOKE, TAINTED, PlanFacts, Request, SkillFact
from governance.core.match import Test, any_glob, condition
from governance.core.quorum import Threshold
from governance.core.rule import Rule, all_rules, rule_from_json
from governance.core.verdicts import Allow, Deny, Ground, Require, Spoken
from governance.core.wording import excerpt

FORMAT = 1
EVERYBODY = "*"
MAX_BENCHES = 4096
_NO_LABELS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """All that one agent may ask for."""

    actions: frozenset[str]
    skills: tuple[str, ...]
    models: tuple[str, ...]
    has_skill: Callable[[str], bool] = field(compare=False, repr=False)
    has_model: Callable[[str], bool] = field(compare=False, repr=False)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "AgentEntry":
        """Make an entry from its normal form."""
        skills, models = tuple(value["skills"]), tuple(value["models"])
        return cls(frozenset(value["actions"]), skills, models, any_glob(skills), any_glob(models))

    def has(self, action: str, skill: str, model: str) -> bool:
        """Say whether this entry has the action, with this skill or model."""
        if action not in self.actions:
            return False
        return self.has_skill(skill) if action == INVOKE else self.has_model(model) if action == CALL_MODEL else True


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with its number (from 1), its line, and its reach as closures."""

    index: int
    line: int
    kind: str
    rule: Rule
    actions: frozenset[str]
    has_agent: Callable[[str], bool] | None
    has_skill: Callable[[str], bool] | None
    has_model: Callable[[str], bool] | None
    tests: tuple[Test, ...]
    judge: Callable[[Request], Spoken | None]

    @classmethod
    def of(cls, index: int, line: int, kind: str, rule: Rule, *, layer: str = "", manifest: str = "") -> "CompiledRule":
        """Compile a rule; its conditions on taint and fields become tests, the rest its reach."""
        needed = frozenset(rule.taint) | (frozenset({TAINTED}) if rule.tainted else frozenset())
        tests = [condition(name, operands) for name, operands in rule.when.items()]
        if needed:
            tests.insert(0, lambda request: needed <= request.taint)
        agent, skill, model = (any_glob(listed) if listed else None for listed in (rule.agent, rule.skill, rule.model))
        return cls(
            index,
            line,
            kind,
            rule,
            rule.actions,
            agent,
            skill,
            model,
            tuple(tests),
            _judge(index, line, rule, layer, manifest),
        )

    def reaches(
        self, action: str, agent: str, skill: str, model: str, side_effect: str, labels: frozenset[str]
    ) -> bool:
        """Say whether the rule can speak about such a request at all."""
        return (
            action in self.actions
            and (self.has_agent is None or self.has_agent(agent))
            and (self.has_model is None or self.has_model(model))
            and self.reaches_skill(skill, side_effect, labels)
        )

    def reaches_skill(self, skill: str, side_effect: str, labels: frozenset[str]) -> bool:
        """Say whether such a skill lies within reach."""
        rule = self.rule
        return (
            (self.has_skill is None or self.has_skill(skill))
            and (not rule.side_effect or side_effect in rule.side_effect)
            and (not rule.labels or not labels.isdisjoint(rule.labels))
        )


def _judge(index: int, line: int, rule: Rule, layer: str, manifest: str) -> Callable[[Request], Spoken | None]:
    def say(request: Request) -> Spoken | None:
        verdict = rule.judge(request)
        return None if verdict is None else Spoken(verdict, layer, manifest, index, line)

    if not rule.is_certain:
        return say
    # What is always the same is said once, here, and not at every decision.
    said = say(Request(next(iter(rule.actions), ""), "", agent_enabled=True))
    return lambda request: said


@dataclass(frozen=True, slots=True)
class Approval:
    """Who is asked about plans, or about possible repeats; `when` has the conditions on a plan, all of which must fit."""

    thresholds: tuple[Threshold, ...]
    expires: timedelta
    because: str
    line: int
    when: Mapping[str, tuple[str, ...]]

    @classmethod
    def from_json(cls, value: Mapping[str, Any], line: int) -> "Approval":
        """Make an approval from its normal form."""
        asked = tuple(Threshold(each["ask"], each["approve"], each["reject"]) for each in value["thresholds"])
        when = {key: tuple(listed) for key, listed in value.get("when", {}).items()}
        return cls(asked, timedelta(seconds=value["expires"]), value["because"], line, when)

    def concerns(self, plan: PlanFacts) -> bool:
        """Say whether a plan fits every condition; an approval without conditions concerns every plan."""
        skills = [fact for step in plan.steps for fact in step.skills]
        found: dict[str, Iterable[str]] = {
            "any_side_effect": (fact.side_effect for fact in skills),
            "any_label": (label for fact in skills for label in fact.labels),
            "any_skill": (fact.name for fact in skills),
            "any_agent": (step.agent for step in plan.steps),
            "any_source": (plan.run_source,),
        }
        return all(any(map(any_glob(patterns), found[key])) for key, patterns in self.when.items())

    def require(self, ground: Ground) -> Require:
        """Return the verdict that asks them."""
        return Require(self.because, self.thresholds, self.expires, ground)


@dataclass(frozen=True, slots=True)
class Bench:
    """Who speaks about one kind of request: the agent's entry, and the rules within whose reach it lies."""

    permission: Spoken
    rules: tuple[CompiledRule, ...]

    @property
    def is_permitted(self) -> bool:
        return isinstance(self.permission.verdict, Allow)


@dataclass(frozen=True)
class CompiledManifest:
    """One layer of policy. Two of them are equal if their digests are."""

    layer: str
    digest: str
    agents: Mapping[str, AgentEntry] = field(compare=False, repr=False)
    rules: tuple[CompiledRule, ...] = field(compare=False, repr=False)
    limits: Limits = field(compare=False, repr=False)
    approvals_plan: Approval | None = field(compare=False, repr=False)
    approvals_repeat: Approval | None = field(compare=False, repr=False)
    redact: tuple[str, ...] = field(compare=False, repr=False)
    egress: tuple[Target, ...] = field(compare=False, repr=False)
    warnings: tuple[Fault, ...] = field(compare=False, repr=False)
    _normal: Mapping[str, Any] = field(compare=False, repr=False)
    _lines: Mapping[str, Any] = field(compare=False, repr=False)
    # A memory of look-ups, not of decisions: the same key always gives the same bench.
    _benches: dict[tuple[Any, ...], Bench] = field(default_factory=dict, compare=False, repr=False)

    def entry_of(self, agent: str) -> AgentEntry | None:
        """Return what the agent may ask for: its own entry, else the one of everybody (`*`), else nothing."""
        return self.agents.get(agent) or self.agents.get(EVERYBODY)

    def permits(self, agent: str, action: str, *, skill: str = "", model: str = "") -> bool:
        """Say whether the agent's entry has the action; `skill.invoke` and `llm.call` with this skill or model."""
        entry = self.entry_of(agent)
        return entry is not None and entry.has(action, skill, model)

    def skills_of(self, agent: str) -> tuple[str, ...]:
        """Return the patterns of the skills that the agent may ask for."""
        entry = self.entry_of(agent)
        return entry.skills if entry is not None and INVOKE in entry.actions else ()

    def models_of(self, agent: str) -> tuple[str, ...]:
        """Return the patterns of the models that the agent may call."""
        entry = self.entry_of(agent)
        return entry.models if entry is not None and CALL_MODEL in entry.actions else ()

    def bench(self, action: str, agent: str, skill: str = "", model: str = "", fact: SkillFact | None = None) -> Bench:
        """Find who speaks about such a request; asked again, it is a single look-up."""
        side_effect, labels = (fact.side_effect, fact.labels) if fact is not None else ("", _NO_LABELS)
        key = (action, agent, skill, model, side_effect, labels)
        found = self._benches.get(key)
        if found is None:
            found = Bench(
                self._permission(action, agent, skill, model), tuple(r for r in self.rules if r.reaches(*key))
            )
            # Agents can invent names: what they are not permitted is not remembered, nor is more than a bounded number.
            if found.is_permitted and len(self._benches) < MAX_BENCHES:
                self._benches[key] = found
        return found

    def judge(self, request: Request) -> list[Spoken]:
        """Collect what the agent's entry and every rule within reach say about a request."""
        bench = self.bench(request.action, request.agent, request.skill, request.model, request.skill_fact)
        spoken = [bench.permission]
        for compiled in bench.rules:
            try:
                for test in compiled.tests:
                    if not test(request):
                        break
                else:
                    said = compiled.judge(request)
                    if said is not None:
                        spoken.append(said)
            except Exception as error:  # noqa: BLE001  # a rule that breaks must not be a rule that is silent
                failed = Deny(
                    f"rule {compiled.index} could not be applied ({type(error).__name__})", Ground.RULE_FAILED
                )
                spoken.append(Spoken(failed, self.layer, self.digest, compiled.index, compiled.line))
        return spoken

    def speak(self, verdict: Allow | Require | Deny, section: str, line: int) -> Spoken:
        """Say something in the name of a section of this manifest that is not a rule."""
        return Spoken(verdict, self.layer, self.digest, section, line)

    def _permission(self, action: str, agent: str, skill: str, model: str) -> Spoken:
        lines = self._lines["agents"]
        line = lines.get(agent) or lines.get(EVERYBODY) or self._lines["agents_key"]
        deed = deed_of(action, skill, model)
        if self.permits(agent, action, skill=skill, model=model):
            return self.speak(Allow(f"{excerpt(agent)} may {deed}"), "agents", line)
        because = f"{excerpt(agent)} may not {deed}"
        return self.speak(Deny(because, Ground.NOT_PERMITTED), "agents", line)

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored, from which `from_json` makes the same manifest."""
        return {
            "format": FORMAT,
            "digest": self.digest,
            "manifest": deepcopy(dict(self._normal)),
            "lines": deepcopy(dict(self._lines)),
            "warnings": [warning.as_json() for warning in self.warnings],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "CompiledManifest":
        """Read what `as_json` wrote, or refuse with `invalid_manifest` what is not exactly that."""
        if value.get("format") != FORMAT or digest(value.get("manifest")) != value.get("digest"):
            raise Refused("the stored manifest is not what was compiled", code=Code.INVALID_MANIFEST)
        missing = {kind for rule in value["manifest"]["rules"] for kind in rule} - set(all_rules())
        if missing:
            raise Refused(f"there is no rule named {', '.join(sorted(missing))} any more", code=Code.INVALID_MANIFEST)
        warnings = tuple(Fault(each["path"], each["code"], each["message"]) for each in value["warnings"])
        return build(value["manifest"], value["lines"], warnings)


def build(normal: Mapping[str, Any], lines: Mapping[str, Any], warnings: tuple[Fault, ...]) -> CompiledManifest:
    """Compile a normal form that is known to be valid."""
    normal, lines = deepcopy(dict(normal)), deepcopy(dict(lines))
    own = digest(normal)
    named = [(kind, given) for rule in normal["rules"] for kind, given in rule.items()]
    rules = tuple(
        CompiledRule.of(index, line, kind, rule_from_json(kind, given), layer=normal["layer"], manifest=own)
        for index, ((kind, given), line) in enumerate(zip(named, lines["rules"], strict=True), 1)
    )
    approvals = {
        name: Approval.from_json(given, lines["approvals"][name]) for name, given in normal["approvals"].items()
    }
    return CompiledManifest(
        layer=normal["layer"],
        digest=own,
        agents=MappingProxyType({name: AgentEntry.from_json(entry) for name, entry in normal["agents"].items()}),
        rules=rules,
        limits=Limits.from_json(normal["limits"], normal["layer"]),
        approvals_plan=approvals.get("plan"),
        approvals_repeat=approvals.get("repeat"),
        redact=tuple(normal["redact"]),
        egress=tuple(map(Target.from_json, normal.get("egress", ()))),
        warnings=warnings,
        _normal=normal,
        _lines=lines,
    )


_DEEDS = {
    "context.read": "read its context",
    "plan.propose": "propose a plan",
    "artifact.read": "read artifacts",
    "artifact.write": "write artifacts",
    "memory.read": "read memories",
    "step.finish": "finish a step",
}


def deed_of(action: str, skill: str, model: str) -> str:
    """Say what is asked for, after "may"; names come from agents and are made harmless."""
    if action == INVOKE:
        return f"invoke {excerpt(skill)}"
    if action == CALL_MODEL:
        return f"call the model {excerpt(model)}"
    return _DEEDS.get(action) or f"do {excerpt(action)}"
