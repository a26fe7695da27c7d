"""Every code a refusal can carry, with its HTTP status: one list for REST, the agent's door and the CLI."""

from collections.abc import Mapping
from enum import StrEnum


class Code(StrEnum):
    """Name a refusal for programs."""

    BAD_REQUEST = "bad_request"
    INVALID_MANIFEST = "invalid_manifest"
    INVALID_DEPLOYMENT_ID = "invalid_deployment_id"
    UNAUTHORIZED = "unauthorized"
    JOB_OVER = "job_over"
    MISSING_SCOPE = "missing_scope"
    FORBIDDEN = "forbidden"
    HTTPS_REQUIRED = "https_required"
    OWN_REQUEST = "own_request"
    NOT_ASKED = "not_asked"
    IDENTITY_MISMATCH = "identity_mismatch"
    POLICY_DENIED = "policy_denied"
    NO_GRANT = "no_grant"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    IDEMPOTENCY_REQUIRED = "idempotency_required"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    NO_ACTIVE_DEPLOYMENT = "no_active_deployment"
    TRANSITION_REFUSED = "transition_refused"
    OVERTAKEN = "overtaken"
    ALREADY_VOTED = "already_voted"
    ALREADY_USED = "already_used"
    REJECTED = "rejected"
    EXPIRED = "expired"
    PAYLOAD_CHANGED = "payload_changed"
    PLAN_CHANGED = "plan_changed"
    SKILL_CHANGED = "skill_changed"
    POLICY_DENIES_NOW = "policy_denies_now"
    OTHER_WORKSPACE = "other_workspace"
    CALL_CONFLICT = "call_conflict"
    CALLS_OPEN = "calls_open"
    LOCK_CONFLICT = "lock_conflict"
    RESULT_CONFLICT = "result_conflict"
    FROZEN = "frozen"
    NO_CONNECTION = "no_connection"
    REVOKED = "revoked"
    UNKNOWN_SECRET = "unknown_secret"  # noqa: S105  # a code
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    INVALID = "invalid"
    BAD_INPUT = "bad_input"
    BAD_OUTPUT = "bad_output"
    NOT_CANONICAL = "not_canonical"
    PLAN_REFUSED = "plan_refused"
    RATE_LIMITED = "rate_limited"
    THROTTLED = "throttled"
    BUDGET_EXCEEDED = "budget_exceeded"
    INTERNAL = "internal"
    SKILL_FAILED = "skill_failed"
    MODEL_FAILED = "model_failed"
    UNAVAILABLE = "unavailable"

    @property
    def status(self) -> int:
        """Return the HTTP status that goes with the code."""
        return _STATUS_OF[self]


STATUS: Mapping[int, tuple[Code, ...]] = {
    400: (
        Code.BAD_REQUEST,
        Code.INVALID_MANIFEST,
        Code.INVALID_DEPLOYMENT_ID,
    ),
    401: (
        Code.UNAUTHORIZED,
        Code.JOB_OVER,
    ),
    403: (
        Code.MISSING_SCOPE,
        Code.FORBIDDEN,
        Code.HTTPS_REQUIRED,
        Code.OWN_REQUEST,
        Code.NOT_ASKED,
        Code.IDENTITY_MISMATCH,
        Code.POLICY_DENIED,
        Code.NO_GRANT,
    ),
    404: (Code.NOT_FOUND,),
    405: (Code.METHOD_NOT_ALLOWED,),
    406: (Code.NOT_ACCEPTABLE,),
    409: (
        Code.IDEMPOTENCY_REQUIRED,
        Code.IDEMPOTENCY_CONFLICT,
        Code.NO_ACTIVE_DEPLOYMENT,
        Code.TRANSITION_REFUSED,
        Code.OVERTAKEN,
        Code.ALREADY_VOTED,
        Code.ALREADY_USED,
        Code.REJECTED,
        Code.EXPIRED,
        Code.PAYLOAD_CHANGED,
        Code.PLAN_CHANGED,
        Code.SKILL_CHANGED,
        Code.POLICY_DENIES_NOW,
        Code.OTHER_WORKSPACE,
        Code.CALL_CONFLICT,
        Code.CALLS_OPEN,
        Code.LOCK_CONFLICT,
        Code.RESULT_CONFLICT,
        Code.FROZEN,
        Code.NO_CONNECTION,
        Code.REVOKED,
        Code.UNKNOWN_SECRET,
    ),
    413: (Code.TOO_LARGE,),
    415: (Code.UNSUPPORTED_MEDIA_TYPE,),
    422: (
        Code.INVALID,
        Code.BAD_INPUT,
        Code.BAD_OUTPUT,
        Code.NOT_CANONICAL,
        Code.PLAN_REFUSED,
    ),
    429: (
        Code.RATE_LIMITED,
        Code.THROTTLED,
        Code.BUDGET_EXCEEDED,
    ),
    500: (Code.INTERNAL,),
    502: (
        Code.SKILL_FAILED,
        Code.MODEL_FAILED,
    ),
    503: (Code.UNAVAILABLE,),
}
_STATUS_OF: Mapping[Code, int] = {code: status for status, codes in STATUS.items() for code in codes}
