"""Policy in the console: versions, and the buttons that bring one into force."""

from typing import Any

from django.contrib import admin

from audit.principals import Principal
from audit.screens import Button, DecisionAdmin
from governance.actions.manifests import activate_manifest, reject_manifest, submit_manifest
from governance.core.permissions import Verb
from governance.models import PolicyManifest
from governance.people import asker_in_session, asker_of
from governance.queries import manifests_visible_to


def _may(user: Any, manifest: PolicyManifest, verb: Verb) -> bool:
    # The platform's policy belongs to no workspace, so nobody's role in one reaches it.
    asker = asker_of(user, manifest.workspace) if manifest.workspace else None
    return asker is not None and asker.may(verb)


def may_write(user: Any, manifest: PolicyManifest) -> bool:
    """Say whether a person may submit a draft, or take a submitted version back."""
    return _may(user, manifest, Verb.WRITE_POLICY)


def may_activate(user: Any, manifest: PolicyManifest) -> bool:
    """Say whether a person may activate a version: never one that they wrote."""
    return str(user.pk) not in manifest.author_persons and _may(user, manifest, Verb.ACTIVATE_POLICY)


def submit(manifest: PolicyManifest, *, by: Principal, because: str) -> str:
    """Hand a draft in."""
    submit_manifest(manifest.pk, by=by, because=because)
    return f"Version {manifest.version} is submitted. Somebody else may activate it; nothing has changed yet."


def activate(manifest: PolicyManifest, *, by: Principal, because: str) -> str:
    """Bring a version into force."""
    activate_manifest(manifest.pk, by=by, because=because)
    return f"Version {manifest.version} is in force from now on. The one before is kept."


def reject(manifest: PolicyManifest, *, by: Principal, because: str) -> str:
    """Send a submitted version back."""
    reject_manifest(manifest.pk, by=by, because=because)
    return f"Version {manifest.version} is rejected. Nothing has changed."


@admin.register(PolicyManifest)
class PolicyManifestAdmin(DecisionAdmin):
    """A version of policy."""

    visible_to = staticmethod(lambda request: manifests_visible_to(asker_in_session(request)))
    list_page = "worka/pages/policies.html"
    row_page = "worka/pages/policy.html"
    buttons = (
        Button(
            "submit",
            "Submit",
            submit,
            may_write,
            icon="allow",
            tone="primary",
            consequence="Nothing changes yet. An owner or admin who did not write it may then activate it.",
        ),
        Button(
            "activate",
            "Activate",
            activate,
            may_activate,
            icon="check",
            tone="primary",
            consequence="Every decision from now on is made by this version. The one before is retired and kept.",
        ),
        Button(
            "reject", "Reject", reject, may_write, icon="close", consequence="It can be copied and submitted again."
        ),
    )
