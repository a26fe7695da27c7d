"""JSON Schema 2020-12 over foreign values, with foreign schemas: nothing is fetched and no pattern runs away."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

from audit.core.canonical import canonical
from audit.core.codes import Code
from audit.core.refusals import Fault, Refused
from governance.core.masking import redact_text
from governance.core.wording import excerpt

LONGEST_PLACE = 300
_LONGEST_MESSAGE = 300
_MOST_FAULTS = 50
# The engine makes all its errors before it gives the first: of a value with more parts than this, one is enough.
_MOST_PARTS = 10_000
_MOST_WEIGHT = 4_000_000
# What these say stays true whatever a reference below the place turns out to be.
_ABOUT_SHAPE = frozenset({"required", "additionalProperties", "type", "propertyNames", "minProperties", "maxProperties",
                          "minItems", "maxItems", "dependentRequired"})  # fmt: skip


class Schema:
    """A compiled schema. Refuse with `invalid` what is no JSON Schema of its own (a look-around, a `$ref` to elsewhere)."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        try:
            # One engine judges and words: two would disagree about patterns, and Python's own backtracks without end.
            self._validator = jsonschema_rs.Draft202012Validator(
                dict(schema), offline=True, pattern_options=jsonschema_rs.RegexOptions(), validate_formats=True
            )
        except (ValueError, RecursionError) as error:
            line = excerpt(str(error), _LONGEST_MESSAGE)
            raise Refused(f"this is not a usable JSON Schema: {line}", code=Code.INVALID) from None

    def accepts(self, value: Any) -> bool:
        """Say whether the value fits, without saying why not."""
        return self._validator.is_valid(value)

    def faults(self, value: Any, at: str = "", code: str = "bad_schema") -> list[Fault]:
        """Return what does not fit, as JSON pointers below `at`, in the order of the value, at most fifty."""
        return self.faults_beside(value, (), at, code)

    def faults_beside(
        self, value: Any, unknown: Iterable[tuple[str | int, ...]], at: str = "", code: str = "bad_input"
    ) -> list[Fault]:
        """Return what does not fit whatever stands at the `unknown` paths once their references are resolved."""
        holes = set(unknown)
        above = {hole[:length] for hole in holes for length in range(len(hole) + 1)}
        found: list[Fault] = []
        if self.accepts(value):
            return found
        try:
            errors = list(self._errors(value))
        except UnicodeEncodeError:
            return [Fault(at, code, "it holds half of a character, which is no text")]
        for error in errors:
            path = tuple(error.instance_path)
            if any(path[:length] in holes for length in range(len(path) + 1)):
                continue
            if path in above and error.schema_path[-1] not in _ABOUT_SHAPE:
                continue
            # A message quotes the whole value, so it is cut before it is looked through, too.
            message = redact_text(error.message[: 10 * _LONGEST_MESSAGE])
            found.append(Fault(shortened(at + place_of(path)), code, excerpt(message, _LONGEST_MESSAGE)))
            if len(found) == _MOST_FAULTS:
                break
        return found

    def _errors(self, value: Any) -> Iterable[jsonschema_rs.ValidationError]:
        if not _is_heavy(value):
            return self._validator.iter_errors(value)
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return [error]
        return []


def compiled(schema: Mapping[str, Any]) -> Schema:
    """Return the compiled form of a schema, remembered by its content."""
    return _compiled(canonical(schema))


def schema_faults(schema: Mapping[str, Any], value: Any, path: str = "", code: str = "bad_input") -> tuple[Fault, ...]:
    """Return every way in which a value does not fit a schema; the pointers of the faults begin with `path`."""
    return tuple(compiled(schema).faults(value, path, code))


def pointer(path: Iterable[str | int]) -> str:
    """Write a path as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in path)


def place_of(path: Iterable[str | int]) -> str:
    """Write a path as a JSON pointer for people: of a hostile length, only the beginning."""
    text = ""
    for token in path:
        text += pointer((token if isinstance(token, int) else token[:LONGEST_PLACE],))
        if len(text) > LONGEST_PLACE:
            break
    return shortened(text)


def shortened(text: str, most: int = LONGEST_PLACE) -> str:
    """Cut a text to `most` characters, and show that it was."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _is_heavy(value: Any) -> bool:
    """Say whether an error for each part of a value, each with its path, would be too much to hold."""
    parts, longest, coming = 0, 1, [value]
    while coming:
        match coming.pop():
            case dict() as item:
                parts += len(item)
                longest = max(longest, max(map(len, item), default=0))
                coming += item.values()
            case list() as item:
                parts += len(item)
                coming += [each for each in item if isinstance(each, dict | list)]
        if parts > _MOST_PARTS or parts * longest > _MOST_WEIGHT:
            return True
    return False


@lru_cache(maxsize=256)
def _compiled(text: bytes) -> Schema:
    return Schema(json.loads(text))
