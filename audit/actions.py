"""What people do to the ledger: nothing but have it checked, and that is written down as well."""

from audit.ledger import record
from audit.principals import Principal
from audit.restore import SUBJECT
from audit.sealing import verify
from audit.verification import Verification


def verify_ledger(*, by: Principal, because: str = "to know that it is whole") -> Verification:
    """Check every entry, every seal and every head outside, and write down who had it done and how it went."""
    result = verify()
    record(
        "ledger.verify", SUBJECT, by=by, because=because, whole=result.is_whole, entries=result.entries,
        tree_size=result.tree_size, duration_ms=round(result.duration_s * 1000),
    )  # fmt: skip
    return result
