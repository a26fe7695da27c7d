"""The manifests that come with the product: what a new workspace may do, and what asks a person first."""

from pathlib import Path

import pytest

import governance
from governance.core.compiled import CompiledManifest
from governance.core.egress import Egress, Reach, may_reach
from governance.core.evaluate import decide, decide_plan, explain_permissions, limits_of, redact_of
from governance.core.facts import PlanFacts, PlannedStep, SkillFact
from governance.core.manifest import compile_manifest
from governance.core.quorum import Threshold
from tests.core.policy.samples import ask, call

FOLDER = Path(governance.__file__).parent / "policies"
READS = frozenset({"reads_private", "untrusted_output"})
TEXT = {"type": "string"}
SKILLS = {
    fact.name: fact
    for fact in (
        *(SkillFact(f"git.{verb}", "read_only", READS, verb, {"properties": {"repository": TEXT}}, idempotent=True)
          for verb in ("log", "diff", "diffstat", "show", "shortlog", "grep")),
        *(SkillFact(f"files.{verb}", "read_only", frozenset({"reads_private"}), verb, {"properties": {"path": TEXT}}, idempotent=True)
          for verb in ("list", "read", "search")),
        SkillFact("files.write", "write", frozenset(), "w", {"properties": {"path": TEXT, "content": {}}}, idempotent=True),
        SkillFact("http.get", "read_only", frozenset({"untrusted_output", "sends_outside"}), "g", {"properties": {"url": TEXT}}, idempotent=True),
    )
}  # fmt: skip
LATER = {
    fact.name: fact
    for fact in (
        SkillFact("mail.send", "external", frozenset({"sends_outside"}), "m", {"properties": {"to": TEXT}}),
        SkillFact("repo.delete", "destructive", frozenset(), "x", {"properties": {"repository": TEXT}}),
    )
}
AGENTS = ["hari", "ernest", "daneel"]


def shipped(name: str, layer: str, text: str = "") -> CompiledManifest:
    text = text or (FOLDER / name).read_text()
    return compile_manifest(text, layer=layer, skills={**SKILLS, **LATER}, agents=AGENTS, groups={"operators": 2})


PLATFORM = shipped("platform.yaml", "platform")
WORKSPACE = shipped("default.yaml", "workspace")
BOTH = [PLATFORM, WORKSPACE]
# The same rules for a workspace that has been given more skills.
WIDER = [
    PLATFORM,
    shipped(
        "", "workspace", (FOLDER / "default.yaml").read_text().replace('["git.*", "files.*", "http.get"]', '["*"]')
    ),
]


def test_they_compile_without_a_warning_for_the_skills_that_there_are():
    for name, layer in (("platform.yaml", "platform"), ("default.yaml", "workspace")):
        text = (FOLDER / name).read_text()
        compiled = compile_manifest(text, layer=layer, skills=SKILLS, agents=AGENTS, groups={"operators": 2})
        assert compiled.warnings == ()


def test_reading_is_free_and_taints():
    for name in sorted(SKILLS.keys() - {"files.write", "http.get"}):
        request = call(name, {"repository": "/r", "path": "x"}, skill_fact=SKILLS[name], taint=READS)
        assert decide(BOTH, request).effect == "allow"


def test_a_write_by_a_run_that_has_read_strangers_text_asks_the_operators():
    write = call("files.write", {"path": "reports/x.md"}, skill_fact=SKILLS["files.write"], taint=READS)

    decision = decide(BOTH, write)

    assert decision.effect == "hold"
    assert decision.thresholds == (Threshold("operators", 1, 1),)
    assert decision.reason == "Held for operators: the run has read text that strangers wrote."


def test_a_write_by_a_run_that_has_read_nothing_is_free():
    assert decide(BOTH, call("files.write", {"path": "notes.md"}, skill_fact=SKILLS["files.write"])).effect == "allow"


@pytest.mark.parametrize("path", [".bashrc", "a/.git/hooks", ".ssh/authorized_keys"])
def test_hidden_documents_are_never_written(path: str):
    assert decide(BOTH, call("files.write", {"path": path}, skill_fact=SKILLS["files.write"])).effect == "deny"


@pytest.mark.parametrize("agent", ["hari", "daneel"])
@pytest.mark.parametrize("skill", sorted(SKILLS))
def test_only_ernest_has_skills(agent: str, skill: str):
    assert decide(BOTH, call(skill, agent=agent, skill_fact=SKILLS[skill])).is_outside


def test_only_hari_plans_and_everybody_does_their_own_part():
    assert [agent for agent in AGENTS if decide(BOTH, ask("plan.propose", agent)).effect == "allow"] == ["hari"]
    assert all(decide(BOTH, ask("context.read", agent)).effect == "allow" for agent in AGENTS)
    assert [agent for agent in AGENTS if decide(BOTH, ask("step.finish", agent)).effect == "allow"] == [
        "ernest",
        "daneel",
    ]
    assert [agent for agent in AGENTS if decide(BOTH, ask("artifact.write", agent)).effect == "allow"] == ["ernest"]


def test_skills_of_the_future_are_outside():
    assert decide(BOTH, call("mail.send", skill_fact=LATER["mail.send"])).is_outside


@pytest.mark.parametrize(
    ("skill", "taint", "effect"),
    [
        ("mail.send", frozenset(), "hold"),
        ("repo.delete", frozenset(), "hold"),
        ("repo.delete", READS, "deny"),
    ],
)
def test_what_completes_the_three_parts_of_a_theft_is_held(skill: str, taint: frozenset[str], effect: str):
    assert decide(WIDER, call(skill, skill_fact=LATER[skill], taint=taint)).effect == effect


def test_an_address_that_leaves_the_house_asks_the_operators_once_also_where_it_completes_a_theft():
    for taint, spoken in ((frozenset(), 1), (frozenset({"reads_private"}), 2)):
        decision = decide(
            BOTH, call("http.get", {"url": "https://example.com"}, skill_fact=SKILLS["http.get"], taint=taint)
        )

        assert (decision.effect, decision.thresholds) == ("hold", (Threshold("operators"),))
        assert "it sends an address outside the house" in decision.reason
        assert sum(rule["effect"] == "hold" for rule in decision.rules_as_json()) == spoken


def test_no_host_is_reached_until_a_workspace_lists_one_and_then_outside_and_with_tls_only():
    assert WORKSPACE.egress == ()
    assert not may_reach(egress_of(BOTH), "https", "www.example.com", 443).is_allowed
    commented = next(
        line for line in (FOLDER / "default.yaml").read_text().splitlines() if line.startswith("# egress:")
    )
    listed = shipped("", "workspace", (FOLDER / "default.yaml").read_text().replace(commented, commented[2:]))
    found = egress_of([PLATFORM, listed])

    assert may_reach(found, "https", "www.example.com", 443) == Reach(is_allowed=True)
    assert not may_reach(found, "http", "www.example.com", 80).is_allowed
    assert not may_reach(found, "http", "wiki.example.net", 8080).is_allowed


def egress_of(manifests: list[CompiledManifest]) -> Egress:
    return Egress(tuple((manifest.layer, manifest.egress) for manifest in manifests))


def test_a_plan_to_report_is_free_and_one_that_could_destroy_is_held():
    report = PlannedStep("a", "ernest", (SKILLS["git.log"], SKILLS["files.write"]))
    destroy = PlannedStep("b", "ernest", (LATER["repo.delete"],))

    assert decide_plan(BOTH, PlanFacts("hari", agent_enabled=True, steps=(report,))).effect == "allow"
    assert decide_plan(WIDER, PlanFacts("hari", agent_enabled=True, steps=(report, destroy))).effect == "hold"


def test_limits_and_maskers_are_those_that_are_written():
    limits = limits_of(BOTH)

    assert limits == WORKSPACE.limits
    assert (limits.plan.steps, limits.plan.depth, limits.plan.attempts) == (20, 8, 3)
    assert redact_of(BOTH) == ("email", "token")


def test_a_screen_can_say_who_may_use_what():
    allowed = {(each.agent, each.skill) for each in explain_permissions(BOTH, AGENTS, SKILLS) if each.effect == "allow"}

    assert allowed == {("ernest", name) for name in SKILLS if name != "http.get"}
