from itertools import combinations

import pytest

from governance.core.permissions import TABLE, Grant, Role, Verb, granted, may, who_may

# domain.md, section 5, written a second time and by the people instead of by the verbs.
RUNNER = {
    Verb.SEE_OWN_RUNS, Verb.SEE_ALL_RUNS, Verb.READ_PAYLOADS, Verb.ASK_FOR_RUNS, Verb.ANSWER_GATES, Verb.CANCEL_OWN_RUNS,
    Verb.CANCEL_RUNS, Verb.SETTLE_CALLS, Verb.ACKNOWLEDGE_BURNS, Verb.FREEZE, Verb.WRITE_POLICY, Verb.ACTIVATE_POLICY,
    Verb.MANAGE_MEMBERS, Verb.MANAGE_KEYS, Verb.MANAGE_CONNECTIONS, Verb.FORGET_MEMORIES, Verb.VERIFY_LEDGER, Verb.EXPORT_LEDGER,
}  # fmt: skip
MEMBER = {Verb.SEE_OWN_RUNS, Verb.READ_PAYLOADS, Verb.ASK_FOR_RUNS, Verb.ANSWER_GATES, Verb.CANCEL_OWN_RUNS}
VIEWER = {Verb.SEE_OWN_RUNS, Verb.SEE_ALL_RUNS}
AUDITOR = {Verb.SEE_OWN_RUNS, Verb.SEE_ALL_RUNS, Verb.SEE_ALL_WORKSPACES, Verb.VERIFY_LEDGER, Verb.EXPORT_LEDGER}
SUPERUSER = (RUNNER | {Verb.SEE_ALL_WORKSPACES}) - {Verb.ASK_FOR_RUNS, Verb.WRITE_POLICY, Verb.ACTIVATE_POLICY}
ALLOWED = {
    Role.OWNER: RUNNER, Role.ADMIN: RUNNER, Role.MEMBER: MEMBER, Role.VIEWER: VIEWER, Role.AUDITOR: AUDITOR,
    Role.SUPERUSER: SUPERUSER,
}  # fmt: skip


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("verb", Verb)
def test_the_table_says_of_every_role_and_verb_what_the_design_says(role, verb):
    assert may([role], verb) == (verb in ALLOWED[role])
    assert (role in who_may(verb)) == (verb in ALLOWED[role])


def test_nobody_answers_a_gate_without_being_asked_superusers_neither():
    assert set(TABLE[Verb.ANSWER_GATES].values()) == {Grant.IF_ASKED}


def test_nobody_activates_or_settles_what_is_their_own():
    assert set(TABLE[Verb.ACTIVATE_POLICY].values()) == {Grant.NOT_OWN}
    assert set(TABLE[Verb.SETTLE_CALLS].values()) == {Grant.NOT_OWN}


def test_a_member_reads_the_payloads_of_their_own_only():
    assert granted(["member"], "read_payloads") == Grant.OWN_ONLY
    assert granted(["member", "admin"], "read_payloads") == Grant.ALWAYS


def test_no_role_and_an_unknown_role_give_nothing():
    assert not any(may(roles, verb) for verb in Verb for roles in ([], ["root"]))


def test_an_unknown_verb_is_a_mistake_and_no_permission():
    with pytest.raises(ValueError, match="fly"):
        may(["superuser"], "fly")


def test_two_roles_give_what_either_gives():
    for verb in Verb:
        for one, other in combinations(Role, 2):
            assert may([one, other], verb) == (may([one], verb) or may([other], verb))
