"""Compile a manifest: YAML that people write in, an immutable `CompiledManifest` or every fault with line and column out.

What is a fault and what a warning. A *name* of an agent, skill or group that does not exist is a fault: it is a typing
error, and a rule with a typing error protects nothing. A *pattern* that fits nothing yet is a warning: it may be meant for
what comes. A rule that looks at `args.<field>` must find the field in the input schema of every skill within its reach, else
the skills that lack it are named; with `exists: true` beside it the rule is silent about skills without the field, and only
one skill must have it. Skills that come later and lack the field make the rule speak: absence counts as matched.
"""

from collections.abc import Collection, Mapping
from typing import Any

from governance.core.cautions import warn
from governance.core.ceiling import RANGES, Limits
from governance.core.compiled import EVERYBODY, CompiledManifest, CompiledRule, build
from governance.core.egress import ANY_HOST, DEFAULT_PORTS, HTTP, HTTPS, NotAHost, Target, normal_pattern
from governance.core.facts import SkillFact
from governance.core.masking import MASKERS
from governance.core.match import EXISTS, schema_has
from governance.core.reading import Reader
from governance.core.rule import Kind, Rule, all_rules, is_required, parameters_of, rule_from_json
from governance.core.source import Located, Place, read_source
from governance.core.verdicts import DEFAULT_EXPIRES
from governance.core.wording import listed

VERSION = 1
MAX_RULES = 1_000
LAYERS = ("platform", "workspace")
_SECTIONS = ("version", "agents", "rules", "limits", "approvals", "redact", "egress")
_ENTRY = {"actions": Kind.ACTIONS, "skills": Kind.SKILLS, "models": Kind.MODELS}
_ASKING = {
    "ask": Kind.GROUP,
    "quorum": Kind.COUNT,
    "thresholds": Kind.THRESHOLDS,
    "expires": Kind.DURATION,
    "because": Kind.TEXT,
}
_PLAN_WHEN = {
    "any_side_effect": Kind.SIDE_EFFECTS,
    "any_label": Kind.LABELS,
    "any_skill": Kind.SKILLS,
    "any_agent": Kind.AGENTS,
    "any_source": Kind.SOURCES,
}
_TARGET = ("host", "http", "private", "ports")
_BECAUSE = {
    "plan": "plans like this are agreed to first",
    "repeat": "it may have been done already, in an earlier attempt",
}


def compile_manifest(
    yaml_text: str,
    *,
    layer: str,
    skills: Mapping[str, SkillFact],
    agents: Collection[str],
    groups: Collection[str],
    maskers: Collection[str] = MASKERS,
) -> CompiledManifest:
    """Check and compile a manifest, or refuse with `invalid_manifest` and every fault at its `line:column`.

    `layer` is `platform` or `workspace`. `groups` may map each approver group to its number of members, which is then
    weighed in the warnings. An agent named `*` stands for all agents without an entry of their own.
    """
    if layer not in LAYERS:
        raise ValueError(f"{layer!r} is not a layer of policy")
    reader = Reader(skills, agents, groups)
    root = read_source(yaml_text, reader.faults)
    sections = reader.entries(root, _SECTIONS, ("version", "agents"))
    if "version" in sections:
        reader.integer(sections["version"], VERSION, VERSION)
    entries = _agents(reader, sections.get("agents"))
    rules = _rules(reader, sections.get("rules"))
    limits = _limits(reader, sections.get("limits"))
    approvals = _approvals(reader, sections.get("approvals"))
    redact = reader.chosen(sections["redact"], maskers, "masker") if "redact" in sections else []
    egress = _egress(reader, sections["egress"], layer) if "egress" in sections else []
    if reader.faults:
        reader.faults.refuse()
    normal: dict[str, Any] = {
        "version": VERSION,
        "layer": layer,
        "agents": {name: entry for name, (_, entry) in entries.items()},
        "rules": [rule for _, rule in rules],
        "limits": Limits.from_json(limits, layer).as_json(),
        "approvals": {name: approval for name, (_, approval) in approvals.items()},
        "redact": redact,
        # Only where it is written: a manifest that has none keeps the digest that it has always had.
        **({"egress": egress} if egress else {}),
    }
    lines = {
        "agents": {name: place.line for name, (place, _) in entries.items()},
        "agents_key": sections["agents"].key.line,
        "rules": [place.line for place, _ in rules],
        "approvals": {name: place.line for name, (place, _) in approvals.items()},
    }
    places = {
        "agents_key": sections["agents"].key,
        **{f"agents.{name}": place for name, (place, _) in entries.items()},
        **{f"rules.{index}": place for index, (place, _) in enumerate(rules, 1)},
        **{f"approvals.{name}": place for name, (place, _) in approvals.items()},
    }
    warn(build(normal, lines, ()), reader, places)
    return build(normal, lines, reader.warnings.listed())


def _agents(reader: Reader, node: Located | None) -> dict[str, tuple[Place, dict[str, Any]]]:
    found: dict[str, tuple[Place, dict[str, Any]]] = {}
    if node is None:
        return found
    if not isinstance(node.value, dict):
        reader.wrong(node, "a map of agents must stand here")
    for name, entry in node.entries.items():
        if name != EVERYBODY and name not in reader.agents:
            reader.faults.add(entry.key, "unknown_agent", f"there is no agent {name}")
        given = reader.entries(entry, _ENTRY, ("actions",))
        found[name] = (
            entry.key,
            {key: reader.parameter(kind, given[key]) if key in given else [] for key, kind in _ENTRY.items()},
        )
    return found


def _rules(reader: Reader, node: Located | None) -> list[tuple[Place, dict[str, Any]]]:
    found: list[tuple[Place, dict[str, Any]]] = []
    if node is None:
        return found
    if not isinstance(node.value, list):
        reader.wrong(node, "a list of rules must stand here")
    if len(node.items) > MAX_RULES:
        reader.faults.add(node.place, "too_large", f"more than {MAX_RULES} rules")
    known = all_rules()
    for item in node.items[:MAX_RULES]:
        if len(item.entries) != 1:
            reader.wrong(item, f"a rule is a map with one key: {listed(sorted(known), 'or', 20)}")
        for kind, given in list(item.entries.items())[:1]:
            if kind in known:
                found.append((given.key, {kind: _rule(reader, kind, known[kind], given)}))
            else:
                reader.faults.add(
                    given.key, "unknown_rule", f"there is no rule {kind}; write {listed(sorted(known), 'or', 20)}"
                )
    return found


def _rule(reader: Reader, name: str, kind: type[Rule], node: Located) -> dict[str, Any]:
    """Read one rule into its normal form, in which a parameter that says what is the default anyway is left out."""
    before = len(reader.faults.found)
    known = parameters_of(kind)
    given = reader.entries(node, known, [key for key, each in known.items() if is_required(each)])
    normal = {key: reader.parameter(known[key].metadata["kind"], value) for key, value in given.items()}
    if len(reader.faults.found) > before or not node.is_whole:
        return {}
    rule = rule_from_json(name, normal)
    for key, message in rule.contradictions():
        reader.faults.add(given[key].place if key in given else node.key, "contradiction", message)
    if not rule.actions:
        message = f"it can never speak: {name} speaks on {listed(sorted(kind.speaks_on), 'and', 20)}, and what it looks at is not there"
        reader.faults.add(node.key, "contradiction", message)
    if "when" in given:
        _check_fields(reader, rule, given["when"])
    plain = rule_from_json(name, {key: normal[key] for key, each in known.items() if is_required(each)})
    return {key: value for key, value in normal.items() if getattr(rule, key) != getattr(plain, key)}


def _check_fields(reader: Reader, rule: Rule, when: Located) -> None:
    compiled = CompiledRule.of(0, 0, "", rule)
    reached = [
        fact for fact in reader.skills.values() if compiled.reaches_skill(fact.name, fact.side_effect, fact.labels)
    ]
    for name, operands in when.entries.items():
        path = name.split(".")[1:]
        lacking = sorted(fact.name for fact in reached if path and not schema_has(fact.input_schema, path))
        if lacking and len(lacking) == len(reached):
            reader.faults.add(operands.key, "unknown_field", f"{listed(lacking)} {_have(lacking)} no field {name[5:]}")
        elif lacking and EXISTS not in operands.entries:
            message = (
                f"{listed(lacking)} {_have(lacking)} no field {name[5:]}; name other skills, or add `exists: true`"
            )
            reader.faults.add(operands.key, "unknown_field", message)


def _have(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _limits(reader: Reader, node: Located | None) -> dict[str, dict[str, Any]]:
    parts = reader.entries(node, RANGES) if node is not None else {}
    return {
        name: {key: reader.limit(value, RANGES[name][key]) for key, value in reader.entries(part, RANGES[name]).items()}
        for name, part in parts.items()
    }


def _approvals(reader: Reader, node: Located | None) -> dict[str, tuple[Place, dict[str, Any]]]:
    found: dict[str, tuple[Place, dict[str, Any]]] = {}
    for name, part in (reader.entries(node, _BECAUSE) if node is not None else {}).items():
        given = reader.entries(part, (*_ASKING, "when") if name == "plan" else _ASKING)
        normal = {key: reader.parameter(_ASKING[key], value) for key, value in given.items() if key in _ASKING}
        if ("ask" in normal) == ("thresholds" in normal) or ("thresholds" in normal and "quorum" in normal):
            reader.faults.add(part.key, "contradiction", "give either `ask` (with `quorum`) or `thresholds`")
        single = {"ask": normal.get("ask", ""), "approve": normal.get("quorum", 1), "reject": 1}
        found[name] = (
            part.key,
            {
                "thresholds": normal.get("thresholds", [single]),
                "expires": normal.get("expires", int(DEFAULT_EXPIRES.total_seconds())),
                "because": normal.get("because", _BECAUSE[name]),
                "when": _plan_when(reader, given["when"]) if "when" in given else {},
            },
        )
    return found


def _egress(reader: Reader, node: Located, layer: str) -> list[dict[str, Any]]:
    """Read the hosts that calls may reach: names alone, or maps with more; their order means nothing."""
    found: dict[Target, None] = {}
    for item in reader.items(node, "hosts"):
        is_map = isinstance(item.value, dict)
        given = reader.entries(item, _TARGET, ("host",)) if is_map else {"host": item}
        try:
            host = normal_pattern(reader.text(given["host"])) if "host" in given else ANY_HOST
        except NotAHost as error:
            reader.faults.add(given["host"].place, "bad_value", str(error))
            continue
        http, private = (reader.boolean(given[key]) if key in given else False for key in ("http", "private"))
        ports = {DEFAULT_PORTS[HTTPS], *((DEFAULT_PORTS[HTTP],) if http else ())}
        if "ports" in given:
            ports = {reader.integer(port, 1, 65_535) for port in reader.items(given["ports"], "ports")}
        if host == ANY_HOST and private and layer == "workspace":
            message = "every name on earth may lead to an address inside the house; name the hosts that are meant"
            reader.warnings.add(item.place, "everywhere", message)
        found[Target(host, http, private, tuple(sorted(ports)))] = None
    return sorted((target.as_json() for target in found), key=lambda each: (each["host"], str(each)))


def _plan_when(reader: Reader, node: Located) -> dict[str, list[str]]:
    given = reader.entries(node, _PLAN_WHEN)
    if not given:
        reader.wrong(node, "a condition must stand here; without `when` every plan is held")
    return {key: reader.parameter(_PLAN_WHEN[key], value) for key, value in given.items()}
