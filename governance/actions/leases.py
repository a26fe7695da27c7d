"""Locks on outside things: rows with a lease, so that a crash frees them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q

from governance.models import SkillInvocation, SkillLock

FIELD = re.compile(r"\{args\.([a-z_]+)\}")


def lock_key_of(template: str, value: Mapping[str, Any]) -> str:
    """Fill `repo:{args.repo}` with the call's input; without a template nothing is locked."""
    return FIELD.sub(lambda found: str(value.get(found[1], "")), template)[:255]


def take_lock(call: SkillInvocation, until: datetime, now: datetime) -> bool:
    """Lock the call's key until its lease ends; say whether it was free. Last in the order of locks."""
    row, _ = SkillLock.objects.get_or_create(workspace_id=call.workspace_id, key=call.lock_key)
    free = Q(invocation=None) | Q(lease_until__lt=now) | Q(invocation=call.pk)
    return SkillLock.objects.filter(free, pk=row.pk).update(invocation_id=call.pk, lease_until=until) == 1


def free_lock(call: SkillInvocation) -> None:
    """Give the call's lock back, if it still holds it."""
    if call.lock_key:
        SkillLock.objects.filter(workspace_id=call.workspace_id, key=call.lock_key, invocation_id=call.pk).update(
            invocation=None, lease_until=None
        )
