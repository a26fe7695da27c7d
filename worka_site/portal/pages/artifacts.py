"""An artifact: what an agent made, shown as a document that can do nothing."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.timezone import now as clock

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.ledger import subject_of
from governance import queries
from governance.models import Artifact
from governance.people import Asker, asker_in_session
from worka_site.portal.links import to, to_run
from worka_site.portal.paper import paper
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb, Fact
from worka_site.portal.stories import entries_about, history_of


@page("governance.artifact.row")
def artifact_page(request: HttpRequest, artifact: Artifact) -> dict[str, Any]:
    """Return an artifact, its content for whoever may read the payloads of its run, or is asked about it.

    Opening the content is a ledger entry; the refresh of a live page, which does not draw it, opens nothing.
    """
    asker = asker_in_session(request)
    content = None if "Worka-Refresh" in request.headers else _content(asker, artifact)
    return {
        "title": artifact.name,
        "crumbs": [
            Crumb("Runs", to("governance_run_changelist")),
            Crumb(str(artifact.run.number), to_run(artifact.run_id)),
            Crumb(artifact.name),
        ],
        "artifact": artifact,
        "run": artifact.run,
        "step": artifact.step,
        "paper": None if content is None else paper(content, artifact.media_type),
        "href": reverse("artifact-content", args=[artifact.pk]) if content is not None else "",
        "facts": [
            Fact("Size", f"{artifact.size:,} bytes"),
            Fact("Kind", artifact.media_type),
            Fact("Made by", f"{artifact.produced_by}, attempt {artifact.attempt}"),
            Fact("Stored", artifact.created_at, "time"),
            Fact("Carries", ", ".join(artifact.taint) or "nothing that strangers wrote"),
            Fact("SHA-256", artifact.sha256, "digest"),
            Fact("Artifact id", artifact.pk, "digest"),
        ],
        "entries": entries_about(history_of(asker, subject_of(artifact))),
        "now": clock(),
    }


def _content(asker: Asker, artifact: Artifact) -> bytes | None:
    try:
        return queries.artifact_content(asker, artifact.pk)[1]
    except Refused as refusal:
        if refusal.code != Code.FORBIDDEN:
            raise
        return None
