"""Text that strangers wrote, as it is: escaped, and with nothing in it that the eye cannot see."""

import unicodedata
from html import escape

from django.utils.safestring import SafeString

from worka_site.portal.markup import markup

_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
# Letters to Unicode and blank to the eye: a name or a path must not hide behind them.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")


def is_hidden(char: str) -> bool:
    """Say whether a character could change what is read without being seen; line feed and tab are not counted."""
    if char in "\n\t":
        return False
    return char in _BLANK or unicodedata.category(char) in _HIDDEN


def spelled(char: str) -> str:
    """Return the escape that names a character, as Python and JSON write it."""
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plain(text: str) -> str:
    """Return the text with every hidden character spelled out; not escaped for HTML."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(spelled(char) if is_hidden(char) else char for char in text)


def visible(text: str) -> SafeString:
    """Return the text as HTML: escaped, hidden characters spelled out and marked with their name."""
    if text.isascii() and text.isprintable():
        return markup(escape(text))
    return markup("".join(_marked(char) if is_hidden(char) else escape(char) for char in text))


def _marked(char: str) -> str:
    name = unicodedata.name(char, "no name")
    return f'<span class="unseen" title="U+{ord(char):04X} {escape(name)}">{escape(spelled(char))}</span>'
