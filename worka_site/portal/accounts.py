"""What is written down when an account changes: who did it, and what somebody may, before and after."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.http import HttpRequest

from audit.ledger import record
from audit.principals import person

BECAUSE = "in the console"
# What says who somebody is and what they may; the values of all other fields are theirs, and stay out of the ledger.
_TOLD = ("username", "is_active", "is_staff", "is_superuser")


def standing_of(user: User) -> dict[str, Any]:
    """Return what an entry tells of an account: its name, whether it is active, staff or superuser, and its groups."""
    groups = sorted(user.groups.values_list("name", flat=True))
    return {**{field: getattr(user, field) for field in _TOLD}, "groups": groups}


def members_of(group: Group) -> list[str]:
    """Return the names of the accounts in a group."""
    return sorted(group.user_set.values_list("username", flat=True))


@contextmanager
def password_written_down(deed: str, request: HttpRequest, user: Any) -> Iterator[None]:
    """Write down that a password was set meanwhile, in one transaction with it; never the password or its digest."""
    with transaction.atomic():
        before = User.objects.select_for_update().get(pk=user.pk).password
        yield
        after = User.objects.get(pk=user.pk)
        if after.password != before:
            record(
                deed,
                after,
                by=person(request.user),
                because=BECAUSE,
                label=after.username,
                is_usable=after.has_usable_password(),
            )
