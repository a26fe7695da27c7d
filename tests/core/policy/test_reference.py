"""The compiled decision and the naive reading of the same YAML agree, whatever the manifests and the request."""

import json
from typing import Any

from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from governance.core.compiled import CompiledManifest
from governance.core.evaluate import decide
from governance.core.facts import ACTIONS, LABELS, SIDE_EFFECTS, TAINTS, Request
from tests.core.policy import reference
from tests.core.policy.samples import AGENTS, SKILLS, compiled

MODELS = ["claude-opus", "gpt-5"]
SKILL_PATTERNS = ["git.*", "files.*", "*", "mail.send", "repo.delete", "*.l*", "files.writ[ae]"]
TEXTS = ["acme/sandbox", "a", "", "reports/x.md", "10", "9.50", "10.0.0.7", "::ffff:10.0.0.7", "2001:db8::1", "-1"]
VALUES = st.one_of(st.sampled_from(TEXTS), st.integers(-2, 12), st.sampled_from([0.5, 9.5]), st.booleans(), st.none(),
                   st.lists(st.sampled_from([*TEXTS, 1, True]), max_size=2))  # fmt: skip
SCALARS = st.one_of(st.sampled_from([text for text in TEXTS if text]), st.integers(-2, 12), st.booleans())


def some(values: Any, least: int = 1) -> Any:
    return st.lists(st.sampled_from(list(values)), min_size=least, max_size=3, unique=True)


def one_or_some(values: Any) -> Any:
    return st.one_of(st.sampled_from(list(values)), some(values))


SCALAR_LISTS = st.lists(SCALARS, min_size=1, max_size=3)
PATTERNS = one_or_some(["acme/*", "*", "a", "reports/?.md", "[0-9]*"])
OPERANDS: dict[str, Any] = {
    "eq": SCALARS, "in": SCALAR_LISTS, "not_in": SCALAR_LISTS, "has": st.one_of(SCALARS, SCALAR_LISTS),
    "glob": PATTERNS, "not_glob": PATTERNS, "starts_with": one_or_some(["acme", "1", "r"]),
    "cidr": one_or_some(["10.0.0.0/8", "2001:db8::/32", "192.168.0.1"]),
    **dict.fromkeys(("lt", "le", "gt", "ge"), st.sampled_from([0, 9, 9.5, "9.50", "10"])),
}  # fmt: skip


@st.composite
def conditions(draw: Any, *, must_exist: bool) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(OPERANDS)), max_size=2, unique=True))
    found = {name: draw(OPERANDS[name]) for name in names}
    if must_exist:
        found["exists"] = True
    elif not found:
        found["exists"] = draw(st.booleans())
    return found


@st.composite
def whens(draw: Any) -> dict[str, Any]:
    fields = draw(
        some(["args.repository", "args.limit", "args.amount", "args.to", "args.meta.repo", "agent", "source", "taint"])
    )
    plain = {
        "agent": {"not_in": ["daneel"]}, "source": {"in": ["webhook", "api"]}, "taint": {"has": draw(one_or_some(TAINTS))},
    }  # fmt: skip
    return {name: plain[name] if name in plain else draw(conditions(must_exist=True)) for name in fields}


FIELDS_OF = {
    "git.log": ["repository", "limit"],
    "files.write": ["path", "limit"],
    "mail.send": ["to", "amount", "host", "urgent", "meta.size"],
}


@st.composite
def selectors(draw: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # Either one skill and any condition on its own fields, or any skills and only fields that exist somewhere.
    if draw(st.booleans()):
        found["skill"] = draw(st.sampled_from(sorted(FIELDS_OF)))
        names = draw(some(FIELDS_OF[found["skill"]]))
        found["when"] = {f"args.{name}": draw(conditions(must_exist=False)) for name in names}
    elif draw(st.booleans()):
        found["when"] = draw(whens())
    elif draw(st.booleans()):
        found["skill"] = draw(one_or_some(SKILL_PATTERNS))
    for key, values in (("agent", [*AGENTS, "er*"]), ("side_effect", SIDE_EFFECTS), ("taint", TAINTS)):
        if draw(st.integers(0, 3)) == 0 and not (key == "side_effect" and "when" in found):
            found[key] = draw(one_or_some(values))
    if draw(st.integers(0, 3)) == 0 and "when" not in found:
        found["labels"] = draw(one_or_some(LABELS))
    if draw(st.integers(0, 3)) == 0:
        found["tainted"] = True
    return found


@st.composite
def rules(draw: Any) -> dict[str, Any]:
    if draw(st.booleans()):
        given = draw(selectors())
        if draw(st.booleans()):
            return {
                "hold": {
                    **given,
                    "ask": draw(st.sampled_from(["operators", "maintainers"])),
                    "quorum": draw(st.integers(1, 3)),
                }
            }
        thresholds = [
            {"ask": group, "approve": draw(st.integers(1, 3)), "reject": draw(st.integers(1, 2))}
            for group in draw(some(["operators", "maintainers"]))
        ]
        return {"hold": {**given, "thresholds": thresholds}}
    if draw(st.booleans()):
        return {"deny": draw(selectors())}
    if draw(st.booleans()):
        return {"deny": {"model": draw(one_or_some([*MODELS, "claude-*"]))}}
    return {"deny": {"action": draw(one_or_some([*ACTIONS, "artifact.*"])), "agent": draw(st.sampled_from(AGENTS))}}


ENTRIES = st.fixed_dictionaries(
    {"actions": st.one_of(st.just(["*"]), some([*ACTIONS, "skill.*", "artifact.*"]))},
    optional={"skills": some(SKILL_PATTERNS), "models": some([*MODELS, "claude-*"])},
)
WIDE = {"actions": ["*"], "skills": ["*"], "models": ["*"]}


@st.composite
def manifests(draw: Any) -> dict[str, Any]:
    entries = {
        "*": WIDE,
        **{name: draw(ENTRIES) for name in draw(st.sampled_from([(), (), (), ("hari",), ("ernest", "daneel")]))},
    }
    found: dict[str, Any] = {"version": 1, "agents": entries, "rules": draw(st.lists(rules(), max_size=5))}
    if draw(st.booleans()):
        found["approvals"] = {"repeat": {"ask": draw(st.sampled_from(["operators", "maintainers"])), "quorum": 2}}
    return found


@st.composite
def requests(draw: Any) -> Request:
    action = draw(st.one_of(st.just("skill.invoke"), st.sampled_from(ACTIONS)))
    skill = draw(st.sampled_from([*SKILLS, "git.unknown"])) if action == "skill.invoke" else ""
    names = ["repository", "limit", "path", "to", "amount", "host", "urgent"]
    args = {name: draw(VALUES) for name in draw(some(names, 0))}
    if draw(st.booleans()):
        args["meta"] = draw(st.one_of(VALUES, st.fixed_dictionaries({}, optional={"repo": VALUES, "size": VALUES})))
    rarely = st.sampled_from([False] * 25 + [True])
    return Request(
        action=action,
        agent=draw(st.sampled_from([*AGENTS, "ernest", "ernest"])),
        agent_enabled=not draw(rarely),
        skill=skill,
        skill_fact=SKILLS.get(skill),
        args=args,
        model=draw(st.sampled_from(MODELS)) if action == "llm.call" else "",
        allowed_skills=None if draw(rarely) else frozenset({skill}) if not draw(rarely) else frozenset({"files.list"}),
        taint=frozenset(draw(some(TAINTS, 0))),
        requester="requester",
        frozen_because="fire drill" if draw(rarely) else "",
        run_source=draw(st.sampled_from(["api", "webhook"])),
        possible_repeat=draw(rarely),
        ungathered=("the taint",) if draw(rarely) else (),
    )


@settings(
    max_examples=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(manifests(), manifests(), st.lists(requests(), min_size=1, max_size=8))
def test_the_compiled_decision_is_the_naive_one(
    platform: dict[str, Any], workspace: dict[str, Any], asked: list[Request]
) -> None:
    both = [compiled(json.dumps(platform), "platform"), compiled(json.dumps(workspace))]
    stored = [CompiledManifest.from_json(manifest.as_json()) for manifest in both]
    assert stored == both

    for request in asked:
        effect, people, ground = reference.decide(platform, workspace, request)
        decision = decide(both, request)

        event(f"{effect} {ground}")
        assert decision.effect == effect
        assert {each.group: (each.approve, each.reject) for each in decision.thresholds} == people
        assert decision.subcode == ground or effect == "hold"
        assert decide(stored, Request.from_json(request.as_json())) == decision
