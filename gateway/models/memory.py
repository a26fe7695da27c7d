"""What agents remember of earlier runs, and which runs were looked at for it."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models

from governance.models import Run, Step, Workspace
from governance.models.base import Row

LANGUAGE = "english"
"""How words are cut to their stems; it is part of the column `search`. Words of other languages stand for themselves."""


class MemoryEntry(Row):
    """One agent's memory of one run: cleaned, masked text in clear, with where it comes from. It is never changed.

    `person_ids` are the people behind the request, so that it can be erased with them. `taint` is that of all that the run
    had read, so that whoever reads the memory has read it, too.
    """

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="memories")
    namespace = models.CharField(max_length=64, help_text="Whose it is: agent:<name>.")
    text = models.TextField()
    search = models.GeneratedField(
        expression=SearchVector("text", config=LANGUAGE), output_field=SearchVectorField(), db_persist=True
    )
    run = models.ForeignKey(Run, models.PROTECT, related_name="memories")
    step = models.ForeignKey(Step, models.PROTECT, related_name="+", null=True, help_text="The agent's last one.")
    agent_name = models.CharField(max_length=48)
    playbook_name = models.CharField(max_length=80, blank=True)
    manifest_digests = ArrayField(models.CharField(max_length=64), default=list)
    created_by = models.CharField(max_length=160)
    person_ids = ArrayField(models.CharField(max_length=64), default=list)
    taint = ArrayField(models.CharField(max_length=32), default=list)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        verbose_name_plural = "memories"
        constraints = [models.UniqueConstraint(fields=["run", "namespace"], name="one_memory_per_run_and_namespace")]
        indexes = [
            GinIndex(fields=["search"], name="memory_by_words"),
            GinIndex(fields=["person_ids"], name="memory_by_person"),
            models.Index(fields=["workspace", "namespace", "-created_at"], name="memory_by_namespace"),
            models.Index(fields=["expires_at"], condition=models.Q(expires_at__isnull=False), name="memory_expiring"),
        ]

    def __str__(self) -> str:
        return f"{self.agent_name}'s memory of {self.run}"


class MemoryVector(models.Model):
    """What an embedder made of a memory's text; it is told of a memory before that is a row, so nothing points at it."""

    entry_id = models.UUIDField()
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    namespace = models.CharField(max_length=64)
    model = models.CharField(max_length=200)
    vector = ArrayField(models.FloatField())
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entry_id", "model"], name="one_vector_per_memory_and_model")]
        indexes = [models.Index(fields=["workspace", "namespace", "model", "-created_at"], name="vector_by_namespace")]


class RememberedRun(Row):
    """A run that was looked at for memories; it stays when they are erased, so that they do not come back."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    run = models.OneToOneField(Run, models.PROTECT, related_name="remembered")
