"""Exact inputs and outputs, encrypted: one data key per run, wrapped by the key ring."""

from django.db import models

from governance.models.base import Row
from governance.models.workspace import Workspace


class DataKey(Row):
    """The key that a run's exact payloads are encrypted with; erasing it erases them."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    run = models.OneToOneField("governance.Run", models.PROTECT, related_name="data_key", null=True)
    wrapped = models.BinaryField()
    wrapped_with = models.CharField(max_length=32)


class EncryptedPayload(Row):
    """An exact payload of a row that may not change: what was decided on, or what people were shown."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    run = models.ForeignKey("governance.Run", models.PROTECT, related_name="+")
    kind = models.CharField(max_length=32)
    digest = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    blob = models.BinaryField()
