"""References inside a plan: to a result (`$from`) or an artifact (`$artifact`) of another step, and how they are resolved."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from audit.core.canonical import canonical
from audit.core.codes import Code
from audit.core.refusals import Fault, Refused
from governance.core.schemas import place_of, shortened

SELF = "self"
FROM = "$from"
ARTIFACT = "$artifact"
MOST_RESOLVED = 2**20
"""Bytes, in canonical form, that references may put into one value."""
_MOST_FAULTS = 50
LONGEST_POINTER = 4000
"""Characters of a JSON pointer in a reference."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference and where it stands. `name` is a JSON pointer into a result, or the name of an artifact."""

    at: Path
    kind: Literal["result", "artifact"]
    step: str
    name: str


@dataclass(frozen=True, slots=True)
class BadReference:
    """What looks like a reference and is none."""

    at: Path
    message: str


class PointerLost(Exception):
    """The pointer leads nowhere in this document."""


def each_reference(value: Any) -> Iterator[Reference | BadReference]:
    """Yield every reference in a JSON value, and every broken one, as they are found."""
    return _walk(value, ())


def references(value: Any) -> tuple[tuple[Reference, ...], tuple[BadReference, ...]]:
    """Return every reference in a JSON value, and everything that is a broken one."""
    good: list[Reference] = []
    bad: list[BadReference] = []
    for found in _walk(value, ()):
        good.append(found) if isinstance(found, Reference) else bad.append(found)
    return tuple(good), tuple(bad)


def is_literal(value: Any) -> bool:
    """Say whether the value is all there: no reference to a result or an artifact, and nothing that looks like one."""
    return next(_walk(value, ()), None) is None


def sources(value: Any) -> frozenset[str]:
    """Return the steps that the value takes something from; `self` is left out."""
    return frozenset(found.step for found in references(value)[0]) - {SELF}


def resolve(
    value: Any,
    results: Mapping[str, Any],
    artifacts: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    at: str = "",
) -> Any:
    """Put in place of every reference what it names, or refuse with `bad_input` and a fault per reference that fails.

    `results` maps a step to its output, `artifacts` maps (step, name) to `{id, name, sha256, …}`. An artifact stays
    `{"$artifact": {…}}` around that. What comes out of a result is data: references inside it are not resolved again.
    All that is put in place is at most `MOST_RESOLVED` bytes: a small plan must not unfold into a huge input.
    """
    faults: list[Fault] = []
    sizes: dict[tuple[str, str, str], int] = {}
    room = MOST_RESOLVED

    def lost(path: Path, message: str) -> None:
        if len(faults) < _MOST_FAULTS:
            faults.append(Fault(at + place_of(path), "bad_reference", shortened(message)))

    def fitting(path: Path, found: Reference, put_in: Any) -> Any:
        nonlocal room
        key = (found.kind, found.step, found.name)
        if key not in sizes:
            sizes[key] = len(canonical(put_in))
        room -= sizes[key]
        if room < 0:
            much = f"the references here put in more than {MOST_RESOLVED} bytes"
            fault = Fault(at + place_of(path), str(Code.TOO_LARGE), much)
            raise Refused(much, code=Code.BAD_INPUT, faults=(fault,), recovery="Refer to less, or to smaller results.")
        return put_in

    def put(path: Path, item: dict[str, Any]) -> Any:
        found = _read(path, item)
        if isinstance(found, BadReference):
            return lost(path, found.message)
        if found.kind == "artifact":
            known = (artifacts or {}).get((found.step, found.name))
            return lost(path, _no_artifact(found)) if known is None else fitting(path, found, {ARTIFACT: dict(known)})
        if found.step not in results:
            return lost(path, f"there is no result of the step {found.step}")
        try:
            return fitting(path, found, look_up(results[found.step], found.name))
        except PointerLost as error:
            return lost(path, f"the result of the step {found.step} has {error}")

    resolved = _replaced(value, (), put)
    if faults:
        raise Refused("a reference cannot be resolved", code=Code.BAD_INPUT, faults=faults)
    return resolved


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return the value with the step of every reference replaced by its name in `names`; others, and `self`, stay."""

    def put(path: Path, item: dict[str, Any]) -> Any:
        found = _read(path, item)
        if isinstance(found, BadReference):
            return item
        step = names.get(found.step, found.step)
        if found.kind == "artifact":
            return {ARTIFACT: {"step": step, "name": found.name}}
        return {FROM: step, "pointer": found.name}

    return _replaced(value, (), put)


def look_up(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) names, or raise PointerLost with what is missing."""
    here = document
    for token in tokens(pointer):
        match here:
            case dict() if token in here:
                here = here[token]
            case list() if re.fullmatch(r"0|[1-9][0-9]{0,8}", token) and int(token) < len(here):
                here = here[int(token)]
            case _:
                raise PointerLost(f"nothing at {pointer[:200]!r}")
    return here


def tokens(pointer: str) -> tuple[str, ...]:
    """Return the tokens of a JSON pointer, or raise PointerLost if it is not one."""
    if len(pointer) > LONGEST_POINTER:
        raise PointerLost(f"no place as long as {len(pointer)} characters: {LONGEST_POINTER} are the most")
    if pointer and not re.fullmatch(r"(?:/(?:[^~/]|~[01])*)+", pointer, re.DOTALL):
        raise PointerLost(f"no place called {pointer[:200]!r}: that is not a JSON pointer")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])


def _no_artifact(found: Reference) -> str:
    return f"the step {found.step} has no artifact called {found.name}"


def _is_reference(item: dict[str, Any]) -> bool:
    return FROM in item or ARTIFACT in item


def _read(at: Path, item: dict[str, Any]) -> Reference | BadReference:
    """Read an object that has a `$from` or an `$artifact`; both forms are strict."""
    match item:
        case {"$from": str(step), "pointer": str(pointer)} if len(item) == 2:
            try:
                tokens(pointer)
            except PointerLost as error:
                return BadReference(at, str(error))
            return Reference(at, "result", step, pointer)
        case {"$artifact": {"step": str(step), "name": str(name)}} if len(item) == 1 and len(item[ARTIFACT]) == 2:
            return Reference(at, "artifact", step, name)
    return BadReference(at, 'a reference is {"$from": step, "pointer": "/…"} or {"$artifact": {"step", "name"}}')


def _walk(value: Any, at: Path) -> Iterator[Reference | BadReference]:
    match value:
        case dict() if _is_reference(value):
            yield _read(at, value)
        case dict():
            for key, item in value.items():
                if isinstance(item, dict | list | tuple):
                    yield from _walk(item, (*at, key))
        case list() | tuple():
            for index, item in enumerate(value):
                if isinstance(item, dict | list | tuple):
                    yield from _walk(item, (*at, index))


def _replaced(value: Any, at: Path, put: Callable[[Path, dict[str, Any]], Any]) -> Any:
    match value:
        case dict() if _is_reference(value):
            return put(at, value)
        case dict():
            return {key: _replaced(item, (*at, key), put) for key, item in value.items()}
        case list() | tuple():
            return [_replaced(item, (*at, index), put) for index, item in enumerate(value)]
    return value
