"""Workspaces and who belongs to them."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from audit.ledger import record
from audit.principals import Principal
from governance.actions.budgets import open_budgets
from governance.models import ApproverGroup, Membership, Workspace


@transaction.atomic
def create_workspace(slug: str, name: str, *, by: Principal, because: str) -> Workspace:
    """Make a workspace with its budgets; the one that has the slug already is returned as it is."""
    workspace, created = Workspace.objects.get_or_create(slug=slug, defaults={"name": name})
    if created:
        # Without limits of its own: what its runs may spend is policy.
        open_budgets(workspace.pk, workspace.pk, {})
        record("workspace.create", workspace, by=by, because=because, slug=slug, name=name)
    return workspace


@transaction.atomic
def add_member(workspace: Workspace, user: Any, role: str, *, by: Principal, because: str) -> Membership:
    """Give a person a role; a person who has one already keeps it."""
    membership, created = Membership.objects.get_or_create(workspace=workspace, user=user, defaults={"role": role})
    if created:
        record("membership.add", membership, by=by, because=because, user=user.get_username(), role=role)
    return membership


@transaction.atomic
def add_approvers(
    workspace: Workspace, name: str, users: Iterable[Any], *, by: Principal, because: str
) -> ApproverGroup:
    """Add people to a group that rules can ask, making the group where there is none."""
    group, created = ApproverGroup.objects.get_or_create(workspace=workspace, name=name)
    if created:
        record("approver_group.create", group, by=by, because=because, group=name)
    there = set(group.members.values_list("pk", flat=True))
    for user in users:
        if user.pk not in there:
            group.members.add(user)
            record("approver_group.add", group, by=by, because=because, group=name, user=user.get_username())
    return group
