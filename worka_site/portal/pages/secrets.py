"""Secrets: that they exist, what may use them, and what depends on them before one is rotated or revoked; never a value."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.ledger import subject_of
from audit.principals import Principal
from gateway.admin.treasury import SecretAdmin
from gateway.core.placeholders import names_in
from gateway.models import Secret
from gateway.treasury.impact import impact_of
from gateway.treasury.queries import connections_visible_to, secrets_visible_to
from gateway.treasury.secrets import put_secret
from governance.core.permissions import Verb
from governance.people import Asker, asker_in_session
from worka_site.portal.links import to
from worka_site.portal.paging import page_of
from worka_site.portal.registry import page
from worka_site.portal.shapes import Choice, Crumb, Fact
from worka_site.portal.stories import entries_about, history_of


@page("gateway.secret.list")
def secrets_page(request: HttpRequest) -> dict[str, Any]:
    """Return the workspace's secrets with what may use each."""
    rows, pages = page_of(request, secrets_visible_to(asker_in_session(request)))
    return {
        "title": "Secrets",
        "crumbs": [Crumb("Secrets")],
        "secrets": [{"secret": each, "newest": next(iter(each.versions.all()), None), "grants": _to(each)} for each in rows],
        "pages": pages,
        "now": clock(),
    }  # fmt: skip


@page("gateway.secret.row")
def secret_page(request: HttpRequest, secret: Secret) -> dict[str, Any]:
    """Return a secret with its versions, grants, and what depends on it."""
    asker = asker_in_session(request)
    impact = impact_of(secret)
    return {
        "title": secret.name,
        "crumbs": [Crumb("Secrets", to("gateway_secret_changelist")), Crumb(secret.name)],
        "secret": secret,
        "versions": secret.versions.all(),
        "grants": secret.grants.all(),
        "impact": impact,
        "rotating_says": impact.sentence("The new value will be used by"),
        "revoking_says": impact.sentence("Will stop working"),
        "choices": _choices(asker, secret),
        "press": {button.event: to("gateway_secret_press", secret.pk, button.event) for button in SecretAdmin.buttons},
        "is_usable": secret.revoked_at is None,
        "facts": _facts(secret),
        "entries": entries_about(history_of(asker, subject_of(secret))),
        "now": clock(),
    }


def _to(secret: Secret) -> list[str]:
    return [str(grant.connection or grant.skill) for grant in secret.grants.all()]


def _choices(asker: Asker, secret: Secret) -> list[Choice]:
    """Return the connections that it could be granted to; those that name it first."""
    rows = sorted(connections_visible_to(asker), key=lambda each: secret.name not in names_in(each.settings))
    return [Choice(str(each.pk), str(each)) for each in rows]


def _facts(secret: Secret) -> list[Fact]:
    facts = [
        Fact("Named as", f"{{{{secret:{secret.name}}}}}", "code"),
        Fact("Put by", secret.created_by.partition(":")[2]),
        Fact("Put", secret.created_at, "time"),
    ]
    if secret.revoked_at:
        facts += [Fact("Revoked", secret.revoked_at, "time"), Fact("Because", secret.revoked_because)]
    return facts


@page("secret_new")
def new_secret(request: HttpRequest) -> dict[str, Any]:
    """Return the form with what was typed so far, but for the value."""
    asker_in_session(request).must(Verb.MANAGE_CONNECTIONS)
    return {
        "title": "Put a secret",
        "crumbs": [Crumb("Secrets", to("gateway_secret_changelist")), Crumb("Put a secret")],
        "name": request.POST.get("name", ""),
        "description": request.POST.get("description", ""),
        "faults": [],
    }


@page("secret_new.do")
def put_now(request: HttpRequest, by: Principal) -> dict[str, Any]:
    """Put what the form names; refuses as `put_secret` does."""
    asker, typed = asker_in_session(request), request.POST
    made = put_secret(
        asker.workspace,
        typed.get("name", "").strip(),
        typed.get("value", "").replace("\r\n", "\n"),
        by=by,
        because=typed.get("because", ""),
        description=typed.get("description", ""),
    )
    messages.success(request, f"{made.name} is kept. Nothing may use it yet: grant it to a connection or to skills.")
    return {"redirect": to("gateway_secret_change", made.pk)}
