"""Check the whole log: every seal, every entry and every head outside, in one pass over each, without keeping them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from time import perf_counter
from typing import Any

from django.db import connection, transaction

from audit import heads
from audit.core.merkle import EMPTY_ROOT, HASH_BYTES, Edge, leaf_hash
from audit.core.proof import TreeHead, entry_digest, entry_leaf
from audit.core.times import timestamp
from audit.keys import KeyRing
from audit.models import AuditEvent, Seal

FINDINGS_KEPT = 1000  # what is wrong beyond these is counted, not described
CHUNK = 2000  # rows fetched at a time
NOTHING = leaf_hash(b"")  # a digest that no entry has

# An entry of this type, itself sealed, says that a person took the entries `first` to `last` out of the data base.
ARCHIVED_TYPE = "ledger.archive"


class Wrong(StrEnum):
    """What can be wrong with a log; `archived` is no fault."""

    MISSING = "missing"
    OUT_OF_ORDER = "out_of_order"
    HASH_MISMATCH = "hash_mismatch"
    SIGNATURE_INVALID = "signature_invalid"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: with an entry (`position`), with a seal, or with a head outside (`line`)."""

    kind: Wrong
    message: str
    position: int | None = None
    seal: int | None = None
    line: int | None = None

    def as_json(self) -> dict[str, Any]:
        places = {"position": self.position, "seal": self.seal, "line": self.line}
        return {"kind": self.kind.value, "message": self.message, **{k: v for k, v in places.items() if v is not None}}


@dataclass
class Verification:
    """What was checked and what was found; `root` and `tree_size` are those of the last seal."""

    entries: int = 0
    seals: int = 0
    heads: int = 0
    tree_size: int = 0
    root: bytes = EMPTY_ROOT
    not_sealed_because: str = ""
    findings: list[Finding] = field(default_factory=list)
    counts: dict[Wrong, int] = field(default_factory=dict)
    duration_s: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Say whether nothing is wrong; what was archived on purpose is not."""
        return not self.not_sealed_because and not any(kind != Wrong.ARCHIVED for kind in self.counts)

    def add(self, finding: Finding) -> None:
        self.counts[finding.kind] = self.counts.get(finding.kind, 0) + 1
        if len(self.findings) < FINDINGS_KEPT:
            self.findings.append(finding)

    @property
    def sentence(self) -> str:
        """Say the result to a person."""
        if self.is_whole:
            outside = f"{self.heads:,} heads outside agree" if self.heads else "no heads are kept outside"
            return f"Whole and in order: {self.entries:,} entries in {self.seals:,} seals; {outside}."
        wrong = [
            f"{count:,} {kind.value.replace('_', ' ')}" for kind, count in self.counts.items() if kind != Wrong.ARCHIVED
        ]
        return (
            "; ".join(filter(None, [f"Not whole: {', '.join(wrong)}" if wrong else "", self.not_sealed_because])) + "."
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "is_whole": self.is_whole, "sentence": self.sentence, "entries": self.entries, "seals": self.seals,
            "heads": self.heads, "tree_size": self.tree_size, "root": self.root.hex(),
            "not_sealed_because": self.not_sealed_because, "counts": {kind.value: n for kind, n in self.counts.items()},
            "findings": [finding.as_json() for finding in self.findings], "duration_s": round(self.duration_s, 3),
        }  # fmt: skip


def check_log(ring: KeyRing, *, not_sealed_because: str = "") -> Verification:
    """Check everything that is sealed, on one snapshot of the data base."""
    began = perf_counter()
    with _snapshot():
        check = _Check(ring, Verification(not_sealed_because=not_sealed_because))
        check.seals_and_entries()
        check.heads_outside()
    check.result.duration_s = perf_counter() - began
    return check.result


@contextmanager
def _snapshot() -> Iterator[None]:
    """Read all of it as of one moment, with cursors that live on the server."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


class _Check:
    def __init__(self, ring: KeyRing, result: Verification) -> None:
        self.ring = ring
        self.result = result
        self.edge = Edge()
        self.expected_seal = 1
        self.strays: dict[bytes, int] = {}  # digest of an entry that is not the one sealed at its position
        self.events = _Peekable(AuditEvent.objects.sealed().iterator(chunk_size=CHUNK))
        self.archived = _archived_ranges()

    def seals_and_entries(self) -> None:
        for sealed in Seal.objects.order_by("number").iterator(chunk_size=50):
            self._bridge_missing_seals(sealed)
            self._check_seal(sealed)
            self._check_entries(sealed)
            self.expected_seal = sealed.number + 1
        for event in self.events:
            self._wrong(
                Wrong.MISSING,
                f"entry {event.position} is numbered, and the seal of it is gone",
                event.position,
                event.seal,
            )
        self._tell_strays_apart()

    def _bridge_missing_seals(self, sealed: Seal) -> None:
        """Go on behind seals that are gone: their entries, if they are there, still lead to the next root."""
        for number in islice(range(self.expected_seal, sealed.number), FINDINGS_KEPT):
            self._wrong(Wrong.MISSING, f"seal {number} is gone", seal=number)
        while (position := self.edge.size + 1) < sealed.first_position:
            event = self._event_at(position)
            if event is None:
                break
            self.edge = self.edge.extended([entry_leaf(position, _digest(event))])

    def _check_seal(self, sealed: Seal) -> None:
        self.result.seals += 1
        number = sealed.number
        if sealed.first_position != self.edge.size + 1:
            message = f"seal {number} begins at {sealed.first_position}, the one before ends at {self.edge.size}"
            self._wrong(Wrong.OUT_OF_ORDER, message, seal=number)
        is_signed = sealed.head.is_signed(self._verify)
        if not is_signed:
            message = f"seal {number} is not signed by a key that is known, or was changed after it was"
            self._wrong(Wrong.SIGNATURE_INVALID, message, seal=number)
        grown = self._grown(sealed)
        if grown is not None and grown.root() == bytes(sealed.root) and grown.to_bytes() == bytes(sealed.edge):
            self.edge = grown
        else:
            message = f"the digests of seal {number} do not lead to its root"
            self._wrong(Wrong.HASH_MISMATCH, message, seal=number)
            self.edge = _resumed(sealed, grown)
        self.result.tree_size, self.result.root = sealed.tree_size, bytes(sealed.root)

    def _grown(self, sealed: Seal) -> Edge | None:
        size = sealed.last_position - sealed.first_position + 1
        if sealed.first_position < 1 or len(bytes(sealed.digests)) != size * HASH_BYTES:
            return None
        return self.edge.extended(sealed.leaves)

    def _check_entries(self, sealed: Seal) -> None:
        # By the digests, not by the positions it claims: a changed number must not send us counting for years.
        for position, sealed_digest in enumerate(sealed.entry_digests, start=sealed.first_position):
            event = self._event_at(position)
            if event is None:
                self._missing(position, sealed.number)
                continue
            self.result.entries += 1
            digest = _digest(event)
            if digest != sealed_digest:
                self._stray(digest, position)
            elif event.seal != sealed.number:
                message = f"entry {position} says that it is in seal {event.seal}, it is in {sealed.number}"
                self._wrong(Wrong.HASH_MISMATCH, message, position, sealed.number)
            elif changed := changed_column(event):
                message = f"the column {changed} of entry {position} is not what was sealed"
                self._wrong(Wrong.HASH_MISMATCH, message, position, sealed.number)

    def _event_at(self, position: int) -> AuditEvent | None:
        while (event := self.events.peek()) is not None:
            assert event.position is not None
            if event.position > position:
                return None
            next(self.events)
            if event.position == position:
                return event
        return None

    def _missing(self, position: int, seal: int) -> None:
        for first, last in self.archived:
            if first <= position <= last:
                self._wrong(Wrong.ARCHIVED, f"entry {position} was archived", position, seal)
                return
        self._wrong(Wrong.MISSING, f"entry {position} is gone", position, seal)

    def _stray(self, digest: bytes, position: int) -> None:
        if len(self.strays) < FINDINGS_KEPT:
            self.strays[digest] = position
        else:
            self._wrong(Wrong.HASH_MISMATCH, f"entry {position} is not what was sealed", position)

    def _tell_strays_apart(self) -> None:
        """Say of each entry that does not fit whether it was changed, or was sealed at another position."""
        sealed_at: dict[bytes, int] = {}
        if self.strays:
            for sealed in Seal.objects.order_by("number").iterator(chunk_size=50):
                for index, digest in enumerate(sealed.entry_digests):
                    if digest in self.strays:
                        sealed_at[digest] = sealed.first_position + index
        for digest, position in self.strays.items():
            if digest in sealed_at:
                message = f"entry {position} was sealed at position {sealed_at[digest]}"
                self._wrong(Wrong.OUT_OF_ORDER, message, position)
            else:
                self._wrong(Wrong.HASH_MISMATCH, f"entry {position} is not what was sealed", position)

    def heads_outside(self) -> None:
        """Compare every head outside that still counts with the seal of its number."""
        try:
            limits = self._restores()
            standing = (found for found in heads.all_outside() if _still_counts(found, limits))
            while batch := list(islice(standing, CHUNK)):
                self._compare(batch)
        except (OSError, heads.HeadsDamaged) as error:
            self._wrong(Wrong.SIGNATURE_INVALID, f"the tree heads outside cannot be read: {error}")

    def _restores(self) -> list[tuple[int, int]]:
        """Return line and tree size of each accepted restore: heads above that are beyond it no longer count."""
        accepted = (found for found in heads.all_outside() if found[1].restore)
        return [(line, head.tree_size) for line, head in accepted if head.is_signed(self._verify)]

    def _compare(self, batch: list[tuple[int, TreeHead]]) -> None:
        numbers = {head.seal for _, head in batch}
        rows = Seal.objects.filter(number__in=numbers).values_list("number", "last_position", "root")
        inside = {number: (size, bytes(root)) for number, size, root in rows}
        for line, head in batch:
            self.result.heads += 1
            found = inside.get(head.seal, (0, EMPTY_ROOT) if head.seal == 0 else None)
            if not head.is_signed(self._verify):
                message = f"the head of seal {head.seal} outside is not signed by a key that is known"
                self._wrong(Wrong.SIGNATURE_INVALID, message, seal=head.seal, line=line)
            elif found is None:
                message = (
                    f"seal {head.seal} with {head.tree_size} entries is known outside, and gone from the data base"
                )
                self._wrong(Wrong.MISSING, message, seal=head.seal, line=line)
            elif found != (head.tree_size, head.root):
                message = f"seal {head.seal} is another one outside than in the data base"
                self._wrong(Wrong.HASH_MISMATCH, message, seal=head.seal, line=line)

    def _wrong(
        self, kind: Wrong, message: str, position: int | None = None, seal: int | None = None, line: int | None = None
    ) -> None:
        self.result.add(Finding(kind, message, position, seal, line))

    def _verify(self, kid: str, data: bytes, signature: bytes) -> bool:
        return self.ring.verify("seal", kid, data, signature)


def changed_column(event: AuditEvent) -> str:
    """Return the first column that differs from the canonical bytes it repeats, or ""."""
    try:
        exact = event.exact
    except ValueError:
        return "body"
    for name in ("type", "subject", "actor", "actor_id", "via", "on_behalf_of", "because", "correlation_id"):
        if getattr(event, name) != exact.get(name):
            return name
    for name in ("workspace", "run"):
        value = getattr(event, name)
        if (str(value) if value else None) != exact.get(name):
            return name
    if timestamp(event.at) != exact.get("at"):
        return "at"
    return "" if _is_same(event.facts, exact.get("facts")) else "facts"


_sorted = json.JSONEncoder(sort_keys=True).encode


def _is_same(one: Any, other: Any) -> bool:
    """Say whether two JSON values are equal: `true` is not 1, and 1.0 is (jsonb writes numbers its own way)."""
    return _sorted(one) == _sorted(other) or _sorted(_numbers_alike(one)) == _sorted(_numbers_alike(other))


def _numbers_alike(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int() | float():
            return float(value)
        case dict():
            return {key: _numbers_alike(item) for key, item in value.items()}
        case list():
            return [_numbers_alike(item) for item in value]
    return value


def _digest(event: AuditEvent) -> bytes:
    return entry_digest(event.pk, bytes(event.body))


def _resumed(sealed: Seal, grown: Edge | None) -> Edge:
    """Return an edge from which the seals after a bad one can still be judged: the stored one if its root is signed."""
    try:
        stored = sealed.tree_edge
    except ValueError:
        stored = None
    if stored is not None and stored.root() == bytes(sealed.root):
        return stored
    if grown is not None and grown.size == sealed.tree_size:
        return grown
    return Edge(sealed.tree_size, (NOTHING,) * sealed.tree_size.bit_count())


def _archived_ranges() -> list[tuple[int, int]]:
    entries = AuditEvent.objects.sealed().filter(type=ARCHIVED_TYPE).values_list("facts", flat=True)
    ranges = [(facts.get("first"), facts.get("last")) for facts in entries]
    return [(first, last) for first, last in ranges if isinstance(first, int) and isinstance(last, int)]


def _still_counts(found: tuple[int, TreeHead], restores: list[tuple[int, int]]) -> bool:
    line, head = found
    return all(head.tree_size <= size for at, size in restores if at > line)


class _Peekable:
    def __init__(self, items: Iterator[AuditEvent]) -> None:
        self._items = items
        self._next: AuditEvent | None = next(items, None)

    def __iter__(self) -> Iterator[AuditEvent]:
        return self

    def __next__(self) -> AuditEvent:
        if self._next is None:
            raise StopIteration
        found, self._next = self._next, next(self._items, None)
        return found

    def peek(self) -> AuditEvent | None:
        return self._next
