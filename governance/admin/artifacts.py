"""Artifacts in the console: what agents made, shown safely."""

from django.contrib import admin

from audit.screens import ReadOnlyAdmin
from governance.models import Artifact
from governance.people import asker_in_session
from governance.queries import artifacts_visible_to


@admin.register(Artifact)
class ArtifactAdmin(ReadOnlyAdmin):
    """An output or a piece of evidence; its list is the page of its run."""

    visible_to = staticmethod(lambda request: artifacts_visible_to(asker_in_session(request)))
    row_page = "worka/pages/artifact.html"
