"""What happens when the data base is older than the heads outside: everything is frozen until a person accepts it."""

from collections.abc import Callable

from django.db import transaction

from audit import heads
from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import record
from audit.models import AuditEvent
from audit.principals import Principal
from audit.sealing import database_head, outside_difference, publish_heads, seal_all, signed_head

SUBJECT = "audit.ledger:log"

# Called with the reason when the log outside is found to be ahead; stops all work. Calling it twice is harmless.
Freeze = Callable[[str], None]
# Called in the transaction in which a person accepts the restore; lets work go on that `Freeze` stopped.
Thaw = Callable[[Principal, str], None]

_freezers: dict[str, Freeze] = {}
_thawers: dict[str, Thaw] = {}


def register(name: str, *, freeze: Freeze, thaw: Thaw) -> None:
    """Announce how a layer above stops and resumes its work; the ledger itself knows nobody's work."""
    _freezers[name] = freeze
    _thawers[name] = thaw


def freeze_if_restored() -> str:
    """Freeze everything if the data base was restored or cut, and return why; "" if all is well. Called at start."""
    difference = outside_difference()
    if difference:
        for freeze in _freezers.values():
            freeze(f"the data base was restored or cut: {difference}")
    return difference


def accept_restore(*, by: Principal, because: str) -> AuditEvent:
    """Let the log go on from where the data base stands, in the ledger and in the heads outside.

    Refuses with `transition_refused` if there is nothing to accept, and with `invalid` without a reason.
    """
    if not because.strip():
        raise Refused("say why it is right to go on from here", code=Code.INVALID)
    difference = outside_difference()
    if not difference:
        raise Refused("the log outside is not ahead of the data base", code=Code.TRANSITION_REFUSED)
    number, tree_size, root = database_head()
    with transaction.atomic():
        entry = record(
            "ledger.accept_restore", SUBJECT, by=by, because=because,
            difference=difference, seal=number, tree_size=tree_size, root=root.hex(),
        )  # fmt: skip
        for thaw in _thawers.values():
            thaw(by, because)
    head = signed_head(number, tree_size, root, restore=f"{by} accepted: {because}")
    heads.append(lambda _last: [head])
    seal_all()
    publish_heads()
    return entry
