"""Who may touch secrets and connections: owners and admins of their workspace, asked by the actions themselves."""

from django.contrib.auth import get_user_model

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import Principal
from governance.core.permissions import Verb
from governance.models import ServiceAccount, Workspace
from governance.people import Asker, asker_of, service_asker


def demand_manager(workspace: Workspace, by: Principal, because: str) -> None:
    """Refuse with forbidden whoever may not manage connections here, and with invalid who does not say why."""
    if not because.strip():
        raise Refused("say why", code=Code.INVALID, recovery="Give a reason; it is written down.")
    if by.kind == "system":
        return
    asker = asker_named(workspace, by)
    if asker is None:
        raise Refused("secrets and connections are not yours to manage", code=Code.FORBIDDEN)
    asker.must(Verb.MANAGE_CONNECTIONS)


def asker_named(workspace: Workspace, by: Principal) -> Asker | None:
    """Return a principal as an asker in a workspace, None when there is nobody behind it who has any business there."""
    if by.kind == "user" and by.id:
        user = get_user_model()._default_manager.filter(pk=by.id, is_active=True).first()
        return asker_of(user, workspace) if user else None
    if by.kind == "service" and by.id:
        account = ServiceAccount.objects.select_related("workspace").filter(pk=by.id, workspace=workspace).first()
        return service_asker(account, via=by.via) if account else None
    return None
