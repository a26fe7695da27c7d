"""How every state looks: tone, icon and word, from one map."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Look:
    """A state's tone (`wait work done fail odd idle`), icon and word; never one without the others."""

    tone: str
    icon: str
    word: str


RUN = {
    "received": Look("idle", "pending", "Received"),
    "planning": Look("work", "planning", "Planning"),
    "held": Look("wait", "held", "Waiting"),
    "running": Look("work", "running", "Running"),
    "succeeded": Look("done", "succeeded", "Succeeded"),
    "failed": Look("fail", "failed", "Failed"),
    "refused": Look("fail", "refused", "Refused"),
    "cancelled": Look("idle", "cancelled", "Cancelled"),
}
PLAN = {
    "proposed": Look("work", "planning", "Proposed"),
    "held": Look("wait", "held", "Waiting"),
    "accepted": Look("done", "succeeded", "Accepted"),
    "rejected": Look("fail", "refused", "Rejected"),
}
STEP = {
    "pending": Look("idle", "pending", "Pending"),
    "ready": Look("work", "pending", "Ready"),
    "running": Look("work", "running", "Running"),
    "suspended": Look("wait", "held", "Suspended"),
    "succeeded": Look("done", "succeeded", "Succeeded"),
    "failed": Look("fail", "failed", "Failed"),
    "refused": Look("fail", "refused", "Refused"),
    "skipped": Look("idle", "cancelled", "Skipped"),
    "cancelled": Look("idle", "cancelled", "Cancelled"),
}
GATE = {
    "allowed": Look("done", "allow", "Allowed"),
    "denied": Look("fail", "refused", "Denied"),
    "waiting": Look("wait", "held", "Waiting"),
    "approved": Look("done", "approvals", "Approved"),
    "rejected": Look("fail", "refused", "Rejected"),
    "expired": Look("fail", "stuck", "Expired"),
    "withdrawn": Look("idle", "cancelled", "Withdrawn"),
}
INVOCATION = {
    "requested": Look("idle", "pending", "Requested"),
    "held": Look("wait", "held", "Held"),
    "released": Look("work", "allow", "Released"),
    "running": Look("work", "running", "Running"),
    "unknown": Look("odd", "unknown", "Unknown effect"),
    "succeeded": Look("done", "succeeded", "Succeeded"),
    "failed": Look("fail", "failed", "Failed"),
    "denied": Look("fail", "refused", "Denied"),
    "cancelled": Look("idle", "cancelled", "Cancelled"),
}
JOB = {
    "queued": Look("idle", "pending", "Queued"),
    "submitted": Look("work", "pending", "Submitted"),
    "running": Look("work", "running", "Running"),
    "succeeded": Look("done", "succeeded", "Succeeded"),
    "failed": Look("fail", "failed", "Failed"),
    "timed_out": Look("fail", "stuck", "Timed out"),
    "lost": Look("fail", "unknown", "Lost"),
    "cancelled": Look("idle", "cancelled", "Cancelled"),
}
MANIFEST = {
    "draft": Look("idle", "planning", "Draft"),
    "submitted": Look("work", "planning", "Submitted"),
    "active": Look("done", "succeeded", "Active"),
    "retired": Look("idle", "cancelled", "Retired"),
    "rejected": Look("fail", "refused", "Rejected"),
}
SECRET_VERSION = {
    "active": Look("done", "succeeded", "Active"),
    "overlapping": Look("wait", "held", "Overlapping"),
    "retired": Look("idle", "cancelled", "Erased"),
    "revoked": Look("fail", "refused", "Revoked"),
}
GRANT = {
    "given": Look("done", "allow", "Granted"),
    "withdrawn": Look("idle", "cancelled", "Taken back"),
}
CONNECTION = {
    "connected": Look("done", "check", "Connected"),
    "disabled": Look("wait", "paused", "Disabled"),
    "disconnected": Look("idle", "cancelled", "Disconnected"),
}
MODEL_CALL = {
    "running": Look("work", "running", "Running"),
    "succeeded": Look("done", "succeeded", "Answered"),
    "failed": Look("fail", "failed", "Failed"),
    "left": Look("idle", "cancelled", "Left"),
    "lost": Look("odd", "unknown", "Lost"),
}
MCP_TOOL = {
    "discovered": Look("work", "plus", "Discovered"),
    "accepted": Look("done", "check", "Accepted"),
    "suspended": Look("wait", "paused", "Suspended"),
    "refused": Look("fail", "refused", "Refused"),
    "withdrawn": Look("idle", "cancelled", "Gone"),
}
EFFECT = {
    "allow": Look("done", "allow", "Allowed"),
    "deny": Look("fail", "refused", "Denied"),
    "hold": Look("wait", "held", "Held"),
}
VERDICT = {
    "approve": Look("done", "succeeded", "Approved"),
    "reject": Look("fail", "failed", "Rejected"),
}
BURN = {
    "job_failed": Look("fail", "failed", "Job failed"),
    "job_timeout": Look("fail", "stuck", "Job timed out"),
    "job_lost": Look("fail", "unknown", "Job lost"),
    "oom": Look("fail", "alert", "Out of memory"),
    "bad_output": Look("fail", "failed", "Bad output"),
    "budget": Look("fail", "alert", "Out of budget"),
    "policy": Look("fail", "policy", "Against policy"),
    "connector": Look("fail", "alert", "Connector"),
    "internal": Look("fail", "alert", "Our own fault"),
}
SIDE_EFFECT = {
    "read_only": Look("idle", "taint", "Reads"),
    "write": Look("wait", "planning", "Writes"),
    "external": Look("wait", "allow", "Leaves the house"),
    "destructive": Look("fail", "alert", "Destroys"),
}
HEALTH = {
    "ok": Look("done", "succeeded", "Well"),
    "warn": Look("wait", "alert", "Look at it"),
    "bad": Look("fail", "failed", "Down"),
    "off": Look("idle", "cancelled", "Not in use"),
}
SWITCH = {
    "enabled": Look("done", "check", "Enabled"),
    "disabled": Look("idle", "paused", "Disabled"),
    "frozen": Look("wait", "freeze", "Frozen"),
    "open": Look("done", "check", "Open"),
}
# A person reads a run by why it waits before by its state (`governance.core.explain` names the codes).
WHY = {
    "awaiting_approval": Look("wait", "held", "Waiting"),
    "awaiting_settlement": Look("odd", "unknown", "Unknown effect"),
    "awaiting_planner": Look("work", "planning", "Planning"),
    "awaiting_capacity": Look("idle", "pending", "Queued"),
    "awaiting_retry": Look("work", "rerun", "Tries again"),
    "awaiting_connection": Look("wait", "alert", "Waiting"),
    "awaiting_dependency": Look("work", "running", "Running"),
    "awaiting_time": Look("idle", "stuck", "Sleeping"),
    "paused": Look("idle", "paused", "Paused"),
    "frozen": Look("wait", "freeze", "Frozen"),
    "running": Look("work", "running", "Running"),
    "stuck": Look("fail", "stuck", "Stuck"),
}

LOOKS: Mapping[str, Mapping[str, Look]] = {
    "run": RUN, "plan": PLAN, "step": STEP, "gate": GATE, "invocation": INVOCATION, "job": JOB, "manifest": MANIFEST,
    "effect": EFFECT, "verdict": VERDICT, "burn": BURN, "side_effect": SIDE_EFFECT, "health": HEALTH, "switch": SWITCH,
    "why": WHY, "secret_version": SECRET_VERSION, "grant": GRANT, "connection": CONNECTION, "mcp_tool": MCP_TOOL,
    "llm_call": MODEL_CALL,
}  # fmt: skip


def look(kind: str, state: str) -> Look:
    """Return how a state of this kind looks; a state that nobody drew is a programming error (`KeyError`)."""
    return LOOKS[kind][state]


def look_of(subject: Any, why: str = "") -> Look:
    """Return how a row with a machine looks; for a run, `why` (a code of `explain`) goes before its state."""
    kind = subject.machine.subject
    if kind == "run" and why in WHY and not subject.machine.is_final(subject.state):
        return WHY[why]
    return LOOKS[kind][subject.state]
