"""A ledger entry as a sentence: who did what to what, and why. The API, the stream, the commands and the console say the same."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from audit.models import AuditEvent

# What happened, in the past tense. `{label}` is what the entry calls its subject, other names in braces are its facts.
DEEDS: Mapping[str, str] = {
    "run.receive": "asked for {label}",
    "run.plan": "began to plan {label}",
    "run.hold": "held {label}: its plan waits for people",
    "run.release": "let {label} go on",
    "run.succeed": "finished {label}",
    "run.fail": "ended {label}: it failed",
    "run.refuse": "ended {label}: it was refused",
    "run.cancel": "cancelled {label}",
    "plan.propose": "proposed {label}",
    "plan.accept": "accepted {label}",
    "plan.hold": "held {label}",
    "plan.reject": "rejected {label}",
    "step.create": "stored {label}",
    "step.release": "made {label} ready",
    "step.start": "began {label}",
    "step.succeed": "finished {label}",
    "step.fail": "ended {label}: it failed",
    "step.retry": "will try {label} again",
    "step.suspend": "suspended {label}",
    "step.refuse": "refused {label}",
    "step.skip": "skipped {label}",
    "step.cancel": "cancelled {label}",
    "gate.allow": "was allowed to {label}",
    "gate.deny": "was not allowed to {label}",
    "gate.hold": "must wait for people to {label}",
    "gate.approve": "approved {label}",
    "gate.reject": "rejected {label}",
    "gate.expire": "let {label} expire: nobody answered in time",
    "gate.withdraw": "withdrew {label}",
    "gate.vote": "answered {label}",
    "gate.open": "opened the payload of {label}",
    "invocation.request": "asked for {label}",
    "invocation.deny": "denied {label}",
    "invocation.start": "began {label}",
    "invocation.hold": "held {label}",
    "invocation.release": "released {label}",
    "invocation.cancel": "cancelled {label}",
    "invocation.succeed": "performed {label}",
    "invocation.fail": "tried {label}, and it failed",
    "invocation.reset": "will try {label} again: it had no effect",
    "invocation.requeue": "will perform {label} again",
    "invocation.lose": "does not know the outcome of {label}",
    "invocation.settle_succeeded": "settled {label}: it happened",
    "invocation.settle_failed": "settled {label}: it did not happen",
    "invocation.answer_late": "heard of {label} when it was too late",
    "manifest.draft": "wrote {label}",
    "manifest.submit": "submitted {label}",
    "manifest.activate": "activated {label}",
    "manifest.reject": "rejected {label}",
    "manifest.retire": "retired {label}",
    "job.queue": "queued {label}",
    "job.submit": "submitted {label}",
    "job.start": "saw {label} start",
    "job.succeed": "saw {label} end well",
    "job.fail": "saw {label} fail",
    "job.time_out": "stopped {label}: its time was over",
    "job.lose": "lost {label}",
    "job.cancel": "cancelled {label}",
    "job.withdraw": "no longer wants {label}",
    "artifact.store": "stored {label}",
    "artifact.open": "opened {label}",
    "burn.store": "noted a burn: {label}",
    "burn.acknowledge": "acknowledged a burn: {label}",
    "workspace.create": "made the workspace {label}",
    "workspace.freeze": "froze the workspace {label}",
    "workspace.thaw": "thawed the workspace {label}",
    "agent.install": "installed the agent {label}",
    "agent.disable": "disabled the agent {label}",
    "agent.enable": "enabled the agent {label}",
    "skill.install": "installed the skill {label}",
    "skill.disable": "disabled the skill {label}",
    "skill.enable": "enabled the skill {label}",
    "membership.add": "added {user} as {role}",
    "approver_group.create": "made the group {label}",
    "approver_group.add": "added {user} to the group {label}",
    "api_key.create": "made an API key for {of}",
    "api_key.revoke": "revoked an API key of {of}",
    "llm_call.start": "called the model {label}",
    "llm_call.succeed": "got an answer of the model {label}",
    "llm_call.fail": "got no answer of the model {label}",
    "llm_call.leave": "left an answer of the model {label}",
    "llm_call.lose": "lost a call of the model {label}",
    "secret.put": "put the secret {label}",
    "secret.rotate": "rotated the secret {label}",
    "secret.revoke": "revoked the secret {label}",
    "secret_version.store": "stored {label}",
    "secret_version.supersede": "superseded {label}",
    "secret_version.retire": "erased {label}",
    "secret_version.revoke": "revoked and erased {label}",
    "grant.give": "granted the secret {label}",
    "grant.withdraw": "took back the grant of the secret {label}",
    "connection.connect": "connected {label}",
    "connection.disable": "disabled the connection {label}",
    "connection.enable": "enabled the connection {label}",
    "connection.disconnect": "disconnected {label}",
    "user.create": "made an account for {label}",
    "user.change": "changed the account of {label}",
    "user.password_reset": "reset the password of {label}",
    "user.password_change": "changed the password of {label}",
    "group.create": "made the group {label}",
    "group.change": "renamed a group to {label}",
    "group.delete": "deleted the group {label}",
    "memory.store": "remembered {label}",
    "memory.forget": "erased memories in {label}",
    "memory.expire": "erased memories in {label}",
    "mcp_server.add": "added the MCP server {label}",
    "mcp_server.discover": "looked at what the MCP server {label} serves",
    "mcp_server.fail": "could not use the MCP server {label}",
    "mcp_server.disable": "disabled the MCP server {label}",
    "mcp_server.enable": "enabled the MCP server {label}",
    "mcp_tool.discover": "discovered the tool {label}",
    "mcp_tool.change": "saw that the tool {label} is served otherwise",
    "mcp_tool.accept": "accepted the tool {label}",
    "mcp_tool.suspend": "suspended the tool {label}",
    "mcp_tool.refuse": "refused the tool {label}",
    "mcp_tool.withdraw": "saw that the tool {label} is gone",
    "ledger.verify": "verified the ledger",
}
VOTES: Mapping[str, str] = {"approve": "said yes to {label}", "reject": "said no to {label}"}

# What an agent asks for, after "to" (decisions), and as a thing (answers). `{about}` is what it is about.
_ASKED: Mapping[str, tuple[str, str]] = {
    "context.read": ("read its context", "reading its context"),
    "plan.propose": ("propose a plan", "the plan"),
    "skill.invoke": ("call {about}", "{about}"),
    "llm.call": ("call the model {about}", "calling the model {about}"),
    "artifact.read": ("read {about}", "reading {about}"),
    "artifact.write": ("write {about}", "writing {about}"),
    "memory.read": ("read memories", "reading memories"),
    "step.finish": ("finish its step", "finishing its step"),
}
_DECIDED = frozenset({"gate.allow", "gate.deny", "gate.hold"})

# Events whose past tense the rules below would get wrong.
PAST: Mapping[str, str] = {
    "hold": "held",
    "withdraw": "withdrew",
    "lose": "lost",
    "begin": "began",
    "freeze": "froze",
    "reset": "reset",
    "time_out": "timed out",
    "accept_restore": "accepted the restore of",
}
ONCE_CLOSED = frozenset(
    {"submit", "plan", "skip", "drop", "stop", "cancel"}
)  # one short vowel before the last consonant
_NAME = re.compile(r"\{(\w+)\}")


class Deed(NamedTuple):
    """What happened, cut where the entry names its subject, so that a page can make a link of the name."""

    before: str
    label: str
    after: str

    def __str__(self) -> str:
        return f"{self.before}{self.label}{self.after}"


def sentence(event: AuditEvent) -> str:
    """Say an entry: “actor did something to subject: reason”."""
    said = f"{actor_of(event)} {deed_of(event)}"
    return f"{said}: {event.because}" if event.because else said


def deed_of(event: AuditEvent) -> Deed:
    """Say what happened; a type that has no words of its own gets the past tense of its event."""
    phrase = DEEDS.get(event.type)
    if event.type == "gate.vote":
        phrase = VOTES.get(str(event.facts.get("verdict")), phrase)
    if phrase is None:
        phrase = f"{past(event.type.rpartition('.')[2])} {{label}}"
    before, marked, after = phrase.partition("{label}")
    label = subject_of(event) if marked else ""
    if marked and event.type.startswith("gate."):
        lead, label = _asked_for(event, label)
        before += lead
    return Deed(_with_facts(before, event), label, _with_facts(after, event))


def actor_of(event: AuditEvent) -> str:
    """Return the name of who did it, with the one it was done for."""
    kind, _, name = event.actor.partition(":")
    shown = "Worka" if kind == "system" else name
    return f"{shown} (for {event.on_behalf_of.partition(':')[2]})" if event.on_behalf_of else shown


def subject_of(event: AuditEvent) -> str:
    """Return what the entry calls its subject, else its kind and the beginning of its id."""
    label = event.facts.get("label")
    if isinstance(label, str) and label:
        return label
    kind = event.subject_kind.rpartition(".")[2]
    return f"{event.type.partition('.')[0] if '.' in event.type else kind} {event.subject_id[-12:]}"


def past(event: str) -> str:
    """Return the past tense of an event's imperative: `approve` → approved."""
    if event in PAST:
        return PAST[event]
    first, *rest = event.split("_")
    if first.endswith("e"):
        did = first + "d"
    elif first.endswith("y") and first[-2:-1] not in "aeiou":
        did = first[:-1] + "ied"
    elif first in ONCE_CLOSED:
        did = first + first[-1] + "ed"
    else:
        did = first + "ed"
    return " ".join([did, *rest])


def _asked_for(event: AuditEvent, label: str) -> tuple[str, str]:
    """Return the words before the name of what a gate is about, and the name: gates are labelled `action subject`."""
    action, _, about = label.partition(" ")
    if action not in _ASKED:
        return ("use " if event.type in _DECIDED else ""), label
    words = _ASKED[action][0 if event.type in _DECIDED else 1]
    lead, marked, _ = words.partition("{about}")
    return (lead, about or "something") if marked else ("", words)


def _with_facts(text: str, event: AuditEvent) -> str:
    def fact(found: re.Match[str]) -> str:
        value = event.facts.get(found[1])
        return value if isinstance(value, str) and value else "somebody"

    return _NAME.sub(fact, text)
