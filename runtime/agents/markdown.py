"""Put strangers' text into Markdown so that it stays text: never a link, a heading, an image, HTML or a list.

Two ways, both plain to read in the source. Ordinary text is written with backslashes before what Markdown would act
upon. Text with something that renderers turn into links by themselves (addresses, domain names, `@somebody`) is written
as a code span, because no renderer looks into those; backslashes do not stop every auto-linker.
"""

import re
import unicodedata

LONGEST_TEXT = 500
"""Characters of one piece of strangers' text in a document; the rest is cut and said so by an ellipsis."""

ACTED_UPON = re.compile(r"([\\`*_{}\[\]<>&|~$^])")
AT_LINE_START = re.compile(r"^(#|[-+=:]|\d{1,9}[.)])")
LINK_LIKE = re.compile(r"@|//|\S:\S|\w\.[^\W\d]")
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Markdown(str):
    """Text that is Markdown already, made by a template or a filter; everything else is escaped."""

    __slots__ = ()


def one_line(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return the text on one line, without what cannot be seen (controls, bidirectional and zero-width characters)."""
    visible = "".join(
        " " if character in "\t\n\r\v\f\x85\u2028\u2029" else character
        for character in text
        if character in "\t\n\r\v\f\x85\u2028\u2029" or unicodedata.category(character) not in INVISIBLE
    )
    line = " ".join(visible.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def inline(text: str) -> Markdown:
    """Return strangers' text for a running line or a list item, safe at its start too."""
    line = one_line(text)
    if LINK_LIKE.search(line):
        return code(line)
    escaped = ACTED_UPON.sub(r"\\\1", line).replace("!\\[", "\\!\\[")
    return Markdown(AT_LINE_START.sub(_before_last, escaped))


def cell(text: str) -> Markdown:
    """Return strangers' text for a cell of a table, where a bar would end the cell even inside a code span."""
    line = one_line(text)
    if LINK_LIKE.search(line):
        return Markdown(code(line).replace("|", "\\|"))
    return inline(line)


def code(text: str) -> Markdown:
    """Return strangers' text as a code span, whatever backticks it holds."""
    line = one_line(text)
    if not line:
        return Markdown("")
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return Markdown(f"{fence}{padding}{line}{padding}{fence}")


def _before_last(found: re.Match[str]) -> str:
    return f"{found[1][:-1]}\\{found[1][-1]}"
