"""What pages hand to templates: small values, ready to be drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Crumb:
    """One step of the way to a page; without an address it is the page itself."""

    label: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to act on in a card list: icon, title, one sentence, what runs out.

    `lead` is a link before the sentence ("Run 142"). At the end stand `end` (strong), and the moment `at` said as
    `at_word` ("waits": waits 3 h; "at": 12:49; "": 3 h ago) or `after` (plain words).
    """

    tone: str
    icon: str
    title: str
    href: str = ""
    lead: str = ""
    lead_href: str = ""
    sentence: str = ""
    end: str = ""
    until: datetime | None = None
    at: datetime | None = None
    at_word: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Tab:
    """A view of a list, or a section of a page; `note` is a count or a word, quieter than the label."""

    label: str
    href: str
    note: str = ""
    is_current: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """A count that is a link, under a state's look."""

    count: int
    tone: str
    icon: str
    word: str
    href: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a filter."""

    value: str
    label: str
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of a list, drawn as a select with a visible label; the first choice stands for "any"."""

    name: str
    label: str
    choices: tuple[Choice, ...]

    @classmethod
    def of(
        cls, name: str, label: str, values: Iterable[tuple[str, str]], chosen: str, *, any_label: str = "Any"
    ) -> "Filter":
        """Make a filter with "any" first and what is chosen marked."""
        rest = tuple(Choice(value, word, value == chosen) for value, word in values)
        return cls(name, label, (Choice("", any_label, not chosen), *rest))


@dataclass(frozen=True, slots=True)
class Hidden:
    """A parameter that a search keeps."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Pages:
    """Where one is in a list. Numbered lists know `total`; endless ones (`newer`, `older`) are walked by cursor."""

    number: int = 1
    last: int = 1
    total: int = 0
    noun: str = "rows"
    query: Mapping[str, str] | None = None
    newer: str = ""
    older: str = ""

    def href(self, number: int) -> str:
        """Return the address of a page, keeping the filters."""
        return "?" + urlencode({**{k: v for k, v in (self.query or {}).items() if v and k != "page"}, "page": number})

    @property
    def links(self) -> list[tuple[int, str]]:
        """Return the pages to name: first, last and those around this one; (0, "") stands for a gap."""
        near = sorted({1, self.last, *range(max(1, self.number - 2), min(self.last, self.number + 2) + 1)})
        links: list[tuple[int, str]] = []
        for before, page in zip([0, *near], near, strict=False):
            if page - before > 1:
                links.append((0, ""))
            links.append((page, self.href(page)))
        return links


@dataclass(frozen=True, slots=True)
class Fact:
    """A key and its value; `kind`: `text`, `lines`, `code`, `time`, `digest` (whole), `cut` (digest); `href` makes it a link."""

    key: str
    value: Any
    kind: str = "text"
    href: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A sentence of the ledger: who did what to what, quietly why, its type and position.

    The deed is cut around `label`, the name of its subject; `place` is the run it belongs to, where that is another thing.
    """

    tone: str
    icon: str
    actor: str
    before: str
    label: str
    after: str
    at: datetime
    type: str = ""
    position: int | None = None
    because: str = ""
    subject: str = ""
    subject_href: str = ""
    place: str = ""
    place_href: str = ""
    href: str = ""
    is_chosen: bool = False

    @property
    def sentence(self) -> str:
        """Return the deed in one piece."""
        return f"{self.before}{self.label}{self.after}"


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a list: the row, why it is where it is, and how far."""

    run: Any
    href: str
    why_code: str
    why: str
    done: int = 0
    total: int = 0
    lasted_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step on its run's page: the row and what came of it."""

    step: Any
    needs: tuple[int, ...] = ()
    summary: str = ""
    artifacts: Sequence[Any] = ()
    lasted_s: float | None = None
    waits: str = ""


@dataclass(frozen=True, slots=True)
class Voter:
    """Somebody on an approval: who answered and how, who still may, and who may not and why.

    `standing`: `approve` or `reject` (answered), `open` (may answer), `barred` (may not).
    """

    name: str
    standing: str
    is_you: bool = False
    note: str = ""
    because: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One threshold of an approval: who is asked, how many must agree, how many have."""

    group: str
    needed: int
    yes: int = 0
    no: int = 0
    rejections_end_it: int = 1

    @property
    def slots(self) -> list[str]:
        """Return one word per segment to draw: `yes`, `no` or nothing."""
        given = ["yes"] * min(self.yes, self.needed)
        return (
            given + ["no"] * min(self.no, self.needed - len(given)) + [""] * max(self.needed - len(given) - self.no, 0)
        )


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule that asked: its sentence, where it stands, what it asks for."""

    because: str
    where: str
    asks: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """Something a run has read or made, in the order of provenance; labels are those of its skill."""

    what: str
    detail: str = ""
    labels: tuple[str, ...] = ()
    tone: str = "odd"
    href: str = ""
    href_label: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a job's log."""

    at: str
    text: str
    is_hit: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the installation on the health page; `level`: `ok`, `warn`, `bad` or `off`."""

    name: str
    level: str
    sentence: str
    since: datetime | None = None
    icon: str = ""
    recovery: str = ""
