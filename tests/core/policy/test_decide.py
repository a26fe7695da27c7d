"""What two manifests make of a request: the order of the reasons, the fold, and what nobody may get around."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import ClassVar

import pytest

from governance.core import compiled as compiled_module
from governance.core.compiled import CompiledManifest
from governance.core.evaluate import decide, explain_permissions
from governance.core.facts import ACTIONS, Request, SkillFact
from governance.core.quorum import Threshold
from governance.core.rule import Rule
from governance.core.verdicts import Deny, Require, Verdict, fold
from tests.core.policy.samples import HEAD, HEAD_LINES, OPEN_PLATFORM, PLATFORM, SKILLS, ask, call, compiled, layers

HOLD_ALL = "rules:\n  - hold: {skill: '*', ask: operators, because: it is asked about}\n"


def test_what_the_agents_list_permits_is_allowed_and_says_who_allowed_it():
    decision = decide(layers(), call("git.log"))

    assert (decision.effect, decision.code, decision.subcode) == ("allow", "", "")
    assert decision.reason == "Allowed: ernest may invoke git.log."
    assert [(each.layer, each.rule, each.line, each.effect) for each in decision.rules] == [
        ("platform", "agents", 2, "allow"), ("workspace", "agents", 4, "allow"),
    ]  # fmt: skip
    assert decision.thresholds == ()
    assert decision.expires is None


@pytest.mark.parametrize(
    "request_",
    [
        call("repo.delete"),
        call("git.log", agent="hari"),
        call("git.log", agent="nobody"),
        ask("memory.read"),
        ask("llm.call", model="gpt-5"),
        ask("plan.propose"),
        ask("root.become"),
        ask("context.read", agent="nobody"),
    ],
    ids=lambda request: f"{request.agent}-{request.action}-{request.skill}{request.model}",
)
def test_what_the_agents_list_does_not_permit_is_denied(request_):
    decision = decide(layers(), request_)

    assert (decision.effect, decision.code, decision.subcode) == ("deny", "policy_denied", "not_permitted")


def test_a_hold_never_allows_what_the_agents_list_does_not():
    decision = decide(layers(HOLD_ALL), call("repo.delete"))

    assert decision.effect == "deny"
    assert decision.is_outside
    assert decision.thresholds == ()
    assert decision.reason == "Denied: ernest may not invoke repo.delete."


@pytest.mark.parametrize("allowed", [frozenset(), frozenset({"git.log"}), None])
def test_a_skill_that_is_not_in_the_step_is_denied_also_when_a_hold_matches_it(allowed):
    decision = decide(layers(HOLD_ALL), call("files.write", allowed_skills=allowed))

    assert (decision.effect, decision.code, decision.subcode) == ("deny", "policy_denied", "not_in_step")
    assert decision.is_outside
    assert decision.reason == "Denied: files.write is not among the skills of the step."


def test_both_ways_of_being_outside_are_kept():
    decision = decide(layers(), call("repo.delete", allowed_skills=frozenset()))

    assert [each.rule for each in decision.rules] == ["agents", "step"]
    assert decision.subcode == "not_permitted"


def test_models_are_permitted_by_pattern():
    assert decide(layers(), ask("llm.call", model="claude-opus")).effect == "allow"


def test_the_platform_is_a_ceiling():
    narrow = "version: 1\nagents: {ernest: {actions: [context.read]}}\n"

    decision = decide(layers(platform=narrow), call("git.log"))

    assert decision.effect == "deny"
    assert [each.layer for each in decision.rules] == ["platform"]


def test_an_entry_of_its_own_beats_the_entry_of_everybody():
    head = 'version: 1\nagents:\n  "*": {actions: ["*"], skills: ["*"]}\n  ernest: {actions: [context.read]}\n'
    both = layers(head=head)

    assert decide(both, call("git.log")).effect == "deny"
    assert decide(both, call("git.log", agent="daneel")).effect == "allow"


@pytest.mark.parametrize(
    "manifests", [[], [PLATFORM], [compiled(HEAD)]], ids=["none", "platform alone", "workspace alone"]
)
def test_without_both_layers_everything_is_denied(manifests):
    decision = decide(manifests, ask("context.read"))

    assert (decision.effect, decision.subcode) == ("deny", "no_policy")
    assert "there is no active manifest of the" in decision.reason


def test_nobody_spoke_means_no():
    decision = fold([])

    assert (decision.effect, decision.code, decision.subcode) == ("deny", "policy_denied", "no_policy")
    assert decision.reason == "Denied: no manifest allows it."


@pytest.mark.parametrize(
    ("facts", "subcode", "words"),
    [
        ({"frozen_because": "fire drill"}, "frozen", "the workspace is frozen (fire drill)"),
        ({"agent_enabled": False}, "agent_disabled", "the agent ernest is disabled"),
        (
            {"skill_fact": replace(SKILLS["files.write"], enabled=False)},
            "skill_disabled",
            "the skill files.write is disabled",
        ),
    ],
)
def test_frozen_and_disabled_come_before_any_rule(facts, subcode, words):
    forbidding = layers("rules:\n  - deny: {skill: files.write, because: never}\n")

    decision = decide(forbidding, call("files.write", **facts))

    assert (decision.effect, decision.code, decision.subcode) == ("deny", "frozen", subcode)
    assert decision.reason == f"Denied: {words}."
    assert "never" not in str(decision.rules_as_json())


def test_a_freeze_is_said_even_to_who_is_not_permitted():
    assert decide(layers(), call("repo.delete", frozen_because="x", agent_enabled=False)).code == "frozen"


def test_a_disabled_skill_is_no_secret_door_for_who_may_not_have_it():
    assert decide(layers(), call("repo.delete", skill_fact=replace(SKILLS["repo.delete"], enabled=False))).is_outside


def test_a_step_may_hand_in_whatever_is_frozen():
    assert decide(layers(), ask("step.finish", frozen_because="x", agent_enabled=False)).effect == "allow"


@pytest.mark.parametrize(
    "facts",
    [
        {"ungathered": ("the taint of the step",)},
        {"skill_fact": None},
        {"skill_fact": SKILLS["git.log"]},
        {"skill_fact": replace(SKILLS["files.write"], side_effect="unheard_of")},
    ],
    ids=["named", "unknown skill", "another skill's fact", "unknown side effect"],
)
def test_a_fact_that_could_not_be_gathered_means_no(facts):
    decision = decide(layers(), call("files.write", **facts))

    assert (decision.effect, decision.code, decision.subcode) == ("deny", "policy_denied", "ungathered")
    assert "could not be found out" in decision.reason


def test_a_deny_beats_every_hold_and_all_verdicts_are_kept():
    both = layers("""rules:
  - hold: {skill: files.write, ask: operators, because: a person looks at it}
  - deny: {skill: "files.*", side_effect: write, because: nothing is written.}
""")

    decision = decide(both, call("files.write"))

    assert (decision.effect, decision.code, decision.subcode) == ("deny", "policy_denied", "rule")
    assert decision.reason == "Denied: nothing is written."
    assert decision.thresholds == ()
    assert [
        (each["layer"], each["rule"], each["line"], each["effect"], each["because"])
        for each in decision.rules_as_json()
    ] == [
        ("platform", "agents", 2, "allow", "ernest may invoke files.write"),
        ("workspace", "agents", 4, "allow", "ernest may invoke files.write"),
        ("workspace", 1, HEAD_LINES + 2, "hold", "a person looks at it"),
        ("workspace", 2, HEAD_LINES + 3, "deny", "nothing is written"),
    ]
    assert decision.manifests == tuple(manifest.digest for manifest in both)
    assert {each["manifest"] for each in decision.rules_as_json()} == set(decision.manifests)


def test_the_same_group_is_asked_once_with_the_larger_quorum_and_the_sooner_end():
    platform = OPEN_PLATFORM + "rules:\n  - hold: {side_effect: write, ask: operators, quorum: 2, expires: 1h}\n"
    both = layers("""rules:
  - hold: {skill: files.write, ask: operators, because: it is a document}
  - hold: {skill: files.write, thresholds: [{ask: maintainers, approve: 2, reject: 2}, {ask: operators, reject: 3}]}
""", platform=platform)  # fmt: skip

    decision = decide(both, call("files.write"))

    assert (decision.effect, decision.code, decision.subcode) == ("hold", "", "rule")
    assert decision.thresholds == (Threshold("operators", 2, 1), Threshold("maintainers", 2, 2))
    assert decision.expires == timedelta(hours=1)
    assert (
        decision.reason == "Held for 2 of operators and 2 of maintainers: a rule asks people first; it is a document."
    )
    held = [each for each in decision.rules_as_json() if each["effect"] == "hold"]
    assert [each["expires_s"] for each in held] == [3600, 86400, 86400]
    assert held[2]["thresholds"] == [
        {"group": "maintainers", "approve": 2, "reject": 2}, {"group": "operators", "approve": 1, "reject": 3},
    ]  # fmt: skip


def test_a_hold_that_says_nothing_about_time_ends_after_a_day():
    assert decide(layers(HOLD_ALL), call()).expires == timedelta(hours=24)


def test_the_order_of_rules_does_not_matter():
    lines = [
        "  - hold: {skill: files.write, ask: operators}",
        "  - deny: {skill: files.write}",
        "  - hold: {skill: '*', ask: maintainers}",
    ]

    answers = {decide(layers("rules:\n" + "\n".join(order) + "\n"), call()).effect for order in (lines, lines[::-1])}

    assert answers == {"deny"}


def test_a_deny_can_speak_on_every_action_and_a_hold_on_calls_only():
    both = layers("rules:\n  - deny: {agent: daneel}\n  - hold: {agent: ernest, ask: operators}\n")

    assert decide(both, ask("context.read", agent="daneel")).effect == "deny"
    assert decide(both, ask("context.read")).effect == "allow"
    assert decide(both, call("git.log")).effect == "hold"


def test_a_deny_of_a_model_touches_no_skill():
    both = layers("rules:\n  - deny: {model: '*-opus'}\n")

    assert decide(both, ask("llm.call", model="claude-opus")).effect == "deny"
    assert decide(both, ask("llm.call", model="claude-haiku")).effect == "allow"
    assert decide(both, call("git.log")).effect == "allow"


def test_tainted_means_text_that_strangers_wrote():
    both = layers("rules:\n  - hold: {tainted: true, side_effect: [write, external], ask: operators}\n")

    assert decide(both, call(taint=frozenset({"untrusted_output"}))).effect == "hold"
    assert decide(both, call(taint=frozenset({"reads_private"}))).effect == "allow"
    assert decide(both, call("files.list", taint=frozenset({"untrusted_output"}))).effect == "allow"


def test_the_labels_of_a_skill_count_from_the_intent_of_the_call():
    both = layers("rules:\n  - hold: {skill: 'git.*', tainted: true, ask: operators}\n")
    request = call("git.log", taint=frozenset())

    assert decide(both, request).effect == "hold"
    assert request.taint == frozenset()


def test_all_of_the_taint_must_have_been_read_and_any_of_the_labels_fits():
    both = layers(
        "rules:\n  - hold: {taint: [reads_private, untrusted_output], labels: [sends_outside, untrusted_output], ask: operators}\n"
    )

    assert decide(both, call("mail.send", taint=frozenset({"reads_private"}))).effect == "allow"
    assert decide(both, call("mail.send", taint=frozenset({"reads_private", "untrusted_output"}))).effect == "hold"
    assert decide(both, call("files.write", taint=frozenset({"reads_private", "untrusted_output"}))).effect == "allow"


def test_a_possible_repeat_asks_the_operators_unless_a_manifest_names_others():
    platform = OPEN_PLATFORM + "approvals: {repeat: {ask: operators, quorum: 2, because: the platform asks}}\n"
    named = "approvals: {repeat: {ask: maintainers, expires: 2h}}\n"
    request = call("mail.send", possible_repeat=True)

    default = decide(layers(), request)
    workspace = decide(layers(named), request)
    both = decide(layers(named, platform=platform), request)

    assert default.thresholds == (Threshold("operators"),)
    assert (default.effect, default.subcode) == ("hold", "possible_repeat")
    assert "an earlier attempt" in default.reason
    assert workspace.thresholds == (Threshold("maintainers"),)
    assert workspace.expires == timedelta(hours=2)
    assert workspace.rules[-1].rule == "approvals.repeat"
    assert workspace.rules[-1].line == HEAD_LINES + 1
    assert both.thresholds == (Threshold("operators", 2), Threshold("maintainers"))


def test_a_possible_repeat_gets_around_no_denial():
    assert decide(layers(), call("repo.delete", possible_repeat=True)).effect == "deny"


def test_names_that_agents_make_up_are_harmless_in_sentences():
    name = "git.\x1b[31m\u202ewrite\n" + "x" * 500

    decision = decide(layers(), call(name, agent="hari"))

    assert decision.reason.isprintable()
    assert len(decision.reason) < 300


def test_names_that_agents_make_up_fill_no_memory(monkeypatch):
    monkeypatch.setattr(compiled_module, "MAX_BENCHES", 5)
    both = layers()

    for number in range(20):
        decide(both, call(f"git.x{number}", skill_fact=None))
        decide(both, call(f"up.x{number}", skill_fact=None))
    answers = {decide(both, call("git.log")).effect for _ in range(2)}

    assert answers == {"allow"}
    assert len(both[1]._benches) == 5
    assert not any("up." in key[2] for key in both[1]._benches)


def test_a_decision_is_replayed_from_what_was_stored():
    both = layers("rules:\n  - hold: {skill: files.write, when: {args.path: {glob: 'a*'}}, ask: operators}\n")
    request = call(
        args={"path": "a.md"}, taint=frozenset({"reads_private"}), requester="ada", run_source="api", workspace="acme"
    )

    stored = [CompiledManifest.from_json(manifest.as_json()) for manifest in both]
    again = Request.from_json(request.as_json())

    assert again == request
    assert decide(stored, again) == decide(both, request)
    assert decide(stored, again).effect == "hold"


def test_requests_round_trip_for_every_action():
    for action in ACTIONS:
        request = ask(action, ungathered=("taint",))
        assert Request.from_json(request.as_json()) == request


@dataclass(frozen=True, kw_only=True)
class Broken(Rule):
    """Fail at every request."""

    def judge(self, request: Request) -> Verdict | None:
        raise ZeroDivisionError


@dataclass(frozen=True, kw_only=True)
class OnTuesdays(Rule):
    """Speak only for one requester."""

    judged: ClassVar[list[str]] = []

    def judge(self, request: Request) -> Verdict | None:
        self.judged.append(request.requester)
        return Deny("not for them") if request.requester == "eve" else None


def _with(monkeypatch, name: str, kind: type[Rule], text: str) -> list[CompiledManifest]:
    known = {"deny": Rule, name: kind}
    for module in ("governance.core.rule", "governance.core.manifest", "governance.core.compiled"):
        monkeypatch.setattr(f"{module}.all_rules", lambda: known)
    return layers(text)


def test_a_rule_that_breaks_denies(monkeypatch):
    both = _with(monkeypatch, "broken", Broken, "rules:\n  - broken: {skill: files.write}\n")

    decision = decide(both, call())

    assert (decision.effect, decision.subcode) == ("deny", "rule_failed")
    assert decision.reason == "Denied: rule 1 could not be applied (ZeroDivisionError)."
    assert decide(both, call("git.log")).effect == "allow"


def test_a_rule_of_another_kind_is_one_class_and_judges_only_within_its_reach(monkeypatch):
    both = _with(monkeypatch, "on_tuesdays", OnTuesdays, "rules:\n  - on_tuesdays: {skill: files.write}\n")

    effects = [
        decide(both, call(name, requester=who)).effect for name in ("files.write", "git.log") for who in ("eve", "ada")
    ]

    assert effects == ["deny", "allow", "allow", "allow"]
    assert OnTuesdays.judged == ["eve", "ada"]
    (permission,) = explain_permissions(both, ["ernest"], {"files.write": SKILLS["files.write"]})
    assert (permission.effect, permission.conditions) == ("allow", ())


def test_a_require_alone_allows_nothing():
    assert fold(layers(HOLD_ALL)[1].judge(call())[1:]).effect == "deny"


def test_verdicts_have_their_defaults():
    assert Require("x", ()).expires == timedelta(hours=24)
    assert SkillFact("a.b", "write") == SkillFact("a.b", "write", input_schema={"type": "object"})
