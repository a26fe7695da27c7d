"""Words that several pages use."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from governance.models import Gate, SkillInvocation
from worka_site.portal.links import to, to_run
from worka_site.portal.shapes import Item

SOURCES = {"api": "API", "web": "web", "slack": "Slack", "schedule": "schedule", "webhook": "webhook", "flow": "flow"}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_LONGEST = 120
# What a call is about, where its input has one of these.
_OBJECTS = ("path", "title", "channel", "repository", "url", "name", "prefix", "text")
_EFFECT = re.compile(r"^(?:Held for [^:]{1,200}|Allowed|Denied): ")


def number_word(amount: int) -> str:
    """Write a number as people do in a sentence: in words up to twelve."""
    return _NUMBERS[amount] if 0 <= amount < len(_NUMBERS) else f"{amount:,}"


def dollars(amount: Decimal) -> str:
    """Write US dollars: with cents, and below ten of these as fine as a call of a model costs (`$0.0031`)."""
    if not amount or abs(amount) >= Decimal("0.1"):
        return f"${amount:,.2f}"
    return "under $0.0001" if abs(amount) < Decimal("0.0001") else f"${amount:.4f}"


def things_wait(amount: int) -> str:
    """Say how many things wait for the reader."""
    if not amount:
        return "Nothing waits for you"
    return f"{number_word(amount).capitalize()} {'thing waits' if amount == 1 else 'things wait'} for you"


def without_prefix(reason: str) -> str:
    """Return a decision's reason without its effect and its full stop, where the effect is already said."""
    return _EFFECT.sub("", reason).rstrip(".")


def deed(skill: str, given: Any) -> str:
    """Say a call in a few words: its skill, and what it is about."""
    about = (
        next((given[name] for name in _OBJECTS if isinstance(given.get(name), str)), "")
        if isinstance(given, Mapping)
        else ""
    )
    text = f"{skill} {about}".strip()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def gate_deed(gate: Gate) -> str:
    """Say what a held gate (read with its invocations) is about."""
    if gate.plan_id is not None and gate.step_id is None:
        return f"The plan of run {gate.run.number}"
    call = next(iter(gate.invocations.all()), None)
    return deed(gate.subject, call.input_redacted if call else {})


def gate_item(gate: Gate) -> Item:
    """Return a waiting gate (read with its run and invocations) as something to act on."""
    asked = " and ".join(approvals_of(each["approve"], each["group"]) for each in gate.thresholds)
    verb = "is" if len(gate.thresholds) == 1 and gate.thresholds[0]["approve"] == 1 else "are"
    requester = gate.run.requester_name.partition(":")[2]
    return Item(
        "wait",
        "held",
        gate_deed(gate),
        to("governance_gate_change", gate.pk),
        f"Run {gate.run.number}",
        to_run(gate.run_id),
        f"of {requester}: {without_prefix(gate.reason)}. {asked[:1].upper()}{asked[1:]} {verb} needed.",
        until=gate.expires_at,
        at=gate.created_at,
        at_word="waits",
    )


def approvals_of(amount: int, group: str) -> str:
    """Say how many approvals of a group are meant: `one approval of operators`."""
    return f"{number_word(amount)} {'approval' if amount == 1 else 'approvals'} of {group}"


def lost_item(call: SkillInvocation) -> Item:
    """Return a call of unknown effect (read with its run) as something to act on."""
    return Item(
        "odd",
        "unknown",
        f"Did {deed(call.skill_name, call.input_redacted)} happen?",
        to("governance_skillinvocation_change", call.pk),
        f"Run {call.run.number}",
        to_run(call.run_id),
        "nobody knows: the gateway stopped in the middle. Look at the other side, then settle the call.",
        end="No expiry",
        at=call.state_changed_at,
        at_word="waits",
    )
