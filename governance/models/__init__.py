"""The governed rows, one family a file."""

from governance.models.evidence import Artifact, Burn
from governance.models.gate import Consent, Gate, Vote
from governance.models.invocation import Budget, LockStatus, SkillInvocation, SkillLock
from governance.models.manifest import PolicyManifest
from governance.models.payload import DataKey, EncryptedPayload
from governance.models.plan import Plan
from governance.models.registry import Agent, AgentKind, SideEffect, Skill
from governance.models.run import Run, Source
from governance.models.step import Step
from governance.models.workspace import ApproverGroup, Membership, Role, ServiceAccount, Workspace

__all__ = [
    "Agent",
    "AgentKind",
    "ApproverGroup",
    "Artifact",
    "Budget",
    "Burn",
    "Consent",
    "DataKey",
    "EncryptedPayload",
    "Gate",
    "LockStatus",
    "Membership",
    "Plan",
    "PolicyManifest",
    "Role",
    "Run",
    "ServiceAccount",
    "SideEffect",
    "Skill",
    "SkillInvocation",
    "SkillLock",
    "Source",
    "Step",
    "Vote",
    "Workspace",
]
