"""Workspaces and the people in them."""

from django.conf import settings
from django.db import models

from governance.models.base import Row


class Workspace(Row):
    """The wall between customers, teams or environments: nothing crosses it."""

    slug = models.SlugField(max_length=48, unique=True)
    name = models.CharField(max_length=120)
    last_run_number = models.PositiveIntegerField(default=0)
    frozen_at = models.DateTimeField(null=True, blank=True)
    frozen_by = models.CharField(max_length=160, blank=True)
    frozen_because = models.TextField(blank=True)

    class Meta:
        ordering = ("slug",)

    @property
    def audit_label(self) -> str:
        return self.slug

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class Membership(Row):
    """A person's role in a workspace; a person has at most one there."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "user"], name="one_role_per_person_and_workspace")]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.workspace}"


class ApproverGroup(Row):
    """People who can be asked together: `operators`, `maintainers`."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="approver_groups")
    name = models.SlugField(max_length=64)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="approver_groups", blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_group_per_name")]

    @property
    def audit_label(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


class ServiceAccount(Row):
    """A program that acts in a workspace; its owners are the persons behind it."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="service_accounts")
    name = models.SlugField(max_length=64)
    role = models.CharField(max_length=16, choices=Role, default=Role.MEMBER)
    owners = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="service_accounts")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_service_account_per_name")]

    def __str__(self) -> str:
        return self.name
