"""Read one value of a manifest: check it, say where it is wrong, return its normal form (JSON)."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

from governance.core.ceiling import Range
from governance.core.facts import ACTIONS, LABELS, SIDE_EFFECTS, TAINTS, SkillFact
from governance.core.match import EXISTS, FIELDS, NUMERAL, OPERATORS, any_glob, is_glob
from governance.core.rule import Kind
from governance.core.source import Faults, Located
from governance.core.wording import excerpt, listed

MAX_ITEMS = 1_000
MAX_PEOPLE = 100
LONGEST = timedelta(days=365)
_DURATION = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,7})s)?", re.ASCII)
_MONEY = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)
_LISTS = ("labels", "taint")
_ON_NAMES = ("eq", "in", "not_in", "glob", "not_glob", "starts_with")


@dataclass(slots=True)
class Reader:
    """What a manifest is read against, and what was found wrong or odd so far."""

    skills: Mapping[str, SkillFact]
    agents: Collection[str]
    groups: Collection[str]
    faults: Faults = field(default_factory=Faults)
    warnings: Faults = field(default_factory=Faults)

    def entries(self, node: Located, known: Collection[str], required: Collection[str] = ()) -> dict[str, Located]:
        """Read a map of known keys; unknown and missing ones are faults."""
        if not isinstance(node.value, dict):
            self.wrong(node, f"a map of {listed(sorted(known), 'or', 20)} must stand here")
            return {}
        for key, value in node.entries.items():
            if key not in known:
                self.faults.add(
                    value.key,
                    "unknown_key",
                    f"the key {excerpt(str(key))} is not known here; known are {listed(sorted(known), 'and', 20)}",
                )
        for key in required:
            if key not in node.entries:
                self.faults.add(node.place, "missing_key", f"the key {key} is missing")
        return {key: value for key, value in node.entries.items() if key in known}

    def wrong(self, node: Located, message: str) -> None:
        """Note a value of the wrong type, unless its place is known to be wrong already."""
        if node.value is not None:
            self.faults.add(node.place, "wrong_type", message)

    def items(self, node: Located, what: str) -> list[Located]:
        """Read a list that is not empty, or one value as a list of it."""
        found = node.items if isinstance(node.value, list) else [node]
        if not found or len(found) > MAX_ITEMS:
            self.faults.add(node.place, "out_of_range", f"{what}: from 1 to {MAX_ITEMS} are taken")
        return found[:MAX_ITEMS]

    def text(self, node: Located) -> str:
        """Read a text that is not empty."""
        if isinstance(node.value, str) and node.value:
            return node.value
        self.wrong(node, "a text must stand here")
        return ""

    def mark(self, node: Located) -> bool:
        """Read `true`; a rule that speaks on the absence of taint could be escaped by reading something."""
        if node.value is not True:
            self.wrong(node, "write true, or leave it out")
        return True

    def boolean(self, node: Located) -> bool:
        """Read `true` or `false`."""
        if not isinstance(node.value, bool):
            self.wrong(node, "write true or false")
        return node.value is True

    def integer(self, node: Located, least: int, most: int) -> int:
        """Read a whole number within bounds."""
        if type(node.value) is not int:
            self.wrong(node, "a whole number must stand here")
            return least
        if not least <= node.value <= most:
            self.faults.add(node.place, "out_of_range", f"from {least} to {most} is taken")
        return node.value

    def duration(self, node: Located, least: timedelta = timedelta(seconds=1), most: timedelta = LONGEST) -> int:
        """Read a duration such as 10s, 15m, 4h, 7d or 1h30m; returns seconds."""
        match = _DURATION.fullmatch(node.value) if isinstance(node.value, str) and node.value else None
        if match is None:
            self.wrong(node, "a duration must stand here, such as 10s, 15m, 4h, 7d or 1h30m")
            return int(least.total_seconds())
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if not least <= span <= most:
            self.faults.add(node.place, "out_of_range", f"from {least} to {most} is taken")
        return int(span.total_seconds())

    def money(self, node: Located, least: Decimal, most: Decimal) -> str:
        """Read an amount in USD, which must be a text: numbers of YAML are binary fractions."""
        if not isinstance(node.value, str) or not _MONEY.fullmatch(node.value):
            self.wrong(node, 'an amount in USD must stand here, in quotes, such as "10" or "0.50"')
            return str(least)
        value = Decimal(node.value)
        if not least <= value <= most:
            self.faults.add(node.place, "out_of_range", f"from {least} to {most} USD is taken")
        return f"{value.normalize():f}"

    def limit(self, node: Located, bounds: Range) -> int | str:
        """Read a limit: a duration, an amount or a number, as its bounds are."""
        least, most = bounds.least, bounds.most
        if isinstance(least, timedelta) and isinstance(most, timedelta):
            return self.duration(node, least, most)
        if isinstance(least, Decimal) and isinstance(most, Decimal):
            return self.money(node, least, most)
        return self.integer(node, int(str(least)), int(str(most)))

    def chosen(self, node: Located, among: Collection[str], noun: str) -> list[str]:
        """Read names or patterns of a closed set; returns the names they stand for, sorted."""
        found: set[str] = set()
        for item in self.items(node, f"{noun}s"):
            name = self.text(item)
            named = {each for each in among if any_glob([name])(each)}
            if name and not named:
                known = listed(sorted(among), "or", 20)
                self.faults.add(
                    item.place, f"unknown_{noun.replace(' ', '_')}", f"there is no {noun} {name}; write {known}"
                )
            found |= named
        return sorted(found)

    def patterns(self, node: Located, among: Collection[str] | None, noun: str) -> list[str]:
        """Read names or patterns of an open set: an unknown name is a fault, a pattern that fits nothing yet a warning."""
        found: set[str] = set()
        for item in self.items(node, f"{noun}s"):
            name = self.text(item)
            if name and among is not None and name not in among and not any(map(any_glob([name]), among)):
                if is_glob(name):
                    self.warnings.add(item.place, "matches_nothing", f"{name} fits no {noun} that there is now")
                else:
                    self.faults.add(item.place, f"unknown_{noun}", f"there is no {noun} {name}")
            found.add(name)
        return sorted(found)

    def group(self, node: Located) -> str:
        """Read the name of an approver group that exists."""
        name = self.text(node)
        if name and name not in self.groups:
            self.faults.add(node.place, "unknown_group", f"there is no group {name}")
        return name

    def thresholds(self, node: Located) -> list[dict[str, Any]]:
        """Read a list of `{ask, approve, reject}`."""
        found: list[dict[str, Any]] = []
        for item in self.items(node, "thresholds"):
            given = self.entries(item, ("ask", "approve", "reject"), ("ask",))
            found.append(
                {
                    "ask": self.group(given["ask"]) if "ask" in given else "",
                    **{
                        key: self.integer(given[key], 1, MAX_PEOPLE) if key in given else 1
                        for key in ("approve", "reject")
                    },
                }
            )
        if len({each["ask"] for each in found}) < len(found):
            self.faults.add(node.place, "bad_value", "one group stands in two thresholds")
        return found

    def when(self, node: Located) -> dict[str, dict[str, Any]]:
        """Read conditions; whether skills have the fields is checked when the rule's reach is known."""
        if not node.entries:
            self.wrong(node, "a map of fields must stand here, such as {args.repo: {not_in: [a/b]}}")
        return {name: self._condition(name, operands) for name, operands in node.entries.items()}

    def _condition(self, name: str, node: Located) -> dict[str, Any]:
        if name not in FIELDS and not (name.startswith("args.") and all(name.split("."))):
            known = listed(["args.<name>", *sorted(FIELDS)], "or", 20)
            self.faults.add(node.key, "unknown_field", f"there is no field {name}; write {known}")
        if not node.entries:
            self.wrong(node, f"a map of operators must stand here: {listed([*OPERATORS, EXISTS], 'or', 20)}")
        found: dict[str, Any] = {}
        for operator, operand in node.entries.items():
            if operator not in (*OPERATORS, EXISTS):
                known = listed([*OPERATORS, EXISTS], "or", 20)
                self.faults.add(operand.key, "unknown_operator", f"there is no operator {operator}; write {known}")
                continue
            if name in FIELDS and operator not in (("has",) if name in _LISTS else _ON_NAMES):
                self.faults.add(operand.key, "bad_value", f"{operator} does not go with {name}")
            found[operator] = _OPERANDS[operator](self, operand)
        if found.get(EXISTS) is False and len(found) > 1:
            self.faults.add(
                node.place, "bad_value", "exists: false stands alone: what is absent has no value to compare"
            )
        return found

    def scalar(self, node: Located) -> Any:
        """Read a text, a number or true or false."""
        if isinstance(node.value, list | dict):
            self.wrong(node, "a single value must stand here")
            return ""
        return node.value

    def scalars(self, node: Located) -> list[Any]:
        """Read a list of single values."""
        return [self.scalar(item) for item in self.items(node, "values")]

    def texts(self, node: Located) -> list[str]:
        """Read a list of texts."""
        return [self.text(item) for item in self.items(node, "texts")]

    def numeral(self, node: Located) -> Any:
        """Read a number, or the text of one."""
        if isinstance(node.value, bool) or not NUMERAL.fullmatch(str(node.value)):
            self.wrong(node, 'a number must stand here, or the text of one, such as "10.00"')
            return 0
        return node.value

    def networks(self, node: Located) -> list[str]:
        """Read a list of networks such as 10.0.0.0/8."""
        found: list[str] = []
        for item in self.items(node, "networks"):
            name = self.text(item)
            try:
                found += [str(ip_network(name))] if name else []
            except ValueError:
                self.wrong(item, "a network must stand here, such as 10.0.0.0/8 or 2001:db8::/32")
        return found

    def parameter(self, kind: Kind, node: Located) -> Any:
        """Read a rule's parameter by what it holds."""
        return _PARAMETERS[kind](self, node)


_OPERANDS: dict[str, Callable[[Reader, Located], Any]] = {
    "eq": Reader.scalar,
    "in": Reader.scalars,
    "not_in": Reader.scalars,
    "has": Reader.scalars,
    "glob": Reader.texts,
    "not_glob": Reader.texts,
    "starts_with": Reader.texts,
    "cidr": Reader.networks,
    "lt": Reader.numeral,
    "le": Reader.numeral,
    "gt": Reader.numeral,
    "ge": Reader.numeral,
    EXISTS: Reader.boolean,
}
_PARAMETERS: dict[Kind, Callable[[Reader, Located], Any]] = {
    Kind.ACTIONS: lambda reader, node: reader.chosen(node, ACTIONS, "action"),
    Kind.AGENTS: lambda reader, node: reader.patterns(node, reader.agents, "agent"),
    Kind.SKILLS: lambda reader, node: reader.patterns(node, reader.skills, "skill"),
    Kind.MODELS: lambda reader, node: reader.patterns(node, None, "model"),
    Kind.SOURCES: lambda reader, node: reader.patterns(node, None, "source"),
    Kind.SIDE_EFFECTS: lambda reader, node: reader.chosen(node, SIDE_EFFECTS, "side effect"),
    Kind.LABELS: lambda reader, node: reader.chosen(node, LABELS, "label"),
    Kind.TAINTS: lambda reader, node: reader.chosen(node, TAINTS, "taint"),
    Kind.MARK: Reader.mark,
    Kind.WHEN: Reader.when,
    Kind.TEXT: lambda reader, node: reader.text(node).rstrip(". "),
    Kind.GROUP: Reader.group,
    Kind.COUNT: lambda reader, node: reader.integer(node, 1, MAX_PEOPLE),
    Kind.DURATION: Reader.duration,
    Kind.THRESHOLDS: Reader.thresholds,
}
