"""Ask both layers, keep every answer, add them up. Reads no clock, no row and no network: stored facts replay a decision.

Order: a freeze or a disabled agent; the agent's entry and the step's list; a disabled skill; facts that are missing; only
then rules. A call outside the entry or the list is denied without asking any rule, so no hold can let it through.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from audit.core.codes import Code
from governance.core.ceiling import Limits, strictest
from governance.core.compiled import CompiledManifest
from governance.core.facts import FINISH, INVOKE, SIDE_EFFECTS, TAINTS, PlanFacts, Request, SkillFact
from governance.core.quorum import Threshold
from governance.core.verdicts import DEFAULT_GROUP, Decision, Deny, Effect, Ground, Require, Spoken, fold
from governance.core.wording import excerpt, listed

__all__ = [
    "Decision",
    "Permission",
    "decide",
    "decide_plan",
    "explain_permissions",
    "limits_of",
    "permitted_skills",
    "redact_of",
]

_LAYERS = frozenset({"platform", "workspace"})
_REPEAT = Require(
    "it may have been done already, in an earlier attempt", (Threshold(DEFAULT_GROUP),), ground=Ground.REPEAT
)


def decide(manifests: Sequence[CompiledManifest], request: Request) -> Decision:
    """Decide on a request by the platform's manifest and the workspace's; both must be there.

    What a skill's own labels taint counts from the intent of the call, whether the facts have it already or not.
    """
    digests = tuple(manifest.digest for manifest in manifests)
    refused = _before_rules(manifests, request)
    if refused:
        return fold(refused, digests)
    fact = request.skill_fact
    if fact is not None and not request.taint.issuperset(fact.labels & TAINTS):
        request = replace(request, taint=request.taint | (fact.labels & TAINTS))
    spoken = [each for manifest in manifests for each in manifest.judge(request)]
    if request.possible_repeat:
        spoken += _repeat(manifests)
    return fold(spoken, digests)


def decide_plan(manifests: Sequence[CompiledManifest], plan: PlanFacts) -> Decision:
    """Decide on a proposed plan: whether it may be made, its agents may have its skills, and people must agree first."""
    digests = tuple(manifest.digest for manifest in manifests)
    request = plan.request()
    refused = _before_rules(manifests, request)
    if refused:
        return fold(refused, digests)
    spoken = [each for manifest in manifests for each in manifest.judge(request)]
    spoken += _outside_steps(manifests, plan)
    for manifest in manifests:
        approval = manifest.approvals_plan
        if approval is not None and approval.concerns(plan):
            spoken.append(manifest.speak(approval.require(Ground.PLAN), "approvals.plan", approval.line))
    return fold(spoken, digests)


def permitted_skills(manifests: Sequence[CompiledManifest], agent: str, skills: Mapping[str, SkillFact]) -> set[str]:
    """Return the names of the skills that the agent may be given in a plan.

    Left out are those that a layer does not permit, that are disabled, or that a rule denies whatever the circumstances.
    """
    return {
        permission.skill
        for permission in explain_permissions(manifests, [agent], skills)
        if permission.effect != Effect.DENY
    }


@dataclass(frozen=True, slots=True)
class Permission:
    """What an agent may expect when it asks for a skill: `effect` always holds, `conditions` may make it stricter.

    `spoken` has the verdicts behind the effect, `conditions` those of rules that depend on taint or on the input.
    """

    agent: str
    skill: str
    effect: str
    reason: str
    spoken: tuple[Spoken, ...]
    conditions: tuple[Spoken, ...]


def explain_permissions(
    manifests: Sequence[CompiledManifest], agents: Iterable[str], skills: Mapping[str, SkillFact]
) -> list[Permission]:
    """Say for each agent and skill, in that order, what the manifests make of it before anything is asked."""
    found: list[Permission] = []
    for agent in agents:
        for fact in skills.values():
            # The step's list, taint and input are not known yet: what depends on them is a condition.
            request = Request(
                INVOKE,
                agent,
                agent_enabled=True,
                skill=fact.name,
                skill_fact=fact,
                allowed_skills=frozenset({fact.name}),
            )
            spoken = _before_rules(manifests, request)
            conditions: list[Spoken] = []
            if not spoken:
                for manifest in manifests:
                    bench = manifest.bench(INVOKE, agent, fact.name, "", fact)
                    spoken.append(bench.permission)
                    for compiled in bench.rules:
                        said = compiled.judge(request) if compiled.rule.is_certain else None
                        if said is not None:
                            (conditions if compiled.tests else spoken).append(said)
            decision = fold(spoken)
            found.append(
                Permission(agent, fact.name, decision.effect, decision.reason, tuple(spoken), tuple(conditions))
            )
    return found


def limits_of(manifests: Sequence[CompiledManifest]) -> Limits:
    """Return the limits in force: of every limit the strictest."""
    return strictest(manifest.limits for manifest in manifests)


def redact_of(manifests: Sequence[CompiledManifest]) -> tuple[str, ...]:
    """Return the names of the maskers in force: those of both layers."""
    return tuple(sorted({name for manifest in manifests for name in manifest.redact}))


def _before_rules(manifests: Sequence[CompiledManifest], request: Request) -> list[Spoken]:
    """Return the denials that need no rule; the first kind that applies ends the search."""
    return _stopped(request) or _outside(manifests, request) or _unknown(request)


def _stopped(request: Request) -> list[Spoken]:
    # A step may always hand in: refusing that would lose its checkpoint, and do nothing for safety.
    if request.action == FINISH:
        return []
    found: list[Deny] = []
    if request.frozen_because:
        found.append(Deny(f"the workspace is frozen ({excerpt(request.frozen_because)})", Ground.FROZEN, Code.FROZEN))
    if not request.agent_enabled:
        found.append(Deny(f"the agent {excerpt(request.agent)} is disabled", Ground.AGENT_DISABLED, Code.FROZEN))
    return [Spoken(verdict) for verdict in found]


def _outside(manifests: Sequence[CompiledManifest], request: Request) -> list[Spoken]:
    missing = _LAYERS - {manifest.layer for manifest in manifests}
    if missing:
        because = f"there is no active manifest of the {listed(sorted(missing))}"
        return [Spoken(Deny(because, Ground.NO_POLICY))]
    found: list[Spoken] = []
    for manifest in manifests:
        bench = manifest.bench(request.action, request.agent, request.skill, request.model, request.skill_fact)
        if not bench.is_permitted:
            found.append(bench.permission)
    if request.action == INVOKE and request.skill not in (request.allowed_skills or ()):
        because = f"{excerpt(request.skill)} is not among the skills of the step"
        found.append(Spoken(Deny(because, Ground.NOT_IN_STEP), rule="step"))
    return found


def _unknown(request: Request) -> list[Spoken]:
    """Deny what cannot be judged because a fact is missing, or contradicts another."""
    fact, missing = request.skill_fact, list(request.ungathered)
    if request.action == INVOKE:
        if fact is None or fact.name != request.skill or fact.side_effect not in SIDE_EFFECTS:
            missing.append(f"the skill {excerpt(request.skill)}")
        elif not fact.enabled:
            return [Spoken(Deny(f"the skill {fact.name} is disabled", Ground.SKILL_DISABLED, Code.FROZEN))]
    return [Spoken(Deny(f"{name} could not be found out", Ground.UNGATHERED)) for name in missing]


def _repeat(manifests: Sequence[CompiledManifest]) -> list[Spoken]:
    """Ask whom the manifests name for possible repeats; where none does, the group `operators`."""
    named = [(manifest, manifest.approvals_repeat) for manifest in manifests]
    found = [
        manifest.speak(approval.require(Ground.REPEAT), "approvals.repeat", approval.line)
        for manifest, approval in named
        if approval is not None
    ]
    return found or [Spoken(_REPEAT, rule="approvals.repeat")]


def _outside_steps(manifests: Sequence[CompiledManifest], plan: PlanFacts) -> list[Spoken]:
    """Deny a plan that gives an agent a skill that it may not have."""
    found: list[Spoken] = []
    for step in plan.steps:
        for fact in step.skills:
            if not fact.enabled:
                found.append(
                    Spoken(Deny(f"step {excerpt(step.ref)}: the skill {fact.name} is disabled", Ground.SKILL_DISABLED))
                )
            for manifest in manifests:
                permission = manifest.bench(INVOKE, step.agent, fact.name, "", fact).permission
                if isinstance(permission.verdict, Deny):
                    because = f"step {excerpt(step.ref)}: {permission.verdict.because}"
                    found.append(replace(permission, verdict=replace(permission.verdict, because=because)))
    return found
