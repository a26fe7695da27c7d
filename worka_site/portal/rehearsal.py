"""What a request would lead to, before it is made: the playbook that reads it, its plan, and what policy would say.

Nothing is stored and nothing is called. The planner and the door decide again, on what is true then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from gateway.playbooks import playbooks
from governance.catalogue import catalogue_of
from governance.core.evaluate import decide, decide_plan
from governance.core.facts import INVOKE, TAINTS, PlanFacts, PlannedStep, Request, SkillFact
from governance.core.plan import ParsedPlan, parse_plan
from governance.core.verdicts import Decision
from governance.gather import active_manifests
from governance.models import Agent, AgentKind
from governance.people import Asker
from runtime.agents.matching import Surroundings
from runtime.agents.playbook import BadPlaybook, Playbook, compile_playbook
from worka_site.portal.wording import approvals_of, deed, without_prefix


@dataclass(frozen=True, slots=True)
class RehearsedCall:
    """A call that the plan names, and what policy would say to it: `allow`, `hold` or `deny`."""

    deed: str
    effect: str
    because: str
    asks: str = ""


@dataclass(frozen=True, slots=True)
class RehearsedStep:
    """A step of the plan, with its calls."""

    number: int
    objective: str
    agent: str
    calls: tuple[RehearsedCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would happen: the playbook's plan as steps, or in `trouble` why there would be none. `plan` is policy's word on it."""

    playbook: str = ""
    trouble: str = ""
    steps: tuple[RehearsedStep, ...] = ()
    plan: RehearsedCall | None = None
    asked: tuple[str, ...] = field(default=())


def books() -> list[Playbook]:
    """Return the installed playbooks that can be read, as the planner does."""
    found = []
    for offer in playbooks():
        try:
            found.append(compile_playbook(offer["text"], digest=offer["digest"]))
        except BadPlaybook:
            continue
    return found


def rehearse(asker: Asker, text: str) -> Rehearsal:
    """Say what would come of a request: which playbook reads it, and what policy would allow, hold or deny."""
    around = Surroundings(tuple(str(root) for root in settings.WORKA_REPOSITORY_ROOTS))
    troubles = []
    for book in books():
        reading = book.read(text, around)
        if reading is None:
            continue
        if reading.trouble:
            troubles.append(Rehearsal(book.name, f"The playbook {book.name} reads this, but {reading.trouble}."))
            continue
        return _rehearsed(asker, book.name, book.plan_for(reading.values))
    return (
        troubles[0]
        if troubles
        else Rehearsal(trouble="No playbook reads this, and no model is configured: the run would end without a plan.")
    )


def _rehearsed(asker: Asker, name: str, body: Mapping[str, object]) -> Rehearsal:
    manifests = active_manifests(asker.workspace_id)
    catalogue = catalogue_of(manifests)
    parsed = parse_plan(body, catalogue)
    if parsed.faults:
        return Rehearsal(name, f"The plan of the playbook {name} would be refused: {parsed.faults[0].message}.")
    taint: dict[str, frozenset[str]] = {}
    steps, asked = [], set()
    for number, step in enumerate(parsed.steps, start=1):
        read = frozenset[str]().union(*(taint[ref] for ref in step.depends_on))
        calls = []
        for call in step.calls:
            fact = catalogue.skills[call.skill]
            read |= fact.labels & TAINTS
            decision = decide(manifests, Request(
                INVOKE, step.agent_name, agent_enabled=True, skill=call.skill, skill_fact=fact, args=call.input,
                allowed_skills=frozenset(step.allowed_skills), taint=read, **_circumstances(asker),
            ))  # fmt: skip
            asked |= {threshold.group for threshold in decision.thresholds}
            calls.append(_said(deed(call.skill, call.input), decision))
        taint[step.step_ref] = read
        steps.append(RehearsedStep(number, step.objective, step.agent_name, tuple(calls)))
    judged = decide_plan(manifests, _plan_facts(asker, parsed, catalogue.skills))
    asked |= {threshold.group for threshold in judged.thresholds}
    return Rehearsal(name, "", tuple(steps), _said("The plan", judged), tuple(sorted(asked)))


def _plan_facts(asker: Asker, parsed: ParsedPlan, skills: Mapping[str, SkillFact]) -> PlanFacts:
    planner = Agent.objects.filter(kind=AgentKind.PLANNER).order_by("created_at").first()
    steps = tuple(
        PlannedStep(step.step_ref, step.agent_name, tuple(skills[name] for name in step.allowed_skills))
        for step in parsed.steps
    )
    return PlanFacts(
        agent=planner.name if planner else "",
        agent_enabled=bool(planner and planner.enabled),
        steps=steps,
        taint=frozenset(),
        **_circumstances(asker),
    )


def _circumstances(asker: Asker) -> dict[str, Any]:
    # A freeze is said on its own: it stops everything, and hides what policy would say once it is lifted.
    return {"workspace": str(asker.workspace_id), "requester": str(asker.principal), "run_source": "web"}


def _said(done: str, decision: Decision) -> RehearsedCall:
    asks = " and ".join(approvals_of(each.approve, each.group) for each in decision.thresholds)
    return RehearsedCall(done, str(decision.effect), without_prefix(decision.reason), asks)
