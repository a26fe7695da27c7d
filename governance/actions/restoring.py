"""What happens to the work when the ledger was cut or restored: it stands still until a person accepts that."""

from audit.principals import SYSTEM, Principal
from governance.actions.freezing import freeze_workspace, thaw_workspace
from governance.models import Workspace


def freeze_everything(because: str) -> None:
    """Freeze every workspace that is not frozen already."""
    for pk in Workspace.objects.filter(frozen_at=None).values_list("pk", flat=True):
        freeze_workspace(pk, by=SYSTEM, because=because)


def thaw_what_the_restore_froze(by: Principal, because: str) -> None:
    """Let go what `freeze_everything` has stopped; what people have frozen stays frozen."""
    for pk in Workspace.objects.filter(frozen_by=str(SYSTEM)).values_list("pk", flat=True):
        thaw_workspace(pk, by=by, because=because)
