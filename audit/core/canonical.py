"""JSON that has one form only (RFC 8785), and the refusal of everything that has none."""

import hashlib
import json
import re
from math import isfinite
from typing import Any, NoReturn

import rfc8785

from audit.core.codes import Code
from audit.core.refusals import Refused

MAX_DEPTH = 64
MAX_INTEGER = 2**53 - 1
# From here on RFC 8785 writes a float with an exponent, so that it is read back as the float it was.
FLOAT_WITH_EXPONENT = 1e21

# What a text may not smuggle into the ledger: what PostgreSQL refuses (NUL, lone surrogates), what fools a terminal
# (other control characters but tab and newline) and what fools an eye (bidirectional and zero-width characters).
# A backslash that would read like one of our escapes is itself escaped, so two texts never become one.
_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
    r"|\\(?=u[0-9a-f]{4})"
)

# The C encoder writes RFC 8785 where there are no floats and no keys that UTF-16 sorts otherwise; ten times faster.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"), sort_keys=True).encode


class NotCanonical(Refused):
    """The text is not JSON, or JSON that two readers could read differently."""

    code = Code.NOT_CANONICAL
    recovery = (
        "Send UTF-8 JSON with unique keys, no NUL or lone surrogates, integers within ±(2^53−1), finite numbers "
        "and at most 64 levels."
    )


def canonical(value: Any) -> bytes:
    """Return the canonical form of a JSON value, or refuse with `not_canonical`."""
    if _is_plain(value):
        return _encode(value).encode()
    return rfc8785.dumps(value)


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def parse(text: bytes | str) -> Any:
    """Read JSON from outside strictly, or refuse with `not_canonical`."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_constant)
    except NotCanonical:
        raise
    except UnicodeDecodeError:
        raise NotCanonical("the body is not UTF-8") from None
    except RecursionError:
        raise NotCanonical(f"the JSON is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise NotCanonical(f"the body is not JSON: {error}") from None
    check(value)
    return value


def check(value: Any) -> None:
    """Refuse with `not_canonical` what cannot be written in exactly one way."""
    _is_plain(value)


def escaped(text: str) -> str:
    r"""Write hostile characters as `\uXXXX`, so that a text from anywhere can be stored, logged and shown; reversible."""
    return _HOSTILE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _is_plain(value: Any) -> bool:
    """Check the value; say whether the C encoder writes it as RFC 8785 does."""
    plain = True
    level, depth = [value], 0
    while level:
        below: list[Any] = []
        for item in level:
            match item:
                case str():
                    _check_text(item)
                case bool() | None:
                    pass
                case int():
                    if not -MAX_INTEGER <= item <= MAX_INTEGER:
                        raise NotCanonical("an integer is beyond 2^53−1; send it as a string")
                case float():
                    plain = False
                    _check_float(item)
                case dict() | list() | tuple() if depth == MAX_DEPTH:
                    raise NotCanonical(f"the JSON is nested deeper than {MAX_DEPTH} levels")
                case dict():
                    for key in item:
                        if not isinstance(key, str):
                            raise NotCanonical(f"the key {key!r} is not a string")
                        if not key.isascii() or "\x00" in key:
                            plain = False
                            _check_text(key)
                    below.extend(item.values())
                case list() | tuple():
                    below.extend(item)
                case _:
                    raise NotCanonical(f"a {type(item).__name__} is not JSON")
        level, depth = below, depth + 1
    return plain


def _check_float(number: float) -> None:
    if not isfinite(number):
        raise NotCanonical("NaN and Infinity are not JSON")
    if MAX_INTEGER < abs(number) < FLOAT_WITH_EXPONENT:
        # Its canonical form is an integer beyond 2^53−1, which no reader may accept.
        raise NotCanonical("a number is beyond 2^53−1; send it as a string")


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise NotCanonical("a string contains NUL")
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise NotCanonical("a string contains a lone surrogate") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotCanonical(f"the key {twice[:80]!r} stands twice in one object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise NotCanonical(f"{name} is not JSON")
