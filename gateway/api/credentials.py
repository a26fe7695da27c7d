"""Who calls: an API key of one workspace, or a signed-in session with CSRF."""

from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.request import Request

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.keys import KeyRefused, Scope, authenticate
from gateway.limiting import Window, count_request
from gateway.models import ApiKey
from governance.people import CHOSEN_WORKSPACE, Asker, workspace_for

WORKSPACE_HEADER = "Worka-Workspace"
SESSION_RATE = 1200


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer wk_…`; the asker and the key are put on the request."""

    def authenticate(self, request: Request) -> tuple[Any, ApiKey] | None:
        scheme, _, text = get_authorization_header(request).decode("latin-1").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer":
            raise KeyRefused("only bearer keys are known here")
        key, asker = authenticate(text.strip(), address_of(request))
        request._request.worka_asker = asker  # type: ignore[attr-defined]
        return (asker.user or asker.principal), key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="worka"'


class PersonAuthentication(SessionAuthentication):
    """A session, with CSRF on everything that writes."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        # An event stream cannot send headers: a browser goes on in the workspace that its session has chosen.
        named = request.headers.get(WORKSPACE_HEADER) or request._request.session.get(CHOSEN_WORKSPACE, "")
        request._request.worka_asker = workspace_for(found[0], named)  # type: ignore[attr-defined]
        return found


def asker_of_request(request: Request) -> Asker:
    """Return who asks, or refuse with unauthorized."""
    asker = getattr(request._request, "worka_asker", None)
    if request.user is None or asker is None:
        raise KeyRefused("say who you are")
    return asker


def count_call(request: Request, asker: Asker) -> Window:
    """Count a request of a key, or of a person with a session; refuses with rate_limited."""
    key = request.auth
    if isinstance(key, ApiKey):
        return count_request(f"key:{key.pk}", key.rate_per_minute)
    return count_request(f"person:{asker.principal.id}", SESSION_RATE)


def demand_scope(request: Request, scope: Scope) -> None:
    """Refuse with missing_scope when the key does not have it; a session has what its person has."""
    key = request.auth
    if isinstance(key, ApiKey) and scope not in key.scopes and Scope.ADMIN not in key.scopes:
        raise Refused(
            f"the key lacks the scope {scope}",
            code=Code.MISSING_SCOPE,
            facts={"required": str(scope)},
            recovery="Use a key that has it; an admin of the workspace can make one.",
        )


def address_of(request: Request | HttpRequest) -> str:
    """Return the address of the client; the header of a proxy counts only from a proxy that is trusted."""
    peer = str(request.META.get("REMOTE_ADDR") or "127.0.0.1")
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if forwarded and peer in {str(proxy) for proxy in settings.WORKA_TRUSTED_PROXIES}:
        peer = forwarded.rpartition(",")[2].strip()
    try:
        return str(ip_address(peer))
    except ValueError:
        return "0.0.0.0"  # noqa: S104  # an address that no network of a key contains


def demand_https(request: Request) -> None:
    """Refuse with https_required plain http from anywhere but this machine."""
    if not request.is_secure() and not ip_address(address_of(request)).is_loopback:
        raise Refused(
            "this API speaks https only", code=Code.HTTPS_REQUIRED, recovery="Use the https address of this site."
        )
