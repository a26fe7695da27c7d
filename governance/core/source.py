"""Read a manifest's YAML into plain values that know their line and column, with every way to overload a reader shut.

Of YAML this takes maps, lists and scalars: no anchors, aliases, tags, merges, second documents, nor the readings of
YAML 1.1 that surprise people (`on`, `0777`, `1:30`, dates).
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from audit.core.canonical import MAX_INTEGER
from audit.core.codes import Code
from audit.core.refusals import Fault, Refused

MAX_CHARACTERS = 192 * 1024
MAX_DEPTH = 12
MAX_NODES = 30_000
MAX_TEXT = 1_000
MAX_FAULTS = 100

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+", re.ASCII)
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in the text, both from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Located:
    """A value and where it stands: a scalar, a list of these, or a map of them; `key` is where its key stands."""

    place: Place
    value: Any
    key: Place

    @property
    def entries(self) -> dict[str, "Located"]:
        return self.value if isinstance(self.value, dict) else {}

    @property
    def is_whole(self) -> bool:
        """Whether every value in it could be read; what could not is None, and already a fault."""
        parts = [*self.entries.values(), *self.items]
        return self.value is not None and all(part.is_whole for part in parts)

    @property
    def items(self) -> list["Located"]:
        return self.value if isinstance(self.value, list) else []


@dataclass(slots=True)
class Faults:
    """Everything wrong so far; at most 100 are kept."""

    found: dict[tuple[Place, str, str], None] = field(default_factory=dict)

    def add(self, place: Place, code: str, message: str) -> None:
        """Note a fault; the same one in the same place once."""
        if len(self.found) < MAX_FAULTS:
            self.found[place, code, message] = None

    def __bool__(self) -> bool:
        return bool(self.found)

    def listed(self) -> tuple[Fault, ...]:
        """Return them in the order of the text."""
        return tuple(Fault(str(place), code, message) for place, code, message in sorted(self.found))

    def refuse(self) -> NoReturn:
        """Raise `invalid_manifest` with all of them."""
        listed = self.listed()
        more = f" (and {len(listed) - 1} more)" if len(listed) > 1 else ""
        raise Refused(
            f"the manifest is not valid: line {listed[0].path.partition(':')[0]}: {listed[0].message}{more}",
            code=Code.INVALID_MANIFEST,
            recovery="Mend every place that `errors` names (line:column) and send it again.",
            faults=listed,
        )


class _Refusal(yaml.YAMLError):
    def __init__(self, mark: Any, code: str, message: str) -> None:
        super().__init__(message)
        self.place, self.code, self.message = _place(mark), code, message


class _Loader(yaml.SafeLoader):
    """Compose nodes, and stop at the first sign of a bomb: the scanner reads no further than what was asked for."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _Refusal(event.start_mark, "alias", "anchors and aliases are not taken; write it out")
        if event.tag is not None:
            raise _Refusal(event.start_mark, "tag", "tags are not taken; write the plain value")
        self.nodes += 1
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Refusal(event.start_mark, "too_deep", f"nested deeper than {MAX_DEPTH} levels")
        if self.nodes > MAX_NODES:
            raise _Refusal(event.start_mark, "too_large", f"more than {MAX_NODES} values")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_source(text: str, faults: Faults) -> Located:
    """Read the text; what cannot be read at all raises `invalid_manifest`, other faults are added to `faults`."""
    start = Place(1, 1)
    if len(text) > MAX_CHARACTERS:
        faults.add(start, "too_large", f"the manifest is longer than {MAX_CHARACTERS} characters")
        faults.refuse()
    try:
        node = _Loader(text).get_single_node()
    except _Refusal as error:
        faults.add(error.place, error.code, error.message)
        faults.refuse()
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        faults.add(place, "syntax", "a character that text does not have")
        faults.refuse()
    except yaml.MarkedYAMLError as error:
        faults.add(_place(error.problem_mark), "syntax", f"not YAML: {error.problem}")
        faults.refuse()
    if node is None:
        faults.add(start, "wrong_type", "the manifest is empty")
        faults.refuse()
    return _located(node, _place(node.start_mark), faults)


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _located(node: yaml.Node, key: Place, faults: Faults) -> Located:
    place = _place(node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return Located(place, dict(_entries(node, faults)), key)
    if isinstance(node, yaml.SequenceNode):
        return Located(place, [_located(item, _place(item.start_mark), faults) for item in node.value], key)
    return Located(place, _scalar(node, place, faults), key)


def _entries(node: yaml.MappingNode, faults: Faults) -> Iterator[tuple[str, Located]]:
    seen: set[str] = set()
    for key, value in node.value:
        place = _place(key.start_mark)
        name = _scalar(key, place, faults) if isinstance(key, yaml.ScalarNode) else 0
        if name is None:
            continue
        if not isinstance(name, str):
            faults.add(place, "wrong_type", "a key must be a name")
        elif name in seen:
            faults.add(place, "duplicate_key", f"{name} stands twice")
        else:
            seen.add(name)
            yield name, _located(value, place, faults)


def _scalar(node: yaml.Node, place: Place, faults: Faults) -> Any:
    kind, text = node.tag.rpartition(":")[2], node.value
    if kind == "str":
        return _text(text, place, faults)
    if kind == "bool" and text in ("true", "false"):
        return text == "true"
    if kind == "int" and _INTEGER.fullmatch(text) and len(text) < 18 and abs(int(text)) <= MAX_INTEGER:
        return int(text)
    if kind == "float" and _DECIMAL.fullmatch(text) and len(text) < 18:
        return float(text)
    if kind == "null":
        faults.add(place, "wrong_type", "there is no value")
    else:
        faults.add(
            place,
            "wrong_type",
            f"{text[:40]} could be read in two ways; put it in quotes, or write a plain number or true or false",
        )
    return None


def _text(text: str, place: Place, faults: Faults) -> str | None:
    text = text.strip()
    if len(text) > MAX_TEXT:
        faults.add(place, "too_large", f"the text is longer than {MAX_TEXT} characters")
    elif any(sign in _BIDI or unicodedata.category(sign) in ("Cc", "Cs") for sign in text):
        faults.add(place, "bad_value", "the text has control characters or line breaks")
    else:
        return text
    return None
