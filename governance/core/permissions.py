"""What people may do, as one table (domain.md, section 5)."""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Role(StrEnum):
    """A membership's role, or a standing of the whole platform (auditor, superuser)."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"
    AUDITOR = "auditor"
    SUPERUSER = "superuser"


class Verb(StrEnum):
    """Something that a person may or may not do in a workspace."""

    SEE_OWN_RUNS = "see_own_runs"
    SEE_ALL_RUNS = "see_all_runs"
    SEE_ALL_WORKSPACES = "see_all_workspaces"
    READ_PAYLOADS = "read_payloads"
    ASK_FOR_RUNS = "ask_for_runs"
    ANSWER_GATES = "answer_gates"
    CANCEL_OWN_RUNS = "cancel_own_runs"
    CANCEL_RUNS = "cancel_runs"
    SETTLE_CALLS = "settle_calls"
    ACKNOWLEDGE_BURNS = "acknowledge_burns"
    FREEZE = "freeze"
    WRITE_POLICY = "write_policy"
    ACTIVATE_POLICY = "activate_policy"
    MANAGE_MEMBERS = "manage_members"
    MANAGE_KEYS = "manage_keys"
    MANAGE_CONNECTIONS = "manage_connections"
    FORGET_MEMORIES = "forget_memories"
    VERIFY_LEDGER = "verify_ledger"
    EXPORT_LEDGER = "export_ledger"


class Grant(StrEnum):
    """How far a permission goes; the narrower ones need a second look at what it is about."""

    ALWAYS = "always"
    OWN_ONLY = "own_only"  # what they asked for, and what asks them
    IF_ASKED = "if_asked"  # quorum.may_vote has the last word
    NOT_OWN = "not_own"  # never what they wrote or asked for themselves


_OWNER, _ADMIN, _MEMBER, _VIEWER, _AUDITOR, _SUPERUSER = Role
_RUNNERS = (_OWNER, _ADMIN)


def _row(*roles: Role, grant: Grant = Grant.ALWAYS, **others: Grant) -> Mapping[Role, Grant]:
    return dict.fromkeys(roles, grant) | {Role(role): given for role, given in others.items()}


TABLE: Mapping[Verb, Mapping[Role, Grant]] = {
    Verb.SEE_OWN_RUNS: _row(*Role),
    Verb.SEE_ALL_RUNS: _row(*_RUNNERS, _VIEWER, _AUDITOR, _SUPERUSER),
    Verb.SEE_ALL_WORKSPACES: _row(_AUDITOR, _SUPERUSER),
    Verb.READ_PAYLOADS: _row(*_RUNNERS, _SUPERUSER, member=Grant.OWN_ONLY),
    Verb.ASK_FOR_RUNS: _row(*_RUNNERS, _MEMBER),
    Verb.ANSWER_GATES: _row(*_RUNNERS, _MEMBER, _SUPERUSER, grant=Grant.IF_ASKED),
    Verb.CANCEL_OWN_RUNS: _row(*_RUNNERS, _MEMBER, _SUPERUSER, grant=Grant.OWN_ONLY),
    Verb.CANCEL_RUNS: _row(*_RUNNERS, _SUPERUSER),
    Verb.SETTLE_CALLS: _row(*_RUNNERS, _SUPERUSER, grant=Grant.NOT_OWN),
    Verb.ACKNOWLEDGE_BURNS: _row(*_RUNNERS, _SUPERUSER),
    Verb.FREEZE: _row(*_RUNNERS, _SUPERUSER),
    Verb.WRITE_POLICY: _row(*_RUNNERS),
    Verb.ACTIVATE_POLICY: _row(*_RUNNERS, grant=Grant.NOT_OWN),
    Verb.MANAGE_MEMBERS: _row(*_RUNNERS, _SUPERUSER),
    Verb.MANAGE_KEYS: _row(*_RUNNERS, _SUPERUSER),
    Verb.MANAGE_CONNECTIONS: _row(*_RUNNERS, _SUPERUSER),
    Verb.FORGET_MEMORIES: _row(*_RUNNERS, _SUPERUSER),
    Verb.VERIFY_LEDGER: _row(*_RUNNERS, _AUDITOR, _SUPERUSER),
    Verb.EXPORT_LEDGER: _row(*_RUNNERS, _AUDITOR, _SUPERUSER),
}

_WIDEST_FIRST = (Grant.ALWAYS, Grant.NOT_OWN, Grant.IF_ASKED, Grant.OWN_ONLY)


def granted(roles: Iterable[str], verb: str) -> Grant | None:
    """Return how far these roles together let somebody do this: the widest grant, or None. Unknown roles give nothing."""
    row = TABLE[Verb(verb)]
    held = [row[Role(role)] for role in roles if role in row]
    return min(held, key=_WIDEST_FIRST.index, default=None)


def may(roles: Iterable[str], verb: str) -> bool:
    """Say whether these roles let somebody do this at all; a grant other than `always` needs a second look."""
    return granted(roles, verb) is not None


def who_may(verb: str) -> tuple[Role, ...]:
    """Return the roles that may do this, for a refusal that says whom to ask."""
    return tuple(TABLE[Verb(verb)])
