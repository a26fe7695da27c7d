"""Number what was committed and seal it into a signed Merkle log; one sealer at a time, one batch a transaction."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, connection, transaction
from django.utils.timezone import now

from audit import heads
from audit.core.codes import Code
from audit.core.merkle import EMPTY_ROOT, Edge, Window
from audit.core.proof import Proof, TreeHead, entry_digest, entry_leaf
from audit.core.refusals import Refused
from audit.core.times import timestamp
from audit.keys import ring
from audit.models import AuditEvent, Seal
from audit.verification import Verification, check_log

BATCH = 500
SEAL_LOCK = 0x5EA1  # the key of the advisory lock that makes sealers take turns

log = logging.getLogger(__name__)


class SealingStopped(Refused):
    """The log may not be continued: the heads outside know of entries that are gone, or somebody tampered with it."""

    code = Code.FROZEN
    recovery = "Run manage.py verify_ledger and find out what happened to the data base; if it was restored on purpose, run manage.py accept_restore."


def seal(limit: int = BATCH, *, is_patient: bool = False) -> int:
    """Seal up to `limit` committed entries and return how many; 0 if there are none or somebody else is at it.

    Who is patient waits for the other sealer. Refuses with `frozen` while the log outside is ahead of the data base.
    """
    if not AuditEvent.objects.unsealed().exists():
        return 0
    try:
        return _seal_next(limit, is_patient=is_patient)
    except IntegrityError as error:
        raise SealingStopped(
            f"nothing is sealed: an entry has a position that no seal gave it ({str(error).splitlines()[0]})"
        ) from error


def _seal_next(limit: int, *, is_patient: bool) -> int:
    with transaction.atomic():
        if not _is_my_turn(is_patient=is_patient):
            return 0
        # Read under the lock: whatever another sealer has written outside is by now committed inside.
        if difference := outside_difference():
            raise SealingStopped(f"nothing is sealed: {difference}")
        rows = list(AuditEvent.objects.unsealed().values_list("id", "body")[:limit])
        if rows:
            _seal_rows(rows)
            transaction.on_commit(publish_heads)
    return len(rows)


def seal_all() -> int:
    """Seal everything that is committed by now; return how many entries that were."""
    total = 0
    while sealed := seal(is_patient=True):
        total += sealed
    return total


def verify() -> Verification:
    """Seal what waits, then check every seal, every entry and every head outside; streaming."""
    problem = ""
    try:
        seal_all()
    except SealingStopped as stopped:
        problem = str(stopped)
    return check_log(ring(), not_sealed_because=problem)


def proof_of(event: AuditEvent) -> Proof:
    """Return the proof that the entry stands in the log: to the head of its seal, and from there to the newest."""
    if event.position is None:
        seal_all()
        event.refresh_from_db(fields=["position", "seal"])
    assert event.position is not None
    assert event.seal is not None
    own = Seal.objects.get(number=event.seal)
    newest = Seal.objects.latest("number")
    before = Seal.objects.filter(number=own.number - 1).first()
    window = Window(before.tree_edge if before else Edge(), own.leaves)
    later = Seal.objects.filter(number__gt=own.number, number__lte=newest.number).order_by("number")
    growth = Window(own.tree_edge, [leaf for one in later.iterator() for leaf in one.leaves])
    return Proof(
        id=event.pk,
        position=event.position,
        body=bytes(event.body),
        path=tuple(window.inclusion(event.position - 1)),
        head=own.head,
        consistency=tuple(growth.consistency(own.tree_size)),
        newest=newest.head,
    )


# --- The heads ------------------------------------------------------------------------------------------------------


def publish_heads() -> int:
    """Write all heads outside that are not there yet; return how many. What fails is logged and done the next time."""

    def missing(last: TreeHead | None) -> Iterable[TreeHead]:
        later = Seal.objects.filter(number__gt=last.seal if last else 0).order_by("number")
        return (sealed.head for sealed in later.defer("digests", "edge").iterator())

    try:
        return heads.append(missing)
    except (OSError, heads.HeadsDamaged):
        log.exception("tree heads could not be written outside the data base")
        return 0


@dataclass(frozen=True, slots=True)
class SealerHealth:
    """How sealing is doing: what waits since when, when it last sealed, what stops it, and how far outside is behind."""

    waiting: int
    waiting_since: datetime | None
    last_sealed_at: datetime | None
    stopped_because: str
    heads_behind: int
    tree_size: int = 0


def sealer_health() -> SealerHealth:
    """Return how sealing is doing, for the health page."""
    difference = outside_difference()
    waiting = AuditEvent.objects.unsealed()
    last = Seal.objects.order_by("-number").values_list("number", "sealed_at", "last_position").first()
    behind = 0
    if last and heads.heads_file() and not difference:
        outside = heads.newest_outside()
        behind = last[0] - (outside.seal if outside else 0)
    return SealerHealth(
        waiting=waiting.count(),
        waiting_since=waiting.values_list("at", flat=True).first(),
        last_sealed_at=last[1] if last else None,
        stopped_because=difference,
        heads_behind=behind,
        tree_size=last[2] if last else 0,
    )


def outside_difference() -> str:
    """Say how the newest head outside contradicts the data base, or "" if it does not."""
    try:
        outside = heads.newest_outside()
    except (OSError, heads.HeadsDamaged) as error:
        return f"the tree heads outside cannot be read ({error})"
    if outside is None or outside.seal == 0:
        return ""
    if not outside.is_signed(lambda kid, data, signature: ring().verify("seal", kid, data, signature)):
        return f"the newest head outside, of seal {outside.seal}, is not signed by a key that is known"
    inside = Seal.objects.filter(number=outside.seal).values_list("last_position", "root").first()
    if inside is None:
        return f"the log outside has {outside.tree_size} entries in {outside.seal} seals, the data base ends before"
    if (inside[0], bytes(inside[1])) != (outside.tree_size, outside.root):
        return f"seal {outside.seal} is another one outside than in the data base"
    return ""


def outside_ahead() -> bool:
    """Say whether the data base was restored, cut or replaced: the newest head outside is not one of its own."""
    return outside_difference() != ""


def signed_head(number: int, tree_size: int, root: bytes, *, restore: str = "") -> TreeHead:
    """Return a new head of now, signed with the active sealing key."""
    bare = TreeHead(number, tree_size, root, timestamp(now()), restore)
    kid, signature = ring().sign("seal", bare.signed())
    return TreeHead(number, tree_size, root, bare.at, restore, kid, signature)


def database_head() -> tuple[int, int, bytes]:
    """Return the number of the last seal in the data base, the tree size and the root; zeros for an empty log."""
    last = Seal.objects.order_by("-number").values_list("number", "last_position", "root").first()
    return (last[0], last[1], bytes(last[2])) if last else (0, 0, EMPTY_ROOT)


# --- Inside ---------------------------------------------------------------------------------------------------------


def _is_my_turn(*, is_patient: bool) -> bool:
    with connection.cursor() as cursor:
        if is_patient:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SEAL_LOCK])
            return True
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [SEAL_LOCK])
        return bool(cursor.fetchone()[0])


def _seal_rows(rows: Sequence[tuple[int, bytes | memoryview]]) -> None:
    last = Seal.objects.order_by("-number").defer("digests").first()
    number, edge = (last.number + 1 if last else 1), last.tree_edge if last else Edge()
    positions = list(range(edge.size + 1, edge.size + len(rows) + 1))
    digests = [entry_digest(id_, bytes(body)) for id_, body in rows]
    grown = edge.extended(map(entry_leaf, positions, digests))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE audit_auditevent AS entry SET position = numbered.position, seal = %s "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS numbered (id, position) "
            "WHERE entry.id = numbered.id AND entry.position IS NULL",
            [number, [id_ for id_, _ in rows], positions],
        )
        if cursor.rowcount != len(rows):
            raise RuntimeError(f"{len(rows)} entries waited for seal {number}, {cursor.rowcount} were still there")
    at = now()
    root = grown.root()
    kid, signature = ring().sign("seal", TreeHead(number, grown.size, root, timestamp(at)).signed())
    Seal.objects.create(
        number=number, first_position=positions[0], last_position=positions[-1], root=root, digests=b"".join(digests),
        edge=grown.to_bytes(), sealed_at=at, kid=kid, signature=signature,
    )  # fmt: skip
