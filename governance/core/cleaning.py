"""Make an agent's words harmless before they reach a person or an outside system (agents.md, section 5)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import re2

from governance.core.masking import TOKEN, redact, redact_text

__all__ = ["CleaningRules", "clean_text", "clean_value", "plain", "redact", "redact_text"]

_DEPTH = 64
_PASSES = 8
_KEY_CHARS = 200


@dataclass(frozen=True, slots=True)
class CleaningRules:
    """What a text may contain: host patterns that may be links (`*.example.com`; a port must be named), Slack user ids
    that may be mentioned, which maskers work, secrets of the treasury, and bounds.
    """

    hosts: frozenset[str] = frozenset()
    mentions: frozenset[str] = frozenset()
    maskers: frozenset[str] = frozenset({TOKEN})
    secrets: frozenset[str] = frozenset()
    max_chars: int = 20_000
    max_items: int = 1_000


def clean_text(text: str, rules: CleaningRules = CleaningRules()) -> str:
    """Return the text with nothing in it that acts: no escapes, markup, mentions, foreign links, keys; at most `max_chars`.

    It is still readable: what would act is shown as text, what cannot be seen is removed.
    """
    # One rule's output may complete what another looks for (a link inside a link, a key cut by a tag): until nothing changes.
    for _ in range(_PASSES):
        before = text
        text = _links(_brackets(redact_text(plain(text), rules.maskers, rules.secrets), rules), rules)
        text = _SLACK_ALL.sub(lambda found: f"{found.group(1)}＠{found.group(2)}", text)
        if text == before:
            break
    else:
        # Links nested deeper than anybody means them: what is left of them leads nowhere.
        text = text.replace("](", "] (")
    return _cut(text, rules.max_chars)


def clean_value(value: Any, rules: CleaningRules = CleaningRules()) -> Any:
    """Return a JSON value with every text in it cleaned, keys too; containers hold at most `max_items`, 64 levels deep."""
    return _clean(value, rules, _DEPTH)


def plain(text: str) -> str:
    """Return the text without terminal escapes, control characters and characters that hide or reorder others."""
    text = _TERMINAL.sub("", text)
    text = _BREAKS.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    text = _SURROGATES.sub("\ufffd", text)
    return _HEAPED_MARKS.sub(r"\1", text)


# Whole sequences where they are complete; of a broken one only the escape goes, so that the rest is seen and not hidden.
_TERMINAL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]{0,2000}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{0,4}[0-OQ-WYZ\\`-~]"
)
_BREAKS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_MARKS = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe0e\ufe0f\ufe20-\ufe2f]"
_HEAPED_MARKS = re.compile(f"({_MARKS}{{4}}){_MARKS}+")

# RE2 has no look-around and takes linear time; what follows works on text of any length from anybody.
_ANGLE: Any = re2.compile(r"<([A-Za-z/!?@#][^<>]*)(>?)")
_MARKDOWN: Any = re2.compile(r"!?\[([^\[\]]*)\]\(\s*((?:[^()\s]|\([^()\s]*\))*)\s*(?:\"[^\"]*\"|'[^']*')?\s*\)")
_URL: Any = re2.compile(
    r"(?i)\b(?:https?:[\\/]*|[a-z][a-z0-9+.\-]*:[\\/]{2,})[^\s<>\"'`|‹›()\[\]{}]+|\bwww\.[^\s<>\"'`|‹›()\[\]{}]+"
)
_SCRIPT: Any = re2.compile(r"(?i)\b((?:java|vb|live)script)\s*:(\s*\S)")
_INLINE: Any = re2.compile(r"(?i)\b(data|file)\s*:(\s*(?:[a-z]+/|/))")
_SLACK_ALL: Any = re2.compile(r"(?i)(^|[^A-Za-z0-9._%+\-])@(channel|here|everyone)\b")
_STRICT_URL = re.compile(
    r"https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?)([/?#].*)?", re.IGNORECASE | re.DOTALL
)
_SLACK_LINK = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:[^|\s]*)(?:\|(.*))?", re.DOTALL)
_SLACK_MENTION = re.compile(r"@([A-Z0-9]{2,40})(?:\|.*)?", re.DOTALL)


def _is_allowed(url: str, rules: CleaningRules) -> bool:
    # Strictly one form: user info, backslashes, odd characters in the host or a second URL inside are how hosts are faked.
    found = _STRICT_URL.fullmatch(url)
    if not found or "://" in (found.group(4) or ""):
        return False
    host = found.group(1).lower()
    return any(fnmatchcase(host, pattern.lower()) for pattern in rules.hosts)


def _as_text(url: str) -> str:
    """Return a URL that no program turns into a link: `hxxps[:]//evil[.]example/x`."""
    head, colon, rest = url.partition(":")
    slashes = re.match(r"[\\/]*", rest)
    start = slashes.end() if colon and slashes else 0
    address = rest if colon else head
    end = re.search(r"[\\/?#]", address[start:])
    stop = start + end.start() if end else len(address)
    shown = address[:start] + address[start:stop].replace(".", "[.]") + address[stop:]
    shown = shown.replace("://", "[:]//")
    if not colon:
        return shown
    return f"{re.sub('(?i)^http', 'hxxp', head)}[:]{shown}"


def _brackets(text: str, rules: CleaningRules) -> str:
    def angle(found: Any) -> str:
        inner, closed = found.group(1), found.group(2)
        mention = _SLACK_MENTION.fullmatch(inner)
        if mention and closed and mention.group(1) in rules.mentions:
            return f"<@{mention.group(1)}>"
        link = _SLACK_LINK.fullmatch(inner)
        if link and closed:
            return f"{link.group(2)} ({link.group(1)})" if link.group(2) else str(link.group(1))
        return f"‹{inner}{'›' if closed else ''}"

    def markdown(found: Any) -> str:
        words, target = found.group(1), found.group(2)
        if target.startswith("#") or (_is_allowed(target, rules) and not _names_a_host(words)):
            return str(found.group(0))
        if not target:
            return str(words)
        # What is not written out as a URL (`//host`, `javascript&#58;…`) is no link once it stands in no brackets.
        return f"{words} ({target})" if words.strip() else f"({target})"

    angled: Callable[[Any], str] = angle
    return str(_MARKDOWN.sub(markdown, _ANGLE.sub(angled, text)))


def _names_a_host(words: str) -> bool:
    return "://" in words or re.search(r"[A-Za-z0-9-]\.[A-Za-z]{2,}", words) is not None


def _links(text: str, rules: CleaningRules) -> str:
    def link(found: Any) -> str:
        url: str = found.group(0)
        # The punctuation that ends the sentence is not the link's.
        bare = url.rstrip(".,;:!?*_~")
        return url if _is_allowed(bare, rules) else _as_text(url)

    text = str(_URL.sub(link, text))
    for acts in (_SCRIPT, _INLINE):
        text = str(acts.sub(r"\1[:]\2", text))
    return text


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    note = f"… [{len(text)} characters, cut]"
    return text[: most - len(note)] + note if most > len(note) else text[:most]


def _clean(value: Any, rules: CleaningRules, depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value, rules)
    if not isinstance(value, dict | list | tuple):
        return value
    if depth == 0:
        return "… [nested too deep]"
    if isinstance(value, dict):
        return _clean_object(value, rules, depth)
    cleaned = [_clean(item, rules, depth - 1) for item in value[: rules.max_items]]
    return [*cleaned, f"… [{len(value)} items, cut]"] if len(value) > rules.max_items else cleaned


def _clean_object(value: dict[str, Any], rules: CleaningRules, depth: int) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    for key, item in list(value.items())[: rules.max_items]:
        name = wanted = _cut(clean_text(key, rules), _KEY_CHARS)
        # Two keys that differ only in what is removed stay two.
        number = 2
        while name in cleaned:
            name, number = f"{wanted} ({number})", number + 1
        cleaned[name] = _clean(item, rules, depth - 1)
    if len(value) > rules.max_items:
        cleaned["…"] = f"[{len(value)} items, cut]"
    return cleaned
