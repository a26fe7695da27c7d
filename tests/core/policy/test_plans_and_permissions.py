"""What policy makes of a plan before it starts, and what screens and planners are told about skills."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from governance.core.evaluate import decide_plan, explain_permissions, permitted_skills
from governance.core.facts import PlanFacts, PlannedStep
from governance.core.quorum import Threshold
from tests.core.policy.samples import HEAD, HEAD_LINES, OPEN_PLATFORM, SKILLS, layers


def plan(*skills: str, **facts: Any) -> PlanFacts:
    steps = (PlannedStep("work", "ernest", tuple(SKILLS[name] for name in skills)), PlannedStep("tell", "daneel"))
    return PlanFacts(**{"agent": "hari", "agent_enabled": True, "steps": steps, **facts})


def approval(when: str) -> str:
    return f"approvals: {{plan: {{ask: operators, quorum: 2, expires: 3h{when}}}}}\n"


def test_a_plan_that_nobody_asks_about_is_allowed():
    decision = decide_plan(layers(), plan("git.log", "files.write"))

    assert decision.effect == "allow"
    assert decision.reason == "Allowed: hari may propose a plan."


@pytest.mark.parametrize(
    ("when", "facts", "effect"),
    [
        ("", plan("git.log"), "hold"),
        (", when: {any_side_effect: [external, destructive]}", plan("git.log", "mail.send"), "hold"),
        (", when: {any_side_effect: [external, destructive]}", plan("git.log", "files.write"), "allow"),
        (", when: {any_side_effect: [external]}", plan(), "allow"),
        (", when: {any_label: sends_outside}", plan("mail.send"), "hold"),
        (", when: {any_label: sends_outside}", plan("git.log"), "allow"),
        (", when: {any_skill: ['files.*']}", plan("files.list"), "hold"),
        (", when: {any_skill: ['files.*']}", plan("git.log"), "allow"),
        (", when: {any_agent: daneel}", plan("git.log"), "hold"),
        (", when: {any_source: [webhook, slack]}", plan("git.log", run_source="slack"), "hold"),
        (", when: {any_source: [webhook, slack]}", plan("git.log", run_source="api"), "allow"),
        (", when: {any_side_effect: write, any_agent: ernest}", plan("files.write"), "hold"),
        (", when: {any_side_effect: write, any_agent: hari}", plan("files.write"), "allow"),
    ],
)
def test_a_plan_is_held_when_every_condition_fits(when: str, facts: PlanFacts, effect: str):
    decision = decide_plan(layers(approval(when)), facts)

    assert decision.effect == effect


def test_a_held_plan_says_who_is_asked_by_which_line():
    decision = decide_plan(layers(approval("")), plan("git.log"))

    assert decision.thresholds == (Threshold("operators", 2, 1),)
    assert decision.expires == timedelta(hours=3)
    assert (decision.code, decision.subcode) == ("", "plan")
    assert decision.reason == "Held for 2 of operators: plans like this are agreed to first."
    assert (decision.rules[-1].rule, decision.rules[-1].line) == ("approvals.plan", HEAD_LINES + 1)


def test_both_layers_are_asked_about_plans():
    decision = decide_plan(
        layers(approval(""), platform=OPEN_PLATFORM + "approvals: {plan: {ask: maintainers}}\n"), plan()
    )

    assert {each.group for each in decision.thresholds} == {"operators", "maintainers"}


@pytest.mark.parametrize(
    ("facts", "code", "subcode"),
    [
        ({"agent": "ernest"}, "policy_denied", "not_permitted"),
        ({"frozen_because": "x"}, "frozen", "frozen"),
        ({"agent_enabled": False}, "frozen", "agent_disabled"),
        ({"ungathered": ("the skills",)}, "policy_denied", "ungathered"),
    ],
)
def test_a_plan_is_denied_for_the_reasons_that_a_call_is(facts: dict[str, Any], code: str, subcode: str):
    decision = decide_plan(layers(approval("")), plan("git.log", **facts))

    assert (decision.effect, decision.code, decision.subcode) == ("deny", code, subcode)


def test_a_plan_that_gives_an_agent_what_it_may_not_have_is_denied_also_when_people_would_be_asked():
    decision = decide_plan(layers(approval("")), plan("git.log", "repo.delete"))

    assert (decision.effect, decision.subcode) == ("deny", "not_permitted")
    assert decision.reason == "Denied: step work: ernest may not invoke repo.delete."
    assert decision.rules[-1].layer == "workspace"


def test_a_plan_with_a_disabled_skill_is_denied():
    step = PlannedStep("work", "ernest", (replace(SKILLS["git.log"], enabled=False),))

    decision = decide_plan(layers(), plan(steps=(step,)))

    assert (decision.effect, decision.code, decision.subcode) == ("deny", "policy_denied", "skill_disabled")


def test_rules_judge_the_proposal_of_a_plan():
    both = layers(
        "rules:\n  - deny: {action: plan.propose, when: {source: {eq: webhook}}, because: not from outside}\n"
    )

    assert decide_plan(both, plan(run_source="webhook")).reason == "Denied: not from outside."
    assert decide_plan(both, plan(run_source="api")).effect == "allow"


def test_plans_are_replayed_from_what_was_stored():
    facts = plan("git.log", "mail.send", taint=frozenset({"untrusted_output"}), requester="ada", workspace="acme")

    assert PlanFacts.from_json(facts.as_json()) == facts


RULES = """rules:
  - deny: {skill: files.list, because: nobody lists}
  - deny: {skill: git.log, when: {args.repository: {starts_with: /home}}}
  - hold: {skill: mail.send, ask: operators, because: it leaves the house}
  - hold: {skill: files.write, tainted: true, ask: operators}
"""


def test_a_planner_is_offered_only_what_could_be_allowed():
    skills = {**SKILLS, "git.log": replace(SKILLS["git.log"], enabled=False)}

    assert permitted_skills(layers(RULES), "ernest", SKILLS) == {"git.log", "files.write", "mail.send"}
    assert permitted_skills(layers(RULES), "ernest", skills) == {"files.write", "mail.send"}
    assert permitted_skills(layers(RULES), "hari", SKILLS) == set()
    assert permitted_skills(layers(RULES)[1:], "ernest", SKILLS) == set()


def test_the_ceiling_narrows_what_is_offered():
    platform = 'version: 1\nagents: {"*": {actions: ["*"], skills: ["git.*"]}}\n'

    assert permitted_skills(layers(platform=platform), "ernest", SKILLS) == {"git.log"}


def test_permissions_say_what_always_holds_and_what_may_come_on_top():
    found = {
        (each.agent, each.skill): each for each in explain_permissions(layers(RULES), ["ernest", "daneel"], SKILLS)
    }

    assert len(found) == 2 * len(SKILLS)
    effects = {skill: found["ernest", skill].effect for skill in SKILLS}
    assert effects == {
        "git.log": "allow",
        "files.list": "deny",
        "files.write": "allow",
        "mail.send": "hold",
        "repo.delete": "deny",
    }
    assert found["ernest", "files.list"].reason == "Denied: nobody lists."
    assert found["ernest", "mail.send"].reason == "Held for operators: it leaves the house."
    assert [(each.rule, each.effect) for each in found["ernest", "git.log"].conditions] == [(2, "deny")]
    assert [(each.rule, each.effect) for each in found["ernest", "files.write"].conditions] == [(4, "hold")]
    assert found["ernest", "mail.send"].conditions == ()
    assert {found["daneel", skill].effect for skill in SKILLS} == {"deny"}


def test_every_agent_of_the_head_is_known():
    assert all(f"  {name}:" in HEAD for name in ("hari", "ernest", "daneel"))
