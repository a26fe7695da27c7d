"""What a compiled manifest is: one digest per meaning, the same after storing, with warnings where it is odd."""

from dataclasses import FrozenInstanceError
from datetime import timedelta
from decimal import Decimal

import pytest

from audit.core.canonical import canonical, digest
from audit.core.refusals import Refused
from governance.core.ceiling import Limits, PlanLimits, RunLimits, StepLimits, strictest
from governance.core.compiled import CompiledManifest
from governance.core.evaluate import decide, limits_of, redact_of
from governance.core.facts import SkillFact
from governance.core.manifest import compile_manifest
from governance.core.quorum import Threshold
from tests.core.policy.samples import (
    AGENTS,
    HEAD,
    HEAD_LINES,
    OPEN_PLATFORM,
    PLATFORM,
    SKILLS,
    call,
    compiled,
    layers,
    warnings_of,
)

FULL = HEAD + """rules:
  - deny: {skill: [files.write, git.log], when: {args.limit: {ge: 5, lt: "9.5"}}}
  - hold: {side_effect: external, ask: operators, quorum: 2, expires: 1d2h3m4s, because: It leaves the house.}
  - hold: {skill: mail.send, when: {args.host: {cidr: ["10.0.0.0/8"]}}, thresholds: [{ask: maintainers, approve: 2, reject: 3}]}
limits:
  plan: {steps: 7, depth: 3, attempts: 2}
  run: {wall_clock: 90m, max_age: 2d, usd: "2.50", tokens: 5000, invocations: 9}
  step: {timeout: 1m30s, attempts: 1, backoff: 0s}
approvals:
  plan: {when: {any_side_effect: [write]}, ask: operators, quorum: 2, expires: 3h, because: look first}
  repeat: {ask: maintainers}
redact: [token, email]
"""  # fmt: skip


def test_a_manifest_reads_as_it_is_written():
    manifest = compiled(FULL)

    assert manifest.layer == "workspace"
    assert manifest.limits == Limits(
        PlanLimits(7, 3, 2),
        RunLimits(timedelta(minutes=90), timedelta(days=2), Decimal("2.50"), 5000, 9),
        StepLimits(timedelta(seconds=90), 1, timedelta(0)),
    )
    assert manifest.redact == ("email", "token")
    assert [(rule.kind, rule.index, rule.line - HEAD_LINES) for rule in manifest.rules] == [
        ("deny", 1, 2),
        ("hold", 2, 3),
        ("hold", 3, 4),
    ]
    held = manifest.rules[1].rule
    assert held.because == "It leaves the house"
    assert held.expires == timedelta(days=1, hours=2, minutes=3, seconds=4)
    assert manifest.rules[2].rule.asks == (Threshold("maintainers", 2, 3),)
    assert manifest.rules[0].rule.asks == ()
    plan, repeat = manifest.approvals_plan, manifest.approvals_repeat
    assert plan.thresholds == (Threshold("operators", 2, 1),)
    assert (plan.expires, plan.because, plan.when) == (
        timedelta(hours=3),
        "look first",
        {"any_side_effect": ("write",)},
    )
    assert repeat.thresholds == (Threshold("maintainers"),)
    assert repeat.expires == timedelta(hours=24)


def test_reads_answer_who_may_do_what():
    manifest = compiled(FULL)

    assert manifest.permits("hari", "plan.propose")
    assert not manifest.permits("ernest", "plan.propose")
    assert not manifest.permits("nobody", "context.read")
    assert manifest.permits("ernest", "skill.invoke", skill="git.log")
    assert not manifest.permits("ernest", "skill.invoke", skill="repo.delete")
    assert manifest.permits("hari", "llm.call", model="claude-x")
    assert not manifest.permits("hari", "llm.call", model="gpt-5")
    assert manifest.skills_of("ernest") == ("files.*", "git.*", "mail.*")
    assert manifest.skills_of("hari") == manifest.skills_of("nobody") == ()
    assert manifest.models_of("hari") == ("claude-*",)
    assert manifest.models_of("daneel") == ()
    assert PLATFORM.skills_of("anybody") == ("*",)


def test_what_is_stored_gives_the_same_manifest():
    manifest = compiled(FULL)

    stored = manifest.as_json()
    again = CompiledManifest.from_json(stored)

    assert canonical(stored)
    assert again == manifest
    assert again.as_json() == stored
    assert (again.limits, again.redact, again.warnings) == (manifest.limits, manifest.redact, manifest.warnings)
    assert [rule.rule for rule in again.rules] == [rule.rule for rule in manifest.rules]
    assert again.approvals_plan == manifest.approvals_plan
    assert manifest.digest == digest(stored["manifest"])


def test_what_was_tampered_with_is_refused():
    stored = compiled(FULL).as_json()
    stored["manifest"]["rules"].pop(0)

    with pytest.raises(Refused, match="not what was compiled") as caught:
        CompiledManifest.from_json(stored)

    assert caught.value.code == "invalid_manifest"
    for other in ({}, {**compiled(FULL).as_json(), "format": 2}):
        with pytest.raises(Refused):
            CompiledManifest.from_json(other)


def test_a_stored_rule_of_a_kind_that_is_gone_is_refused_by_name():
    stored = compiled(FULL).as_json()
    stored["manifest"]["rules"].append({"office_hours": {}})
    stored["digest"] = digest(stored["manifest"])

    with pytest.raises(Refused, match="there is no rule named office_hours any more"):
        CompiledManifest.from_json(stored)


def test_a_manifest_cannot_be_changed():
    manifest = compiled(FULL)
    manifest.as_json()["manifest"]["rules"].clear()

    assert len(manifest.as_json()["manifest"]["rules"]) == 3
    with pytest.raises(FrozenInstanceError):
        manifest.layer = "platform"
    with pytest.raises(TypeError):
        manifest.agents["eve"] = manifest.agents["ernest"]


def test_the_digest_is_of_the_meaning_not_of_the_text():
    other = FULL.replace("rules:", "# a comment\nrules:", 1).replace("90m", "1h30m").replace('"2.50"', '"2.5"')
    other = other.replace("side_effect: external", "side_effect: [external]").replace(
        "[token, email]", "[email, token]"
    )
    other = other.replace("ask: maintainers}", "ask: maintainers, quorum: 1, expires: 24h}")

    assert compiled(other).digest == compiled(FULL).digest
    assert compiled(other).rules[0].line == compiled(FULL).rules[0].line + 1


@pytest.mark.parametrize(
    ("old", "new"),
    [("quorum: 2, expires: 1d2h3m4s", "quorum: 3, expires: 1d2h3m4s"), ("steps: 7", "steps: 8"), ("look first", "look twice"),
     ("ge: 5", "gt: 5"), ("redact: [token, email]", "redact: [token]"), ('skills: ["git.*"', 'skills: ["git.l*"')],
)  # fmt: skip
def test_every_change_of_meaning_changes_the_digest(old: str, new: str):
    assert old in FULL
    assert compiled(FULL.replace(old, new)).digest != compiled(FULL).digest


def test_the_layers_have_different_digests():
    text = 'version: 1\nagents: {"*": {actions: [context.read]}}\n'

    assert compiled(text).digest != compiled(text, "platform").digest


def test_what_is_left_out_has_its_default():
    manifest = compiled(HEAD)

    assert manifest.limits == Limits()
    assert manifest.limits.as_json() == {
        "plan": {"steps": 20, "depth": 8, "attempts": 3},
        "run": {"wall_clock": 7200, "max_age": 604800, "usd": "10", "tokens": 2000000, "invocations": 200},
        "step": {"timeout": 900, "attempts": 3, "backoff": 10},
    }
    assert Limits.from_json(manifest.limits.as_json()) == manifest.limits
    assert (manifest.rules, manifest.redact, manifest.approvals_plan, manifest.approvals_repeat) == ((), (), None, None)


def test_of_every_limit_the_strictest_layer_wins():
    platform = (
        OPEN_PLATFORM
        + 'limits: {plan: {steps: 5}, run: {usd: "100", max_age: 1d}, step: {attempts: 9, backoff: 30s}}\n'
    )
    both = layers('limits: {plan: {steps: 50, depth: 2}, run: {usd: "0.50"}, step: {backoff: 1s}}\n', platform=platform)

    limits = limits_of(both)

    assert limits.plan == PlanLimits(steps=5, depth=2, attempts=3)
    assert limits.run == RunLimits(usd=Decimal("0.50"), max_age=timedelta(days=1))
    assert limits.step == StepLimits(attempts=3, backoff=timedelta(seconds=30))


def test_a_platform_that_says_nothing_about_limits_is_no_ceiling():
    both = layers("limits: {plan: {steps: 150}, step: {backoff: 0s}}\n")

    assert limits_of(both).plan.steps == 150
    assert limits_of(both).step.backoff == timedelta(0)
    assert strictest([]) == Limits()


def test_the_maskers_of_both_layers_are_in_force():
    assert redact_of(layers("redact: [email]\n", platform=OPEN_PLATFORM + "redact: [token]\n")) == ("email", "token")
    assert redact_of(layers()) == ()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", []),
        ("rules:\n  - deny: {skill: 'github.*'}\n", ["never_speaks", "matches_nothing"]),
        ("rules:\n  - deny: {agent: 'b*'}\n", ["never_speaks", "matches_nothing"]),
        ("rules:\n  - deny: {skill: repo.delete}\n", ["never_speaks"]),
        ("rules:\n  - hold: {skill: 'git.*', side_effect: write, ask: operators}\n", ["never_speaks"]),
        ("rules:\n  - hold: {agent: daneel, ask: operators}\n", ["never_speaks"]),
        ("rules:\n  - hold: {agent: hari, skill: git.log, ask: operators}\n", ["never_speaks"]),
        ("rules:\n  - deny: {agent: daneel}\n", []),
        ("rules:\n  - deny: {side_effect: destructive}\n", []),
        ("rules:\n  - deny: {}\n", ["everything"]),
        ("rules:\n  - deny: {tainted: true}\n", []),
        ("rules:\n  - hold: {skill: git.log, ask: operators, quorum: 3}\n", ["quorum_hardly_met"]),
        ("rules:\n  - hold: {skill: git.log, ask: operators, quorum: 4}\n", ["quorum_not_met"]),
        ("rules:\n  - hold: {skill: git.log, ask: empty}\n", ["quorum_not_met"]),
        ("approvals: {plan: {ask: empty}, repeat: {ask: operators, quorum: 3}}\n", ["quorum_not_met", "quorum_hardly_met"]),
        ("approvals: {plan: {ask: operators, when: {any_skill: 'x.*'}}}\n", ["matches_nothing"]),
    ],
)  # fmt: skip
def test_what_is_odd_is_a_warning(lines: str, expected: list[str]):
    assert warnings_of(HEAD + lines) == expected


@pytest.mark.parametrize(
    ("agents", "expected"),
    [
        (
            "{ernest: {actions: ['*'], skills: ['*'], models: ['*']}, hari: {actions: [context.read]}, daneel: {actions: [step.finish]}}",
            [],
        ),
        (
            "{ernest: {actions: [skill.invoke], models: [x]}, hari: {actions: [context.read]}}",
            ["not_listed", "without_effect", "without_effect"],
        ),
        ("{'*': {actions: [context.read]}}", ["everybody"]),
    ],
)
def test_odd_entries_are_warnings(agents: str, expected: list[str]):
    assert warnings_of(f"version: 1\nagents: {agents}\n") == expected


def test_everybody_is_as_it_should_be_on_the_platform():
    assert warnings_of(OPEN_PLATFORM, "platform") == []


def test_a_warning_says_where_and_what():
    (warning,) = compiled(HEAD + "rules:\n  - deny: {skill: repo.delete}\n").warnings

    assert warning.path == f"{HEAD_LINES + 2}:5"
    assert warning.message == "the rule can never speak: no agent that it fits may ask for anything that it fits"


def test_without_counts_of_members_nothing_is_said_about_them():
    text = HEAD + "rules:\n  - hold: {skill: git.log, ask: empty}\n"

    assert (
        compile_manifest(text, layer="workspace", skills=SKILLS, agents=AGENTS, groups=["empty", "operators"]).warnings
        == ()
    )


def test_a_workspace_without_operators_must_say_who_is_asked_about_repeats():
    def codes(text: str) -> list[str]:
        manifest = compile_manifest(text, layer="workspace", skills=SKILLS, agents=AGENTS, groups={"maintainers": 9})
        return [warning.code for warning in manifest.warnings]

    assert codes(HEAD) == ["nobody_asked"]
    assert codes(HEAD + "approvals: {repeat: {ask: maintainers}}\n") == []


def test_a_manifest_of_a_house_with_more_connectors_compiles():
    text = """version: 1
agents:                                  # all that an agent may ask for
  hari:   {actions: [context.read, plan.propose, llm.call, memory.read], models: ["claude-*"]}
  ernest: {actions: [context.read, skill.invoke, llm.call, artifact.read, artifact.write, memory.read, step.finish],
           skills: ["git.*", "files.*", "http.get", "github.*"], models: ["claude-*"]}
  daneel: {actions: [context.read, skill.invoke, artifact.read, step.finish], skills: ["slack.post_message"]}
rules:
  - deny: {skill: "github.delete_*", because: "agents never delete repositories"}
  - hold: {side_effect: [external, destructive], ask: operators, because: "it leaves the house"}
  - hold: {tainted: true, side_effect: [write, external], ask: operators, quorum: 1, expires: 4h,
           because: "the run has read text that strangers wrote"}
  - hold: {skill: "github.create_issue", when: {args.repo: {not_in: ["acme/sandbox"]}}, ask: maintainers}
limits:
  plan: {steps: 20, depth: 8, attempts: 3}
  run:  {wall_clock: 2h, max_age: 7d, usd: "10", tokens: 2000000, invocations: 200}
  step: {timeout: 15m, attempts: 3, backoff: 10s}
approvals:
  plan: {when: {any_side_effect: [destructive]}, ask: operators}
redact: [email, token]
"""
    schema = {"properties": {"repo": {"type": "string"}}}
    effects = {
        "github.create_issue": "external",
        "github.delete_repo": "destructive",
        "http.get": "read_only",
        "slack.post_message": "external",
    }
    more = {name: SkillFact(name, effect, input_schema=schema) for name, effect in effects.items()}
    both = [PLATFORM, compiled(text, skills={**SKILLS, **more})]

    def groups(repo: str) -> set[str]:
        request = call("github.create_issue", {"repo": repo}, skill_fact=more["github.create_issue"])
        return {each.group for each in decide(both, request).thresholds}

    assert both[1].warnings == ()
    assert both[1].limits == Limits()
    assert groups("acme/sandbox") == {"operators"}
    assert groups("acme/other") == {"operators", "maintainers"}
    assert decide(both, call("github.delete_repo", skill_fact=more["github.delete_repo"])).effect == "deny"
