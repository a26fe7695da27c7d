"""JSON, YAML, logs and plain text as numbered lines, highlighted and escaped on the server."""

import json
import re
from collections.abc import Collection, Iterable
from html import escape
from typing import Any

from django.utils.safestring import SafeString

from worka_site.portal.markup import markup
from worka_site.portal.visible import visible

LINES = 4000  # more than anybody reads; what is left out is said in the last line

_STRING = r'"(?:\\.|[^"\\])*"'
_JSON_LINE = re.compile(rf"(?P<indent> *)(?:(?P<key>{_STRING})(?P<colon>: ))?(?P<value>.*)", re.DOTALL)
_YAML = re.compile(
    r"""(?P<c>(?:^|(?<=\s))\#.*)
      | (?P<k>(?:[\w$.*/-]+|"(?:\\.|[^"\\])*"|'(?:''|[^'])*')(?=\s*:(?:\s|$)))
      | (?P<s>"(?:\\.|[^"\\])*"|'(?:''|[^'])*')""",
    re.VERBOSE,
)


def json_lines(value: Any, *, limit: int = LINES) -> SafeString:
    """Return a JSON value as highlighted lines, keys in their given order, strings with hidden characters spelled out."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return _lines((_json_line(line) for line in text.split("\n")), limit=limit)


def yaml_lines(text: str, *, hits: Collection[int] = (), limit: int = LINES) -> SafeString:
    """Return YAML as highlighted lines; `hits` are the numbers of the lines that matter."""
    return _lines((_yaml_line(line) for line in _split(text)), hits=hits, limit=limit)


def text_lines(text: str, *, hits: Collection[int] = (), limit: int = LINES) -> SafeString:
    """Return any text as lines."""
    return _lines((visible(line) for line in _split(text)), hits=hits, limit=limit)


def log_lines(lines: Iterable[tuple[str, str, bool]], *, limit: int = LINES) -> SafeString:
    """Return a log as lines; each is (when, text, whether it matters)."""
    kept = list(lines)
    drawn = (f'<span class="c">{escape(at)}</span> {visible(text)}' if at else visible(text) for at, text, _ in kept)
    return _lines(drawn, hits={number for number, line in enumerate(kept, 1) if line[2]}, limit=limit)


def compact_json(value: Any, *, length: int = 240) -> SafeString:
    """Return a JSON value on one line, cut after `length` characters."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return visible(text if len(text) <= length else text[: length - 1] + "…")


def _split(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if len(lines) > 1 and not lines[-1] else lines


def _lines(lines: Iterable[str], *, hits: Collection[int] = (), limit: int = LINES) -> SafeString:
    drawn: list[str] = []
    left_out = 0
    for number, line in enumerate(lines, 1):
        if number > limit:
            left_out += 1
            continue
        drawn.append(f'<span class="l hit">{line}</span>' if number in hits else f'<span class="l">{line}</span>')
    if left_out:
        drawn.append(f'<span class="l hunk">{left_out:,} more lines are not shown</span>')
    return markup("".join(drawn))


def _json_line(line: str) -> str:
    parts = _JSON_LINE.fullmatch(line)
    assert parts is not None, "every line matches: the last group takes anything"
    value = parts["value"]
    key = f'<span class="k">{visible(parts["key"])}</span>{parts["colon"]}' if parts["key"] else ""
    comma = "," if value.endswith(",") and len(value) > 1 else ""
    bare = value[: len(value) - len(comma)]
    shown = f'<span class="s">{visible(bare)}</span>' if bare.startswith('"') else escape(bare)
    return f"{parts['indent']}{key}{shown}{comma}"


def _yaml_line(line: str) -> str:
    drawn: list[str] = []
    end = 0
    for match in _YAML.finditer(line):
        drawn.append(visible(line[end : match.start()]))
        drawn.append(f'<span class="{match.lastgroup}">{visible(match.group())}</span>')
        end = match.end()
    return "".join([*drawn, visible(line[end:])])
