"""The tokens of agents: EdDSA, short-lived, bound to one job. Runtime mints them, the gateway verifies them."""

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings
from django.utils.timezone import now

from audit.core.codes import Code
from audit.core.refusals import Refused
from audit.keys import KeyRing, ring
from runtime.models import AgentJob

AUDIENCE = "worka-agent"
ALGORITHM = "EdDSA"
GRACE = timedelta(seconds=60)
CLOCK_SKEW_S = 5
CLAIMS = ["iss", "aud", "sub", "ws", "run", "jti", "iat", "nbf", "exp"]


class TokenRefused(Refused):
    """The token is missing, malformed, expired, foreign or signed by nobody we know."""

    code = Code.UNAUTHORIZED
    recovery = "Use the token of a live job, from the file that WORKA_TOKEN_FILE names."


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. It is not yet known whether its job is live."""

    job_id: UUID
    agent: str
    workspace_id: UUID
    run_id: UUID
    step_id: UUID | None


def mint_token(job: AgentJob) -> str:
    """Return the token of a job, good until 60 s after the job's deadline."""
    kid, key = next(iter(ring().token_keys()))
    issued = now()
    claims: dict[str, Any] = {
        "iss": settings.WORKA_ISSUER,
        "aud": AUDIENCE,
        "sub": f"agent:{job.agent_name}",
        "ws": str(job.workspace_id),
        "run": str(job.run_id),
        "jti": str(job.pk),
        "iat": issued,
        "nbf": issued,
        "exp": job.deadline_at + GRACE,
    }
    if job.step_id is not None:
        claims["step"] = str(job.step_id)
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid})


def verify_token(token: str) -> Claims:
    """Check signature, algorithm, issuer, audience and times, and return the claims, or refuse with unauthorized."""
    try:
        # The ring is another one when a key was added or taken out: whether a token's key is accepted is asked at each use.
        return _verified(token, ring(), settings.WORKA_ISSUER, int(now().timestamp() / CLOCK_SKEW_S))
    except jwt.ExpiredSignatureError:
        raise TokenRefused("the token has expired") from None
    except (jwt.PyJWTError, ValueError, AttributeError, TypeError):
        raise TokenRefused("the token is not one of ours") from None


@lru_cache(maxsize=1024)
def _verified(token: str, keys: KeyRing, issuer: str, moment: int) -> Claims:
    """Verify a token; the answer stands for a `moment` of five seconds. Whether its job is live is asked at each use."""
    kid = jwt.get_unverified_header(token).get("kid")
    key = dict(keys.token_keys()).get(kid) if isinstance(kid, str) else None
    if key is None:
        raise TokenRefused("the token is signed with a key that is not ours")
    claims = jwt.decode(
        token,
        key.public_key(),
        algorithms=[ALGORITHM],
        audience=AUDIENCE,
        issuer=issuer,
        leeway=CLOCK_SKEW_S,
        options={"require": CLAIMS},
    )
    kind, _, agent = claims["sub"].partition(":")
    if kind != "agent":
        raise TokenRefused("the token is not an agent's")
    return Claims(
        job_id=UUID(claims["jti"]),
        agent=agent,
        workspace_id=UUID(claims["ws"]),
        run_id=UUID(claims["run"]),
        step_id=UUID(claims["step"]) if "step" in claims else None,
    )
