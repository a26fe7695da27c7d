"""Documents of a workspace: what runs leave behind for people, every version of it."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from governance.models import Workspace
from governance.models.base import Row


class Document(Row):
    """A named place in a workspace. `version` is the number of its newest version, 0 while the first is being written."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="documents")
    path = models.CharField(max_length=200)
    version = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("path",)
        constraints = [models.UniqueConstraint(fields=["workspace", "path"], name="one_document_per_path")]

    def __str__(self) -> str:
        return self.path


class DocumentVersion(Row):
    """What was written to a document once, and what its writer had read by then. It is never changed.

    The content lies in the row, so that a version is there or is not: no file without a row, no row without a file.
    """

    document = models.ForeignKey(Document, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    content = models.BinaryField()
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    media_type = models.CharField(max_length=80)
    is_text = models.BooleanField()
    taint = ArrayField(models.CharField(max_length=32), default=list, blank=True)
    invocation_id = models.UUIDField(unique=True, help_text="The call that wrote it; the same call writes once.")
    words = SearchVectorField(null=True, help_text="The words of a text, of its first 256 KiB.")

    class Meta:
        ordering = ("-number",)
        constraints = [models.UniqueConstraint(fields=["document", "number"], name="one_version_per_number")]
        indexes = [GinIndex(fields=["words"], name="document_by_words")]

    def __str__(self) -> str:
        return f"{self.document.path} (version {self.number})"
