"""The contract of a policy rule: pure, frozen, with its parameters as its fields and its docstring as its help text.

A rule is one file in `rules/`; the file's name is what a manifest writes. The fields every rule has say where it can
speak; they are compiled into an index, so `judge` is only ever asked about requests within that reach.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar

from audit.core.plugins import discover
from governance.core.facts import ACTIONS, CALL_MODEL, INVOKE, Request
from governance.core.quorum import Threshold
from governance.core.verdicts import Verdict


class Kind(StrEnum):
    """What a parameter holds: how it is written in a manifest, and what it is checked against."""

    ACTIONS = "actions, or patterns of them"
    AGENTS = "agents, or patterns of them"
    SKILLS = "skills, or patterns of them"
    MODELS = "patterns of models"
    SIDE_EFFECTS = "side effects"
    SOURCES = "patterns of what runs are started by"
    LABELS = "labels of skills"
    TAINTS = "labels of what has been read"
    MARK = "true, or left out"
    WHEN = "conditions on fields of the request"
    TEXT = "a sentence"
    GROUP = "an approver group"
    COUNT = "a number of people, from 1"
    DURATION = "a duration such as 15m, 4h or 7d"
    THRESHOLDS = "a list of {ask: group, approve: number, reject: number}"


def parameter(kind: Kind, **default: Any) -> Any:
    """Declare a rule's parameter; without `default` a manifest must give it."""
    return field(metadata={"kind": kind}, **default)


@dataclass(frozen=True, kw_only=True)
class Rule(ABC):
    """Speak within a reach: every parameter given must fit the request, a list fits by any of its entries.

    `labels` are of the skill; `taint` must have been read, all of it; `tainted: true` is short for `taint: [untrusted_output]`.
    """

    speaks_on: ClassVar[frozenset[str]] = frozenset(ACTIONS)
    is_certain: ClassVar[bool] = False  # `judge` says the same of every request within reach

    action: tuple[str, ...] = parameter(Kind.ACTIONS, default=())
    agent: tuple[str, ...] = parameter(Kind.AGENTS, default=())
    skill: tuple[str, ...] = parameter(Kind.SKILLS, default=())
    model: tuple[str, ...] = parameter(Kind.MODELS, default=())
    side_effect: tuple[str, ...] = parameter(Kind.SIDE_EFFECTS, default=())
    labels: tuple[str, ...] = parameter(Kind.LABELS, default=())
    taint: tuple[str, ...] = parameter(Kind.TAINTS, default=())
    tainted: bool = parameter(Kind.MARK, default=False)
    when: Mapping[str, Mapping[str, Any]] = parameter(Kind.WHEN, default_factory=dict)
    because: str = parameter(Kind.TEXT, default="")

    @abstractmethod
    def judge(self, request: Request) -> Verdict | None:
        """Say what this rule thinks of a request within its reach, or None when it has nothing to say."""

    def contradictions(self) -> Iterable[tuple[str, str]]:
        """Name parameters that do not go together, each with a sentence that says why."""
        return ()

    @property
    def asks(self) -> tuple[Threshold, ...]:
        """The people it may ask, so that a manifest can be warned about groups that are too small."""
        return ()

    @property
    def actions(self) -> frozenset[str]:
        """The actions it can speak on: what it names, less those that cannot have the fields it looks at."""
        reach = self.speaks_on & frozenset(self.action or ACTIONS)
        about_skills = {"skill", "side_effect", "labels"}
        looked_at = {name.partition(".")[0] for name in self.when}
        if self.skill or self.side_effect or self.labels or looked_at & (about_skills | {"args"}):
            reach &= {INVOKE}
        if self.model or "model" in looked_at:
            reach &= {CALL_MODEL}
        return reach


def all_rules() -> dict[str, type[Rule]]:
    """Return every rule there is, by the name that manifests write."""
    return discover("governance.core.rules", Rule)  # type: ignore[type-abstract]  # the base itself is never made


def parameters_of(kind: type[Rule]) -> dict[str, Field[Any]]:
    """Return a rule's parameters by name, in order: what is required first."""
    return {each.name: each for each in sorted(fields(kind), key=lambda each: not is_required(each))}


def is_required(each: Field[Any]) -> bool:
    """Say whether a manifest must give this parameter."""
    return each.default is MISSING and each.default_factory is MISSING


def _threshold(value: Mapping[str, Any]) -> Threshold:
    return Threshold(value["ask"], value.get("approve", 1), value.get("reject", 1))


_DECODERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.DURATION: lambda seconds: timedelta(seconds=seconds),
    Kind.THRESHOLDS: lambda listed: tuple(_threshold(each) for each in listed),
}


def rule_from_json(name: str, given: Mapping[str, Any]) -> Rule:
    """Make a rule from its normal form: lists of names, durations in seconds, money as text."""
    kind = all_rules()[name]
    decoded: dict[str, Any] = {}
    for key, each in parameters_of(kind).items():
        if key in given:
            value = given[key]
            decode = _DECODERS.get(each.metadata["kind"], tuple if isinstance(value, list) else None)
            decoded[key] = decode(value) if decode else value
    return kind(**decoded)
