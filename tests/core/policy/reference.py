"""A second, naive reading of manifests: it walks the raw YAML for every request, and shares no code with the compiler."""

import fnmatch
import ipaddress
from decimal import Decimal, InvalidOperation
from typing import Any

from governance.core.facts import Request

MISSING, BROKEN = object(), object()


def decide(
    platform: dict[str, Any], workspace: dict[str, Any], request: Request
) -> tuple[str, dict[str, tuple[int, int]], str]:
    """Return the effect, who is asked {group: (approve, reject)}, and the ground of a refusal."""
    if request.action != "step.finish":
        if request.frozen_because:
            return "deny", {}, "frozen"
        if not request.agent_enabled:
            return "deny", {}, "agent_disabled"
    for raw in (platform, workspace):
        if not permitted(raw, request):
            return "deny", {}, "not_permitted"
    if request.action == "skill.invoke":
        if request.allowed_skills is None or request.skill not in request.allowed_skills:
            return "deny", {}, "not_in_step"
        if request.skill_fact is None:
            return "deny", {}, "ungathered"
        if not request.skill_fact.enabled:
            return "deny", {}, "skill_disabled"
    if request.ungathered:
        return "deny", {}, "ungathered"
    asked: list[tuple[str, int, int]] = []
    for raw in (platform, workspace):
        for rule in raw.get("rules", []):
            ((kind, given),) = rule.items()
            if not speaks(kind, given, request):
                continue
            if kind == "deny":
                return "deny", {}, "rule"
            if "thresholds" in given:
                asked += [(each["ask"], each.get("approve", 1), each.get("reject", 1)) for each in given["thresholds"]]
            else:
                asked.append((given["ask"], given.get("quorum", 1), 1))
    if request.possible_repeat:
        named = [raw["approvals"]["repeat"] for raw in (platform, workspace) if "repeat" in raw.get("approvals", {})]
        asked += [(each["ask"], each.get("quorum", 1), 1) for each in named or [{"ask": "operators"}]]
    people: dict[str, tuple[int, int]] = {}
    for group, approve, reject in asked:
        most, least = people.get(group, (approve, reject))
        people[group] = max(most, approve), min(least, reject)
    return ("hold" if people else "allow"), people, ""


def permitted(raw: dict[str, Any], request: Request) -> bool:
    entry = raw["agents"].get(request.agent, raw["agents"].get("*"))
    if entry is None or not fits(request.action, entry["actions"]):
        return False
    if request.action == "skill.invoke":
        return fits(request.skill, entry.get("skills", []))
    if request.action == "llm.call":
        return fits(request.model, entry.get("models", []))
    return True


def fits(name: str, patterns: Any) -> bool:
    listed = patterns if isinstance(patterns, list) else [patterns]
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in listed)


def speaks(kind: str, given: dict[str, Any], request: Request) -> bool:
    when = given.get("when", {})
    about_skills = any(key in given for key in ("skill", "side_effect", "labels")) or any(
        field.split(".")[0] in ("args", "skill", "side_effect", "labels") for field in when
    )
    if request.action != "skill.invoke" and (kind == "hold" or about_skills):
        return False
    if request.action != "llm.call" and ("model" in given or "model" in when):
        return False
    fact = request.skill_fact
    taint = set(request.taint) | ({*fact.labels} - {"sends_outside"} if fact else set())
    values = {"action": request.action, "agent": request.agent, "skill": request.skill, "model": request.model}
    for key, value in values.items():
        if key in given and not fits(value, given[key]):
            return False
    if "side_effect" in given and not (fact and fact.side_effect in _list(given["side_effect"])):
        return False
    if "labels" in given and not (fact and set(_list(given["labels"])) & fact.labels):
        return False
    if not set(_list(given.get("taint", []))) <= taint or (given.get("tainted") and "untrusted_output" not in taint):
        return False
    return all(matches(operators, value_of(field, request, taint)) for field, operators in when.items())


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def value_of(field: str, request: Request, taint: set[str]) -> Any:
    if field.startswith("args."):
        value: Any = request.args
        for part in field.split(".")[1:]:
            if not isinstance(value, dict):
                return BROKEN
            if part not in value:
                return MISSING
            value = value[part]
        return value
    fact = request.skill_fact
    return {
        "action": request.action, "agent": request.agent, "skill": request.skill, "model": request.model,
        "requester": request.requester, "workspace": request.workspace, "source": request.run_source,
        "side_effect": fact.side_effect if fact else MISSING, "labels": list(fact.labels) if fact else MISSING, "taint": list(taint),
    }[field]  # fmt: skip


def matches(operators: dict[str, Any], value: Any) -> bool:
    if value is BROKEN:
        return True
    if value is MISSING:
        return operators.get("exists", False) is False
    return all(_one(name, operand, value) for name, operand in operators.items())


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else "text" if isinstance(value, str) else type(value).__name__


def _number(value: Any) -> Decimal | None:
    try:
        return Decimal(str(value)) if _type(value) in ("number", "text") and "_" not in str(value) else None
    except InvalidOperation:
        return None


def _one(name: str, operand: Any, value: Any) -> bool:
    if name == "exists":
        return bool(operand)
    if name in ("lt", "le", "gt", "ge"):
        number, bound = _number(value), Decimal(str(operand))
        return (
            number is None
            or {"lt": number < bound, "le": number <= bound, "gt": number > bound, "ge": number >= bound}[name]
        )
    if name == "has":
        return not isinstance(value, list) or any(
            _type(i) == _type(o) and i == o for i in value for o in _list(operand)
        )
    if name == "not_in":
        return not any(_type(value) == _type(each) and value == each for each in _list(operand))
    if name in ("eq", "in"):
        alike = [each for each in _list(operand) if _type(each) == _type(value)]
        return not alike or value in alike
    if not isinstance(value, str):
        return True
    if name == "glob":
        return fits(value, operand)
    if name == "not_glob":
        return not fits(value, operand)
    if name == "starts_with":
        return any(value.startswith(each) for each in _list(operand))
    assert name == "cidr"
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return True
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ipaddress.ip_network(each) for each in _list(operand))
