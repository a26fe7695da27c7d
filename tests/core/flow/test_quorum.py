from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.core.codes import Code
from governance.core.quorum import Missing, Threshold, VoteFact, may_vote, tally, vote_refused
from tests.core.flow.builders import NOW, OPERATORS, vote

NOBODY = frozenset()


ONE_OF_OPERATORS = (Threshold("operators"),)


def count(votes, thresholds=ONE_OF_OPERATORS, members=OPERATORS, barred=frozenset({"1"})):
    return tally(thresholds, members, votes, barred)


def test_nothing_is_decided_before_anybody_has_voted():
    outcome = count([])

    assert outcome.state == "open"
    assert outcome.missing == (Missing("operators", 1, 1),)
    assert outcome.may_answer == {"2", "3"}
    assert outcome.unmeetable == ""


def test_one_yes_of_one_that_is_needed_approves_and_nobody_may_answer_any_more():
    outcome = count([vote("2")])

    assert (outcome.state, outcome.may_answer) == ("approved", NOBODY)


def test_one_no_rejects_when_one_is_enough():
    assert count([vote("2", verdict="reject")]).state == "rejected"


def test_a_no_below_the_reject_threshold_leaves_it_open_but_spends_the_vote():
    outcome = count([vote("2", verdict="reject")], [Threshold("operators", approve=1, reject=2)])

    assert (outcome.state, outcome.may_answer) == ("open", {"3"})


def test_a_no_that_meets_its_threshold_beats_any_number_of_yes():
    two_groups = [Threshold("operators"), Threshold("legal")]
    members = OPERATORS | {"legal": frozenset({"4"})}

    assert count([vote("2"), vote("4", verdict="reject")], two_groups, members).state == "rejected"


def test_the_requester_counts_for_nothing_even_as_a_member():
    members = {"operators": frozenset({"1", "2"})}

    assert count([vote("1")], members=members).state == "open"
    assert count([vote("1", verdict="reject")], members=members).state == "open"


def test_a_vote_of_somebody_who_is_not_asked_counts_for_nothing():
    assert count([vote("9")]).missing == (Missing("operators", 1, 1),)


def test_a_service_account_counts_only_if_everybody_behind_it_is_asked():
    assert count([vote("2", "9")]).state == "open"
    assert count([vote("2", "3")]).state == "approved"


def test_a_service_account_of_the_requester_and_another_counts_for_nothing():
    assert count([vote("2", "1")], members={"operators": frozenset({"1", "2"})}).state == "open"


def test_two_votes_with_a_person_in_common_are_one():
    two = [Threshold("operators", approve=2)]

    assert count([vote("2"), vote("2", "3")], two).missing == (Missing("operators", 2, 1),)


def test_a_vote_of_nobody_counts_for_nothing():
    assert count([vote()]).state == "open"


def test_a_person_in_two_groups_fills_only_one_of_them():
    thresholds = [Threshold("operators"), Threshold("legal")]
    members = {"operators": frozenset({"2"}), "legal": frozenset({"2", "3"})}

    assert count([vote("2")], thresholds, members).state == "open"
    assert count([vote("2"), vote("3")], thresholds, members).state == "approved"


def test_who_voted_first_makes_room_for_who_fits_nowhere_else():
    thresholds = [Threshold("first"), Threshold("second")]
    members = {"first": frozenset({"2", "3"}), "second": frozenset({"2"})}

    assert count([vote("2"), vote("3")], thresholds, members).state == "approved"
    assert count([vote("3"), vote("2")], thresholds, members).state == "approved"


def test_with_nobody_asked_nobody_can_approve():
    outcome = count([vote("2")], [])

    assert outcome.state == "open"
    assert outcome.unmeetable == "nobody is asked, so nobody can approve it"


@pytest.mark.parametrize(
    ("thresholds", "members", "votes", "sentence"),
    [
        ([Threshold("ghosts")], {}, [], "nobody can approve it: the group ghosts has no members"),
        ([Threshold("me")], {"me": frozenset({"1"})}, [], "nobody can approve it: everybody in me asked for this themselves"),
        (
            [Threshold("operators", approve=3)], OPERATORS, [],
            "it cannot be approved: operators must give 3, and only 2 of its people can",
        ),
        (
            [Threshold("operators", approve=2, reject=2)], OPERATORS, [vote("2", verdict="reject")],
            "it cannot be approved: operators must give 2, and only 1 of its people can",
        ),
        (
            [Threshold("operators", 2), Threshold("legal")], OPERATORS | {"legal": frozenset({"2", "3"})}, [],
            (
                "it cannot be approved: one vote counts for one group, and operators and legal together have too few people "
                "who may answer"
            ),
        ),
        (
            [Threshold("operators"), Threshold("ghosts")], OPERATORS, [],
            "nobody can approve it: the group ghosts has no members",
        ),
    ],
)  # fmt: skip
def test_it_says_at_once_when_the_people_cannot_meet_the_thresholds(thresholds, members, votes, sentence):
    outcome = count(votes, thresholds, members)

    assert (outcome.state, outcome.unmeetable) == ("open", sentence)


@pytest.mark.parametrize("wrong", [("", 1, 1), ("a", 0, 1), ("a", 1, 0)])
def test_a_threshold_that_asks_nobody_cannot_be_made(wrong):
    with pytest.raises(ValueError, match="a threshold names a group"):
        Threshold(*wrong)


def test_a_threshold_survives_being_stored():
    threshold = Threshold("operators", 2, 3)

    assert Threshold.from_json(threshold.as_json()) == threshold


# --- Who may vote


def ask(*persons, votes=(), state="waiting", expires_at=NOW + timedelta(hours=1)):
    members = {"operators": frozenset({"1", "2", "3"})}
    return may_vote(
        frozenset(persons), gate_state=state, thresholds=[Threshold("operators")], members_by_group=members, votes=votes,
        barred_persons=frozenset({"1"}), expires_at=expires_at, now=NOW,
    )  # fmt: skip


def test_somebody_who_is_asked_may_vote():
    assert ask("2") is None
    assert ask("2", expires_at=None) is None


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (lambda: ask("1"), Code.OWN_REQUEST),
        (lambda: ask("1", "2"), Code.OWN_REQUEST),
        (lambda: ask("9"), Code.NOT_ASKED),
        (lambda: ask("2", "9"), Code.NOT_ASKED),
        (lambda: ask(), Code.NOT_ASKED),
        (lambda: ask("2", votes=[vote("2")]), Code.ALREADY_VOTED),
        (lambda: ask("2", "3", votes=[vote("2")]), Code.ALREADY_VOTED),
        (lambda: ask("2", expires_at=NOW), Code.EXPIRED),
        (lambda: ask("2", state="expired"), Code.EXPIRED),
        (lambda: ask("2", state="approved"), Code.TRANSITION_REFUSED),
        (lambda: ask("2", state="withdrawn", expires_at=NOW), Code.TRANSITION_REFUSED),
        # What the gate's state is, is told only to those who are asked.
        (lambda: ask("9", state="approved"), Code.NOT_ASKED),
        (lambda: ask("1", state="expired"), Code.OWN_REQUEST),
    ],
)
def test_everybody_else_is_refused_with_the_reason(refused, code):
    assert refused() == code
    assert vote_refused(code).code == code
    assert str(vote_refused(code))
    assert vote_refused(code).recovery


# --- Laws

PEOPLE = st.sampled_from("123456")
GROUPS = st.dictionaries(st.sampled_from("abc"), st.frozensets(PEOPLE), min_size=1)
THRESHOLDS = st.lists(
    st.builds(Threshold, st.sampled_from("abc"), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3
)
VOTES = st.lists(
    st.builds(VoteFact, st.frozensets(PEOPLE, min_size=1, max_size=2), st.sampled_from(["approve", "reject"])),
    max_size=6,
)
BARRED = st.frozensets(PEOPLE, max_size=2)
LAW = settings(max_examples=80, deadline=None)


@given(THRESHOLDS, GROUPS, VOTES, BARRED, PEOPLE)
@LAW
def test_another_yes_never_takes_an_approval_away(thresholds, members, votes, barred, person):
    first = tally(thresholds, members, votes, barred)
    second = tally(thresholds, members, [*votes, vote(person)], barred)

    assert sum(each.missing for each in second.missing) <= sum(each.missing for each in first.missing)
    assert first.state == second.state or (first.state, second.state) == ("open", "approved")


@given(THRESHOLDS, GROUPS, VOTES, BARRED, PEOPLE)
@LAW
def test_another_no_never_approves(thresholds, members, votes, barred, person):
    first = tally(thresholds, members, votes, barred)
    second = tally(thresholds, members, [*votes, vote(person, verdict="reject")], barred)

    assert second.state in (first.state, "rejected")
    assert first.missing == second.missing


@given(THRESHOLDS, GROUPS, VOTES, BARRED)
@LAW
def test_the_order_of_thresholds_changes_nothing(thresholds, members, votes, barred):
    one, other = tally(thresholds, members, votes, barred), tally(thresholds[::-1], members, votes, barred)

    assert (one.state, one.may_answer, bool(one.unmeetable)) == (other.state, other.may_answer, bool(other.unmeetable))


@given(THRESHOLDS, GROUPS, VOTES, BARRED)
@LAW
def test_barred_people_never_change_anything(thresholds, members, votes, barred):
    without = [each for each in votes if not each.persons & barred]

    assert tally(thresholds, members, votes, barred).state == tally(thresholds, members, without, barred).state or any(
        # Their votes still spend the voice of who voted together with them.
        each.persons & other.persons for each in votes if each.persons & barred for other in without
    )  # fmt: skip


@given(THRESHOLDS, GROUPS, BARRED)
@LAW
def test_unmeetable_means_that_everybody_saying_yes_is_not_enough(thresholds, members, barred):
    outcome = tally(thresholds, members, [], barred)

    everybody = tally(thresholds, members, [vote(person) for person in sorted(outcome.may_answer)], barred)

    assert bool(outcome.unmeetable) == (everybody.state != "approved")


@given(THRESHOLDS, GROUPS, VOTES, BARRED, PEOPLE)
@LAW
def test_who_may_answer_is_who_may_vote(thresholds, members, votes, barred, person):
    outcome = tally(thresholds, members, votes, barred)
    refusal = may_vote(
        frozenset({person}), gate_state="waiting", thresholds=thresholds, members_by_group=members, votes=votes,
        barred_persons=barred, expires_at=None, now=NOW,
    )  # fmt: skip

    assert outcome.state != "open" or (person in outcome.may_answer) == (refusal is None)
