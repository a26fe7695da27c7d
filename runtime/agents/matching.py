"""Read a request by sentence patterns. Linear in the request's length: whoever writes requests may be hostile."""

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

LONGEST_REQUEST = 2000
"""Characters; what is longer is no sentence that a playbook reads."""

QUOTES = "\"'`“”‘’"
SLOT = re.compile(r"\{([a-z][a-z0-9_]{0,30})\}", re.ASCII)

# What git reads as a revision, without ranges (`..`), options (`-`), searches (`:/`) or paths in trees (`:`).
REVISION = re.compile(
    r"[0-9A-Za-z][0-9A-Za-z._/+-]{0,199}(?:@\{(?:[0-9]{1,9}|upstream|u)\})?(?:~[0-9]{0,9}|\^[0-9]?)*", re.ASCII
)
DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?", re.ASCII
)
URL = re.compile(r"(https?://)?([^\s/?#@\\]+)(?:[/?#][^\s\\]*)?", re.IGNORECASE)
LONGEST_URL = 1000
SPELT_DATES = ("%d %B %Y", "%d %b %Y", "%B %d %Y", "%b %d %Y")


class BadPattern(ValueError):
    """A sentence pattern that could not be read safely."""


class Unreadable(ValueError):
    """A value in the request is not of its parameter's type; the message is for the person who asked."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A pattern as words: a plain word stands for itself in any case, a slot for one or more words of the request."""

    words: tuple[str, ...]
    slots: Mapping[int, str]
    pattern: str

    @classmethod
    def parse(cls, pattern: str) -> "Sentence":
        """Read a pattern such as `Report on {repository} since {since}`, or raise BadPattern.

        Two slots must have a word between them, and the first word must be a plain one: so a match is never a guess.
        """
        words = tuple(pattern.split())
        slots: dict[int, str] = {}
        for index, word in enumerate(words):
            found = SLOT.fullmatch(word)
            if found is None:
                if "{" in word or "}" in word:
                    raise BadPattern(f"{word!r} in {pattern!r}: a slot is a word of its own, like {{since}}")
                continue
            if index == 0 or index - 1 in slots:
                raise BadPattern(f"{pattern!r}: {word} must follow a plain word")
            if found[1] in slots.values():
                raise BadPattern(f"{pattern!r} has the slot {word} twice")
            slots[index] = found[1]
        if not words:
            raise BadPattern("a pattern is a sentence, not nothing")
        return cls(tuple(word.casefold() for word in words), slots, " ".join(words))

    def read(self, request: str) -> dict[str, str] | None:
        """Return the text that stands in each slot, or None when the request is not this sentence."""
        if len(request) > LONGEST_REQUEST:
            return None
        spans = _words(request)
        values: dict[str, str] = {}
        at = 0
        index = 0
        while index < len(self.words):
            if index not in self.slots:
                if at >= len(spans) or request[slice(*spans[at])].casefold() != self.words[index]:
                    return None
                at, index = at + 1, index + 1
                continue
            following = self._plain_run(index + 1)
            end = self._end_of_value(request, spans, at, following)
            if end is None:
                return None
            values[self.slots[index]] = _unquoted(request[spans[at][0] : spans[end - 1][1]])
            at, index = end, index + 1
        return values if at == len(spans) else None

    def _plain_run(self, start: int) -> tuple[str, ...]:
        end = start
        while end < len(self.words) and end not in self.slots:
            end += 1
        return self.words[start:end]

    def _end_of_value(
        self, request: str, spans: Sequence[tuple[int, int]], at: int, following: tuple[str, ...]
    ) -> int | None:
        """Return the index after the value's last word: the first place where the following words stand."""
        if at >= len(spans):
            return None
        if not following:
            return len(spans)
        first = at + 1
        if request[spans[at][0]] in QUOTES:
            # A quoted value may hold the very words that would end it.
            closing = next((end for end in range(at, len(spans)) if _closes(request, spans[at][0], spans[end])), None)
            first = first if closing is None else closing + 1
        for end in range(first, len(spans) - len(following) + 1):
            if all(request[slice(*spans[end + i])].casefold() == word for i, word in enumerate(following)):
                return end
        return None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a value is read against: the folders under which repositories may be looked at."""

    repositories: tuple[str, ...] = ()


def read_repository(text: str, around: Surroundings) -> str:
    """Return the absolute path of a repository at or under one of the roots, or raise Unreadable."""
    if not around.repositories:
        raise Unreadable("no repository may be looked at here: WORKA_REPOSITORY_ROOTS is empty")
    roots = [posixpath.normpath(root) for root in around.repositories]
    known = " or ".join(roots)
    if not _is_plain(text, 1000):
        raise Unreadable("the path of the repository holds characters that no path should")
    if not text.startswith("/") and len(roots) > 1:
        raise Unreadable(f"give the repository’s absolute path, under {known}")
    path = posixpath.normpath(posixpath.join(roots[0], text))
    if path.startswith("//"):
        path = path[1:]
    if any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots):
        return path
    raise Unreadable(f"{path} is not under {known}, where repositories may be looked at")


def read_revision(text: str, around: Surroundings) -> str:
    """Return the text when it can be a git revision, or raise Unreadable. Whether it exists, git will say."""
    if REVISION.fullmatch(text) and ".." not in text and "//" not in text and not text.endswith((".lock", "/")):
        return text
    shown = text if _is_plain(text, 80) else "the text"
    raise Unreadable(f"{shown} is no revision: name a tag, a branch or a commit, like v2.3.0 or HEAD~20")


def read_revision_or_date(text: str, around: Surroundings) -> str:
    """Return a revision as it is and a date as ISO 8601 (`1 November 2026` too), or raise Unreadable."""
    spelt = " ".join(text.replace(",", " ").split())
    for form in SPELT_DATES:
        try:
            return datetime.strptime(spelt, form).date().isoformat()  # noqa: DTZ007 (a day has no time zone)
        except ValueError:
            continue
    if DATE.fullmatch(text):
        try:
            day = text[:10]
            date.fromisoformat(day)
            if len(text) > 10:
                return datetime.fromisoformat(text).isoformat()
        except ValueError:
            raise Unreadable(f"{text} is no date of the calendar") from None
        return text
    try:
        return read_revision(text, around)
    except Unreadable:
        shown = text if _is_plain(text, 80) else "the text after “since”"
        raise Unreadable(
            f"{shown} is neither a revision (like v2.3.0) nor a date (like 2026-11-01 or 1 November 2026)"
        ) from None


def read_url(text: str, around: Surroundings) -> str:
    """Return the address of a page, with `https://` where no scheme is written, or raise Unreadable.

    Whether its host may be reached, policy will say.
    """
    shown = text if _is_plain(text, 200) else "the text"
    found = URL.fullmatch(text) if _is_plain(text, LONGEST_URL) else None
    if found is None or not (found[1] or "." in found[2]):
        raise Unreadable(f"{shown} is no address of a page, like https://example.com/page")
    return text if found[1] else f"https://{text}"


def read_text(text: str, around: Surroundings) -> str:
    """Return one line of at most 200 printable characters, or raise Unreadable."""
    if _is_plain(text, 200):
        return text
    raise Unreadable("a text must be one line of at most 200 printable characters")


TYPES: Mapping[str, Callable[[str, Surroundings], str]] = {
    "repository": read_repository,
    "revision": read_revision,
    "revision_or_date": read_revision_or_date,
    "text": read_text,
    "url": read_url,
}
"""Each type that a playbook's parameter can have, and how it is read from the words of the request."""


def _words(request: str) -> list[tuple[int, int]]:
    spans = [found.span() for found in re.finditer(r"\S+", request)]
    if spans:
        # A sentence may end like one. A value that is nothing but dots stays what it is.
        start, end = spans[-1]
        bare = request[start:end].rstrip(".!?")
        if bare:
            spans[-1] = (start, start + len(bare))
    if len(spans) > 1 and request[slice(*spans[0])].casefold().rstrip(",") == "please":
        del spans[0]
    return spans


def _closes(request: str, opening: int, span: tuple[int, int]) -> bool:
    last = span[1] - 1
    return last > opening and request[last] in QUOTES


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] in QUOTES and text[-1] in QUOTES:
        return text[1:-1].strip()
    return text


def _is_plain(text: str, longest: int) -> bool:
    return 0 < len(text) <= longest and text.isprintable()
