"""The treasury: secrets that nobody reads back, what may use them, and connections to services outside."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from audit.core.machine import Machine
from gateway.core import states
from governance.models import Workspace
from governance.models.base import Row, Stateful


class Secret(Row):
    """A name for a value that the gateway keeps. The value lies in its versions, encrypted, and is never shown."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="secrets")
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=200, blank=True)
    created_by = models.CharField(max_length=160)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.CharField(max_length=160, blank=True)
    revoked_because = models.TextField(blank=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=Q(revoked_at=None), name="one_secret_per_name"
            )
        ]

    @property
    def audit_label(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


class SecretVersion(Stateful):
    """A value of a secret. `ciphertext` is bound to this row, and erased when the version can no longer be used."""

    machine: ClassVar[Machine] = states.SECRET_VERSION

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    secret = models.ForeignKey(Secret, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    ciphertext = models.BinaryField(null=True)
    wrapped_with = models.CharField(max_length=32, blank=True)
    created_by = models.CharField(max_length=160)
    overlap_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-number",)
        constraints = [
            models.UniqueConstraint(fields=["secret", "number"], name="one_secret_version_per_number"),
            models.UniqueConstraint(
                fields=["secret"],
                condition=Q(state=states.VersionState.ACTIVE.value),
                name="one_active_version_per_secret",
            ),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in states.READABLE_VERSION], ciphertext__isnull=False)
                | Q(state__in=["retired", "revoked"], ciphertext__isnull=True),
                name="what_is_over_is_erased",
            ),
        ]
        indexes = [
            models.Index(
                fields=["overlap_until"],
                condition=Q(state=states.VersionState.OVERLAPPING.value),
                name="version_to_retire",
            ),
            models.Index(fields=["wrapped_with"], name="version_by_key"),
        ]

    @property
    def audit_label(self) -> str:
        return f"{self.secret.name} (version {self.number})"

    def __str__(self) -> str:
        return self.audit_label


class Connection(Stateful):
    """A way to one account of a service outside. It is never changed: another address or account is another connection."""

    machine: ClassVar[Machine] = states.CONNECTION

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="connections")
    service = models.CharField(max_length=48)
    account = models.CharField(max_length=64)
    base_url = models.CharField(max_length=255)
    access = models.CharField(max_length=8, choices=[("read", "read"), ("write", "write")])
    settings: "models.JSONField[Any, Any]" = models.JSONField(default=dict)
    connected_by = models.CharField(max_length=160)
    last_used_at = models.DateTimeField(null=True, blank=True)
    disabled_by = models.CharField(max_length=160, blank=True)
    disabled_because = models.TextField(blank=True)

    class Meta:
        ordering = ("service", "account")
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "service", "account"],
                condition=~Q(state=states.ConnectionState.DISCONNECTED.value),
                name="one_connection_per_account",
            )
        ]

    @property
    def audit_label(self) -> str:
        return f"{self.service} as {self.account}"

    def __str__(self) -> str:
        return self.audit_label


class Grant(Stateful):
    """That one connection, or the skills of a glob, may use a secret: another decision than that the secret exists."""

    machine: ClassVar[Machine] = states.GRANT

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    secret = models.ForeignKey(Secret, models.PROTECT, related_name="grants")
    connection = models.ForeignKey(Connection, models.PROTECT, related_name="grants", null=True, blank=True)
    skill = models.CharField(max_length=96, blank=True)
    given_by = models.CharField(max_length=160)

    class Meta:
        ordering = ("created_at",)
        constraints = [
            models.CheckConstraint(
                condition=Q(connection__isnull=False, skill="") | (Q(connection__isnull=True) & ~Q(skill="")),
                name="a_grant_is_for_one_thing",
            ),
            models.UniqueConstraint(
                fields=["secret", "connection"],
                condition=Q(state=states.GrantState.GIVEN.value, connection__isnull=False),
                name="one_grant_per_connection",
            ),
            models.UniqueConstraint(
                fields=["secret", "skill"],
                condition=Q(state=states.GrantState.GIVEN.value) & ~Q(skill=""),
                name="one_grant_per_skill",
            ),
        ]

    @property
    def audit_label(self) -> str:
        return f"{self.secret.name} for {self.connection or self.skill}"

    def __str__(self) -> str:
        return self.audit_label
