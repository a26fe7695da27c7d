"""What rules say, and what they add up to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

from audit.core.codes import Code
from governance.core.quorum import Threshold

DEFAULT_GROUP = "operators"
DEFAULT_EXPIRES = timedelta(hours=24)


class Effect(StrEnum):
    """What a decision comes to."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"


# Plain texts: what is stored and compared everywhere must not depend on how a library treats enumerations.
_ALLOW, _HOLD, _DENY = str(Effect.ALLOW), str(Effect.HOLD), str(Effect.DENY)


class Ground(StrEnum):
    """Why a decision denies or holds, more exactly than its code."""

    NONE = ""
    FROZEN = "frozen"
    AGENT_DISABLED = "agent_disabled"
    SKILL_DISABLED = "skill_disabled"
    UNGATHERED = "ungathered"
    NOT_PERMITTED = "not_permitted"
    NOT_IN_STEP = "not_in_step"
    NO_POLICY = "no_policy"
    RULE = "rule"
    RULE_FAILED = "rule_failed"
    REPEAT = "possible_repeat"
    PLAN = "plan"


@dataclass(frozen=True, slots=True)
class Allow:
    """The agent's entry in a manifest has it."""

    because: str


@dataclass(frozen=True, slots=True)
class Require:
    """People must agree first: every threshold, before it expires."""

    because: str
    thresholds: tuple[Threshold, ...]
    expires: timedelta = DEFAULT_EXPIRES
    ground: Ground = Ground.RULE


@dataclass(frozen=True, slots=True)
class Deny:
    """No, whatever else is said."""

    because: str
    ground: Ground = Ground.RULE
    code: Code = Code.POLICY_DENIED


Verdict = Allow | Require | Deny
Layer = Literal["platform", "workspace", ""]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A verdict and where it comes from: `rule` is the number of the rule, from 1, or the section that spoke."""

    verdict: Verdict
    layer: str = ""
    manifest: str = ""
    rule: int | str = "facts"
    line: int = 0

    @property
    def effect(self) -> Effect:
        return (
            Effect.ALLOW
            if isinstance(self.verdict, Allow)
            else Effect.DENY
            if isinstance(self.verdict, Deny)
            else Effect.HOLD
        )

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored with a gate; a hold also says who is asked and for how long (seconds)."""
        said: dict[str, Any] = {
            "manifest": self.manifest,
            "layer": self.layer,
            "rule": self.rule,
            "line": self.line,
            "effect": str(self.effect),
            "because": self.verdict.because,
        }
        if isinstance(self.verdict, Require):
            said["thresholds"] = [threshold.as_json() for threshold in self.verdict.thresholds]
            said["expires_s"] = int(self.verdict.expires.total_seconds())
        return said


@dataclass(frozen=True, slots=True)
class Decision:
    """The sum of all verdicts. `rules` keeps every one of them; `thresholds` and `expires` are there when it holds.

    `code` is the refusal's code for programs, `subcode` the ground (`not_permitted`, `rule`, …); `manifests` has the digests
    of the manifests that were asked.
    """

    effect: str
    reason: str
    code: str = ""
    subcode: str = ""
    thresholds: tuple[Threshold, ...] = ()
    expires: timedelta | None = None
    rules: tuple[Spoken, ...] = ()
    manifests: tuple[str, ...] = ()

    @property
    def is_outside(self) -> bool:
        """Whether it denies what lies outside the agent's entry or the step's list, so that no rule was asked."""
        return self.subcode in (Ground.NOT_PERMITTED, Ground.NOT_IN_STEP)

    def rules_as_json(self) -> list[dict[str, Any]]:
        """Return all verdicts as they are stored with a gate."""
        return [spoken.as_json() for spoken in self.rules]


def fold(spoken: Iterable[Spoken], manifests: tuple[str, ...] = ()) -> Decision:
    """Add verdicts up: any Deny denies; else any Require holds, if somebody allows; else Allow; nobody spoke denies.

    Source: policy.md, section 3. The first denial gives code and ground.
    """
    rules = tuple(spoken)
    denied: list[Deny] = []
    required: list[Require] = []
    allowed: list[Allow] = []
    for each in rules:
        verdict = each.verdict
        if isinstance(verdict, Allow):
            allowed.append(verdict)
        elif isinstance(verdict, Deny):
            denied.append(verdict)
        else:
            required.append(verdict)
    if denied:
        reason = _sentence("Denied: ", denied)
        return Decision(_DENY, reason, str(denied[0].code), str(denied[0].ground), rules=rules, manifests=manifests)
    if not allowed:
        because = "Denied: no manifest allows it."
        return Decision(
            _DENY, because, str(Code.POLICY_DENIED), str(Ground.NO_POLICY), rules=rules, manifests=manifests
        )
    if not required:
        return Decision(_ALLOW, _sentence("Allowed: ", allowed), rules=rules, manifests=manifests)
    thresholds = merge_thresholds([threshold for verdict in required for threshold in verdict.thresholds])
    reason = _sentence(f"Held for {_asked(thresholds)}: ", required)
    expires = min([verdict.expires for verdict in required])
    return Decision(_HOLD, reason, "", str(required[0].ground), thresholds, expires, rules, manifests)


def merge_thresholds(thresholds: Sequence[Threshold]) -> tuple[Threshold, ...]:
    """Ask each group once: with the most approvals that anybody wants, and the fewest rejections that end it."""
    if len(thresholds) == 1:
        return tuple(thresholds)
    merged: dict[str, Threshold] = {}
    for asked in thresholds:
        known = merged.get(asked.group, asked)
        merged[asked.group] = Threshold(asked.group, max(known.approve, asked.approve), min(known.reject, asked.reject))
    return tuple(merged.values())


def _sentence(start: str, verdicts: Sequence[Verdict]) -> str:
    because = verdicts[0].because
    if len(verdicts) > 1:
        # The layers often say the same; a person reads it once.
        because = "; ".join(dict.fromkeys([verdict.because for verdict in verdicts]))
    return f"{start}{because}."


def _asked(thresholds: tuple[Threshold, ...]) -> str:
    return " and ".join([f"{each.approve} of {each.group}" if each.approve > 1 else each.group for each in thresholds])
