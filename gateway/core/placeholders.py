"""Where secrets may stand: `{{secret:name}}` in the settings of a connection, and nowhere else."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from governance.core.masking import is_secret_field, redact_text

NAME = re.compile(r"[a-z][a-z0-9_.\-]{0,63}")
_PLACE = re.compile(r"\{\{\s{0,8}secret:([a-z][a-z0-9_.\-]{0,63})\s{0,8}\}\}")
_BRACES = re.compile(r"\{\{|\}\}")
SHORTEST, LONGEST = 8, 32_768
_SHORTEST_LINE = 16


def names_in(value: Any) -> list[str]:
    """Return the names of the secrets that stand in settings, each once, in order."""
    return list(dict.fromkeys(name for _, text in _texts(value) for name in _PLACE.findall(text)))


def filled(value: Any, secrets: Mapping[str, str]) -> Any:
    """Return settings with every place filled in one pass: what a secret contains is never read as a place again.

    A name that is missing is a KeyError.
    """
    match value:
        case str():
            return _PLACE.sub(lambda found: secrets[found[1]], value)
        case dict():
            return {key: filled(item, secrets) for key, item in value.items()}
        case list():
            return [filled(item, secrets) for item in value]
    return value


def misplaced(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong with settings, as JSON pointer and sentence: secrets in clear, places that are none."""
    faults = []
    for pointer, text in _texts(settings):
        rest = _PLACE.sub("", text)
        if _BRACES.search(rest):
            faults.append((pointer, "a secret is named as {{secret:name}}, in lower case"))
        elif redact_text(rest) != rest or (is_secret_field(pointer.rpartition("/")[2]) and rest == text and text):
            faults.append((pointer, "a secret stands here in clear: keep it in the treasury and name it here"))
    if _in_keys(settings):
        faults.append(("", "a secret cannot stand in the name of a setting"))
    return faults


def forms_of(value: str) -> frozenset[str]:
    """Return what must be masked where a secret was used: all of it, its ends trimmed, and each longer line of it."""
    lines = {line.strip() for line in value.splitlines()}
    return frozenset({value, value.strip(), *(line for line in lines if len(line) >= _SHORTEST_LINE)})


def _texts(value: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield pointer, value
        case dict():
            for key, item in value.items():
                yield from _texts(item, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
        case list():
            for index, item in enumerate(value):
                yield from _texts(item, f"{pointer}/{index}")


def _in_keys(value: Any) -> bool:
    match value:
        case dict():
            return any(
                _BRACES.search(str(key)) or redact_text(str(key)) != str(key) or _in_keys(item)
                for key, item in value.items()
            )
        case list():
            return any(map(_in_keys, value))
    return False
