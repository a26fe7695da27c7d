"""Compile globs and `when` conditions to plain Python closures. Operands are data; nothing is ever evaluated as code.

Rules only narrow, so what cannot be judged counts as matched: a value of the wrong type, and a field that the request
lacks. `exists` in the same condition decides about absence itself: `{exists: true, …}` keeps the rule silent without the field.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fnmatch import translate
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from governance.core.facts import Request

Test = Callable[[Request], bool]
Judge = Callable[[Any], bool]

NUMERAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?", re.ASCII)
FIELDS: dict[str, Callable[[Request], Any]] = {
    "action": lambda request: request.action,
    "agent": lambda request: request.agent,
    "skill": lambda request: request.skill,
    "model": lambda request: request.model,
    "requester": lambda request: request.requester,
    "workspace": lambda request: request.workspace,
    "source": lambda request: request.run_source,
    "side_effect": lambda request: request.skill_fact.side_effect if request.skill_fact else ABSENT,
    "labels": lambda request: sorted(request.skill_fact.labels) if request.skill_fact else ABSENT,
    "taint": lambda request: sorted(request.taint),
}
ABSENT: Any = object()
UNREADABLE: Any = object()


def is_glob(pattern: str) -> bool:
    """Say whether a name is a pattern, not a literal."""
    return any(sign in pattern for sign in "*?[")


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> Callable[[str], object]:
    # fnmatch's translation uses atomic groups: no input makes it backtrack without end.
    return re.compile(translate(pattern)).match


def any_glob(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a test whether a text matches any of the shell-style patterns; case counts, `*` crosses dots."""
    literals = frozenset(pattern for pattern in patterns if not is_glob(pattern))
    globs = tuple(_glob(pattern) for pattern in patterns if is_glob(pattern))
    if not globs:
        return literals.__contains__
    if len(globs) == 1 and not literals:
        (only,) = globs
        return lambda text: only(text) is not None
    return lambda text: text in literals or any(glob(text) for glob in globs)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same_type(value: Any, operand: Any) -> bool:
    return _is_number(value) if _is_number(operand) else type(value) is type(operand)


def _eq(operand: Any) -> Judge:
    return lambda value: value == operand or not _same_type(value, operand)


def _in(operands: Sequence[Any]) -> Judge:
    def judge(value: Any) -> bool:
        alike = [operand for operand in operands if _same_type(value, operand)]
        return value in alike or not alike

    return judge


def _not_in(operands: Sequence[Any]) -> Judge:
    return lambda value: not any(_same_type(value, operand) and value == operand for operand in operands)


def _on_text(judge: Callable[[str], bool]) -> Judge:
    return lambda value: not isinstance(value, str) or judge(value)


def _glob_of(patterns: Sequence[str]) -> Judge:
    return _on_text(any_glob(patterns))


def _not_glob(patterns: Sequence[str]) -> Judge:
    matches = any_glob(patterns)
    return _on_text(lambda value: not matches(value))


def _starts_with(prefixes: Sequence[str]) -> Judge:
    start = tuple(prefixes)
    return _on_text(lambda value: value.startswith(start))


def amount(value: Any) -> Decimal | None:
    """Read a number, or the text of one (money is text), exactly; None for anything else."""
    if isinstance(value, str):
        return Decimal(value) if NUMERAL.fullmatch(value) else None
    return Decimal(repr(value)) if _is_number(value) else None


def _ordered(holds: Callable[[Decimal, Decimal], bool]) -> Callable[[Any], Judge]:
    def build(operand: Any) -> Judge:
        bound = Decimal(str(operand))

        def judge(value: Any) -> bool:
            number = amount(value)
            return number is None or holds(number, bound)

        return judge

    return build


def _cidr(networks: Sequence[str]) -> Judge:
    nets = [ip_network(network) for network in networks]

    def judge(value: Any) -> bool:
        address = _address(value)
        return address is None or any(address in net for net in nets)

    return judge


def _address(value: Any) -> IPv4Address | IPv6Address | None:
    if not isinstance(value, str):
        return None
    try:
        address = ip_address(value)
    except ValueError:
        return None
    # ::ffff:10.0.0.1 reaches the same host as 10.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _has(operands: Sequence[Any]) -> Judge:
    def judge(value: Any) -> bool:
        if not isinstance(value, list | tuple):
            return True
        return any(_same_type(item, operand) and item == operand for item in value for operand in operands)

    return judge


OPERATORS: dict[str, Callable[[Any], Judge]] = {
    "eq": _eq,
    "in": _in,
    "not_in": _not_in,
    "glob": _glob_of,
    "not_glob": _not_glob,
    "starts_with": _starts_with,
    "cidr": _cidr,
    "has": _has,
    "lt": _ordered(lambda value, bound: value < bound),
    "le": _ordered(lambda value, bound: value <= bound),
    "gt": _ordered(lambda value, bound: value > bound),
    "ge": _ordered(lambda value, bound: value >= bound),
}
EXISTS = "exists"


def condition(name: str, operands: Mapping[str, Any]) -> Test:
    """Compile what a `when` says about one field; all its operators must match."""
    read = FIELDS[name] if name in FIELDS else _argument(tuple(name.split(".")[1:]))
    exists = operands.get(EXISTS)
    judges = tuple(OPERATORS[operator](operand) for operator, operand in operands.items() if operator != EXISTS)

    def test(request: Request) -> bool:
        value = read(request)
        if value is UNREADABLE:
            return True
        if value is ABSENT:
            return exists is not True
        return exists is not False and all(judge(value) for judge in judges)

    return test


def _argument(path: tuple[str, ...]) -> Callable[[Request], Any]:
    def read(request: Request) -> Any:
        value: Any = request.args
        for key in path:
            if not isinstance(value, Mapping):
                return UNREADABLE
            if key not in value:
                return ABSENT
            value = value[key]
        return value

    return read


def schema_has(schema: Any, path: Sequence[str]) -> bool:
    """Say whether a JSON Schema provides for the field at `path`.

    Looks into `properties`, map-like `additionalProperties`, local `$ref`s and every branch of `allOf`, `anyOf` and
    `oneOf`; a schema that merely does not forbid further fields does not have them.
    """
    waiting: list[tuple[Any, tuple[str, ...]]] = [(schema, tuple(path))]
    seen: set[tuple[int, int]] = set()
    while waiting:
        part, rest = waiting.pop()
        if not rest:
            return True
        # Schemas come from outside too: each part is looked at once, however its references run in circles.
        if not isinstance(part, Mapping) or (id(part), len(rest)) in seen:
            continue
        seen.add((id(part), len(rest)))
        for key in ("allOf", "anyOf", "oneOf"):
            branches = part.get(key)
            waiting += [(branch, rest) for branch in branches] if isinstance(branches, list) else []
        if "$ref" in part:
            waiting.append((_referred(schema, str(part["$ref"])), rest))
        properties, others = part.get("properties"), part.get("additionalProperties")
        if isinstance(properties, Mapping) and rest[0] in properties:
            waiting.append((properties[rest[0]], rest[1:]))
        elif isinstance(others, Mapping):
            waiting.append((others, rest[1:]))
    return False


def _referred(root: Any, reference: str) -> Any:
    found = root
    for key in reference.removeprefix("#").split("/")[1:]:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
