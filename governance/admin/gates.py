"""Decisions in the console: what waits for people, and their two answers."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model

from audit.principals import Principal
from audit.screens import Button, DecisionAdmin, Pressable
from governance.actions.votes import vote
from governance.core.states import GateState
from governance.models import Gate
from governance.people import asker_in_session
from governance.queries import gates_visible_to


def approve(gate: Gate, *, by: Principal, because: str, payload_digest: str) -> str:
    """Say yes to exactly the payload with this digest."""
    return _answered(_vote(gate, "approve", by, because, payload_digest))


def reject(gate: Gate, *, by: Principal, because: str, payload_digest: str) -> str:
    """Say no."""
    return _answered(_vote(gate, "reject", by, because, payload_digest))


def _vote(gate: Gate, verdict: str, by: Principal, because: str, payload_digest: str) -> Gate:
    user = get_user_model().objects.get(pk=by.id)
    return vote(
        gate.pk, by=by, user=user, verdict=verdict, because=because, payload_digest=payload_digest, channel="web"
    )


def _answered(gate: Gate) -> str:
    number = gate.run.number
    if gate.state == GateState.APPROVED:
        what = (
            "The run goes on"
            if gate.plan_id and not gate.step_id
            else "The gateway performs exactly this call now, once"
        )
        return f"Approved, and written to the ledger. {what}."
    if gate.state == GateState.REJECTED:
        return f"Rejected, and written to the ledger. Nothing of it happens, and run {number} ends."
    return "Your answer counts, and is written to the ledger. More people must agree before anything happens."


def anybody(user: Any, gate: Gate) -> bool:
    """Let the vote itself say who may answer: its refusal says why not, and what to do."""
    return True


@admin.register(Gate)
class GateAdmin(DecisionAdmin):
    """A decision; a held one waits for the people it asks."""

    visible_to = staticmethod(
        lambda request: gates_visible_to(asker_in_session(request)).select_related("plan", "payload", "run__workspace")
    )
    list_page = "worka/pages/approvals.html"
    row_page = "worka/pages/approval.html"
    buttons = (
        Button("approve", "Approve", approve, anybody, icon="check", tone="yes", fields=("payload_digest",)),
        Button("reject", "Reject", reject, anybody, icon="close", tone="no", fields=("payload_digest",)),
    )

    def buttons_for(self, user: Any, subject: Any) -> list[Pressable]:
        """Draw none: both answers stand in one form of the page, with one reason."""
        return []
