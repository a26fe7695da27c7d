"""Who has to say yes, who may say it, and whether enough have: pure counting over votes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from audit.core.codes import Code
from audit.core.refusals import Refused
from governance.core.states import GateState

APPROVE: Literal["approve"] = "approve"
REJECT: Literal["reject"] = "reject"

Verdict = Literal["approve", "reject"]
Members = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Ask a group: `approve` people of it must agree, `reject` people of it end the matter."""

    group: str
    approve: int = 1
    reject: int = 1

    def __post_init__(self) -> None:
        if not self.group or self.approve < 1 or self.reject < 1:
            raise ValueError(f"a threshold names a group and asks at least one person: {self}")

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored with a gate."""
        return {"group": self.group, "approve": self.approve, "reject": self.reject}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Threshold":
        """Read what `as_json` wrote."""
        return cls(value["group"], value["approve"], value["reject"])


@dataclass(frozen=True, slots=True)
class VoteFact:
    """A vote: the ids of all people behind it (a key or a service account may stand for several), and how they voted."""

    persons: frozenset[str]
    verdict: Verdict
    name: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """How many approvals one threshold still lacks."""

    group: str
    needed: int
    missing: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the votes so far amount to.

    `missing` has one entry per threshold, in their order. `may_answer` holds the ids of the people who may still vote.
    `unmeetable` is a sentence when the people who may answer cannot meet the thresholds whatever they say, else empty.
    """

    state: Literal["open", "approved", "rejected"]
    missing: tuple[Missing, ...]
    may_answer: frozenset[str]
    unmeetable: str = ""


def tally(
    thresholds: Sequence[Threshold],
    members_by_group: Members,
    votes: Sequence[VoteFact],
    barred_persons: frozenset[str],
) -> Outcome:
    """Count the votes: one vote fills one threshold, all must be filled, any reject threshold that is met ends it.

    A vote counts for a threshold if everybody behind it is in the group and nobody behind it is barred; of two votes with
    a person in common the first counts. Nobody asked means nobody can say yes: it stays open and says so.
    """
    counted = _counted(votes, barred_persons)
    against = [vote.persons for vote in counted if vote.verdict == REJECT]
    agreed = [vote.persons for vote in counted if vote.verdict == APPROVE]
    filled = _fill(thresholds, members_by_group, agreed)
    missing = tuple(
        Missing(asked.group, asked.approve, asked.approve - have)
        for asked, have in zip(thresholds, filled, strict=True)
    )
    if any(sum(_speaks_for(asked, members_by_group, who) for who in against) >= asked.reject for asked in thresholds):
        return Outcome("rejected", missing, frozenset())
    if thresholds and not any(each.missing for each in missing):
        return Outcome("approved", missing, frozenset())
    spent = frozenset().union(*(vote.persons for vote in votes))
    asked_people = frozenset().union(*(_members(asked, members_by_group) for asked in thresholds))
    may_answer = asked_people - barred_persons - spent
    best = [*agreed, *(frozenset({person}) for person in sorted(may_answer))]
    unmeetable = _why_unmeetable(thresholds, members_by_group, best, barred_persons)
    return Outcome("open", missing, may_answer, unmeetable)


def may_vote(
    voter_persons: frozenset[str],
    *,
    gate_state: str,
    thresholds: Sequence[Threshold],
    members_by_group: Members,
    votes: Sequence[VoteFact],
    barred_persons: frozenset[str],
    expires_at: datetime | None,
    now: datetime,
) -> Code | None:
    """Say why these people may not answer this gate, or None if they may.

    Codes, in the order they are looked for: `own_request`, `not_asked`, `already_voted`, `expired`, `transition_refused`.
    """
    if voter_persons & barred_persons:
        return Code.OWN_REQUEST
    if not any(_speaks_for(asked, members_by_group, voter_persons) for asked in thresholds):
        return Code.NOT_ASKED
    if any(voter_persons & vote.persons for vote in votes):
        return Code.ALREADY_VOTED
    if gate_state == GateState.EXPIRED:
        return Code.EXPIRED
    if gate_state != GateState.WAITING:
        return Code.TRANSITION_REFUSED
    if expires_at is not None and now >= expires_at:
        return Code.EXPIRED
    return None


_VOTE_REFUSALS: Mapping[Code, tuple[str, str]] = {
    Code.OWN_REQUEST: ("nobody approves what they asked for", "Ask somebody else of the group to answer."),
    Code.NOT_ASKED: ("you are not asked here", "Only members of the groups named on the gate may answer."),
    Code.ALREADY_VOTED: (
        "you have already voted here",
        "A vote cannot be changed; the run's page shows where it stands.",
    ),
    Code.EXPIRED: ("the time to answer has passed", "Ask for a new run; expiry always rejects."),
    Code.TRANSITION_REFUSED: ("this has already been decided", "The gate's page shows who decided what."),
}


def vote_refused(code: Code) -> Refused:
    """Make the refusal for a code of `may_vote`, with its sentence and the way out."""
    message, recovery = _VOTE_REFUSALS[code]
    return Refused(message, code=code, recovery=recovery)


def _members(asked: Threshold, members_by_group: Members) -> frozenset[str]:
    return members_by_group.get(asked.group, frozenset())


def _speaks_for(asked: Threshold, members_by_group: Members, persons: frozenset[str]) -> bool:
    # All of them, not one of them: a service account that bob owns together with a stranger is not bob.
    return bool(persons) and persons <= _members(asked, members_by_group)


def _counted(votes: Iterable[VoteFact], barred: frozenset[str]) -> list[VoteFact]:
    counted: list[VoteFact] = []
    spent: set[str] = set()
    for vote in votes:
        if not vote.persons & barred and not vote.persons & spent:
            counted.append(vote)
        spent |= vote.persons
    return counted


def _fill(thresholds: Sequence[Threshold], members_by_group: Members, voters: Sequence[frozenset[str]]) -> list[int]:
    """Return how many slots of each threshold a maximum matching of voters to thresholds fills (Kuhn's algorithm)."""
    held: list[list[frozenset[str]]] = [[] for _ in thresholds]

    def place(voter: frozenset[str], tried: set[int]) -> bool:
        for index, asked in enumerate(thresholds):
            if index in tried or not _speaks_for(asked, members_by_group, voter):
                continue
            tried.add(index)
            if len(held[index]) < asked.approve:
                held[index].append(voter)
                return True
            for slot, other in enumerate(held[index]):
                if place(other, tried):
                    held[index][slot] = voter
                    return True
        return False

    for voter in voters:
        place(voter, set())
    return [len(voters_of) for voters_of in held]


def _why_unmeetable(
    thresholds: Sequence[Threshold], members_by_group: Members, best: Sequence[frozenset[str]], barred: frozenset[str]
) -> str:
    if not thresholds:
        return "nobody is asked, so nobody can approve it"
    filled = _fill(thresholds, members_by_group, best)
    if all(have == asked.approve for asked, have in zip(thresholds, filled, strict=True)):
        return ""
    for asked in thresholds:
        members = _members(asked, members_by_group)
        able = sum(_speaks_for(asked, members_by_group, voter) for voter in best)
        if not members:
            return f"nobody can approve it: the group {asked.group} has no members"
        if members <= barred:
            return f"nobody can approve it: everybody in {asked.group} asked for this themselves"
        if able < asked.approve:
            return f"it cannot be approved: {asked.group} must give {asked.approve}, and only {able} of its people can"
    groups = " and ".join(dict.fromkeys(asked.group for asked in thresholds))
    return f"it cannot be approved: one vote counts for one group, and {groups} together have too few people who may answer"
