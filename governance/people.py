"""Who is asking: a person or a service account in one workspace, with the roles they have there."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.principals import Principal, person
from governance.core.permissions import may
from governance.models import Membership, Run, ServiceAccount, Workspace

AUDITORS = "auditors"
CHOSEN_WORKSPACE = "workspace"  # in a session: the id of the workspace that a person with several has chosen


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody in a workspace. `user` is None for a service account; `roles` are those of domain.md, section 5."""

    principal: Principal
    user: Any
    workspace: Workspace
    roles: frozenset[str]

    @property
    def workspace_id(self) -> UUID:
        return self.workspace.pk

    def may(self, verb: str) -> bool:
        return may(self.roles, verb)

    def must(self, verb: str) -> None:
        """Refuse with forbidden when the asker's roles do not have the verb."""
        if not self.may(verb):
            raise Refused(
                f"your role here does not let you {str(verb).replace('_', ' ')}",
                code=Code.FORBIDDEN,
                recovery="Ask an admin or owner of the workspace.",
            )


def asker_of(user: Any, workspace: Workspace, *, via: str = "session") -> Asker | None:
    """Return a person as an asker in a workspace, None when they have no business there."""
    roles = set(Membership.objects.filter(user=user, workspace=workspace).values_list("role", flat=True))
    if user.is_superuser:
        roles.add("superuser")
    if user.groups.filter(name=AUDITORS).exists():
        roles.add("auditor")
    return Asker(person(user, via=via), user, workspace, frozenset(roles)) if roles else None


def may_everywhere(user: Any, verb: str) -> bool:
    """Say whether a person may do this in every workspace: what exists once for all is not one workspace's to stop."""
    if user.is_superuser and may({"superuser"}, verb):
        return True
    roles = dict(Membership.objects.filter(user=user).values_list("workspace", "role"))
    workspaces = list(Workspace.objects.values_list("pk", flat=True))
    return bool(workspaces) and all(pk in roles and may({roles[pk]}, verb) for pk in workspaces)


def service_asker(account: ServiceAccount, *, via: str) -> Asker:
    """Return a service account as an asker; the persons behind it are its owners."""
    owners = frozenset(str(pk) for pk in account.owners.values_list("pk", flat=True))
    principal = Principal("service", account.name, id=str(account.pk), persons=owners, via=via)
    return Asker(principal, None, account.workspace, frozenset({account.role}))


def person_known_in(workspace: Workspace, username: str) -> Any:
    """Return somebody who belongs to a workspace or has asked for something there, by user name; refuses with not_found."""
    user = get_user_model()._default_manager.filter(username=username).first()
    is_known = user is not None and (
        Membership.objects.filter(workspace=workspace, user=user).exists()
        or Run.objects.filter(workspace=workspace, requester_persons__contains=[str(user.pk)]).exists()
    )
    if not is_known:
        raise Refused(f"nobody here is called {username[:80]!r}", code=Code.NOT_FOUND)
    return user


def workspaces_of(user: Any) -> list[Workspace]:
    """Return the workspaces that a person may enter, by name: their own, or all for superusers and auditors."""
    if user.is_superuser or user.groups.filter(name=AUDITORS).exists():
        return list(Workspace.objects.order_by("slug"))
    return list(Workspace.objects.filter(memberships__user=user).order_by("slug"))


def workspace_for(user: Any, named: str = "") -> Asker:
    """Return the asker for the workspace that a session names, or for the only one there is.

    Refuses with bad_request when it must be named, and not_found when it is none of theirs.
    """
    found = workspaces_of(user)
    if named:
        found = [each for each in found if named in (each.slug, str(each.pk))]
    if len(found) > 1:
        raise Refused(
            "say which workspace you mean",
            code=Code.BAD_REQUEST,
            facts={"workspaces": [each.slug for each in found]},
            recovery="Send the header Worka-Workspace with a workspace's slug.",
        )
    asker = asker_of(user, found[0]) if found else None
    if asker is None:
        raise Refused("there is no such workspace for you", code=Code.NOT_FOUND)
    return asker


def asker_in_session(request: Any) -> Asker:
    """Return who asks in a browser: in the workspace that the session has chosen, else in their first by name.

    Refuses with not_found whoever has no business in any workspace. Asked once a request.
    """
    known: Asker | None = getattr(request, "worka_asker", None)
    if known is None:
        mine = workspaces_in_session(request)
        chosen = request.session.get(CHOSEN_WORKSPACE, "")
        workspace = next((each for each in mine if str(each.pk) == chosen), mine[0] if mine else None)
        known = asker_of(request.user, workspace) if workspace else None
        if known is None:
            raise Refused(
                "you are in no workspace yet",
                code=Code.NOT_FOUND,
                recovery="Ask an admin or owner of a workspace to add you.",
            )
        if len(mine) > 1 and str(known.workspace_id) != chosen:
            # The live stream has no header to name it by: it asks the session, too.
            request.session[CHOSEN_WORKSPACE] = str(known.workspace_id)
        request.worka_asker = known
    return known


def workspaces_in_session(request: Any) -> list[Workspace]:
    """Return the workspaces that the signed-in person may choose from; asked once a request."""
    if not hasattr(request, "worka_workspaces"):
        request.worka_workspaces = workspaces_of(request.user)
    found: list[Workspace] = request.worka_workspaces
    return found


def choose_workspace(request: Any, named: str) -> Asker:
    """Let the session go on in another workspace, by slug or id; refuses with not_found when it is none of theirs."""
    asker = workspace_for(request.user, named or "-")
    request.session[CHOSEN_WORKSPACE] = str(asker.workspace_id)
    request.worka_asker = asker
    return asker
