"""What a run may spend: reserved before a call, settled after it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from audit.rows import Asked, along, find
from governance.models import Budget, SkillInvocation

MOVE = "UPDATE governance_budget SET reserved = reserved + %s, spent = spent + %s WHERE scope = %s AND kind = %s"
RESERVE = """
    UPDATE governance_budget SET reserved = reserved + 1
    WHERE scope = %s AND kind = %s AND ("limit" IS NULL OR spent + reserved + 1 <= "limit")
"""
SPENDING = """
    SELECT usd."limit", usd.spent + usd.reserved, tokens."limit", tokens.spent + tokens.reserved
    FROM governance_budget usd JOIN governance_budget tokens ON tokens.scope = usd.scope AND tokens.kind = %s
    WHERE usd.scope = %s AND usd.kind = %s
"""
# Both rows in one statement; the run's lock keeps two of them apart.
RESERVE_SPENDING = """
    UPDATE governance_budget budget SET reserved = reserved + wanted.amount
    FROM (VALUES (%s::varchar, %s::numeric), (%s, %s)) AS wanted (kind, amount)
    WHERE scope = %s AND budget.kind = wanted.kind
"""
SETTLE_SPENDING = """
    UPDATE governance_budget budget SET reserved = reserved - done.back, spent = spent + done.amount
    FROM (VALUES (%s::varchar, %s::numeric, %s::numeric), (%s, %s, %s)) AS done (kind, back, amount)
    WHERE scope = %s AND budget.kind = done.kind
"""
NOUN = {Budget.Kind.USD: "US dollars", Budget.Kind.TOKENS: "tokens", Budget.Kind.INVOCATIONS: "calls"}


def open_budgets(workspace_id: UUID, scope: UUID, limits: Mapping[str, Decimal | int | None]) -> None:
    """Create the budgets of a new scope, one for each kind: a lock on no row locks nothing."""
    Budget.objects.bulk_create(
        Budget(workspace_id=workspace_id, scope=scope, kind=kind, limit=limits.get(kind)) for kind in Budget.Kind.values
    )


def has_reservation(call: SkillInvocation) -> bool:
    """Say whether a call was reserved before: one that was requeued keeps lease and reservation, a reset one gave both back."""
    return call.lease_id is not None


def reserve_invocation(scope: UUID) -> str:
    """Reserve one more call in the scope's budget, or say why one more is too many; the row is locked either way."""
    with connection.cursor() as cursor:
        cursor.execute(RESERVE, [scope, Budget.Kind.INVOCATIONS])
        if cursor.rowcount == 1:
            return ""
    budget = find(Budget, locked=True, scope=scope, kind=Budget.Kind.INVOCATIONS)
    if budget is None or budget.limit is None:
        return "the run has no budget of calls"
    return f"the run has used its {budget.limit.normalize():f} {NOUN[Budget.Kind.INVOCATIONS]}"


def settle_invocation(scope: UUID, *, performed: bool) -> None:
    """Turn one reserved call into a spent one, or give it back when nothing was performed."""
    _move(scope, reserved=-1, spent=1 if performed else 0)


def spend_reservation(call: SkillInvocation) -> None:
    """Count a call as spent that was requeued and ends without being performed again: its first performer may have done it."""
    if has_reservation(call):
        settle_invocation(call.run_id, performed=True)


def spending_asked(scope: UUID) -> Asked:
    """Return the one statement that reads what a run may still spend; it stands as long as the run is locked."""
    return Asked(SPENDING, (str(Budget.Kind.TOKENS), scope, str(Budget.Kind.USD)))


def reserve_spending(scope: UUID, *, usd: Decimal, tokens: int) -> None:
    """Reserve what a model call costs at most. That it is not too little must be known, and the run locked since."""
    values: list[Any] = [str(Budget.Kind.USD), usd, str(Budget.Kind.TOKENS), tokens, scope]
    along(RESERVE_SPENDING, values)


def settle_spending(
    scope: UUID, *, reserved_usd: Decimal, reserved_tokens: int, usd: Decimal = Decimal(0), tokens: int = 0
) -> None:
    """Give a reservation back and count what was really used."""
    values: list[Any] = [
        str(Budget.Kind.USD),
        reserved_usd,
        usd,
        str(Budget.Kind.TOKENS),
        reserved_tokens,
        tokens,
        scope,
    ]
    along(SETTLE_SPENDING, values)


def _move(scope: UUID, *, reserved: int, spent: int) -> None:
    along(MOVE, [reserved, spent, scope, str(Budget.Kind.INVOCATIONS)])
