"""Perform what was reserved: hand the exact input to its connector and record what came of it, before anybody is answered."""

import traceback
from collections.abc import Callable
from time import monotonic
from uuid import UUID

import structlog
from django.conf import settings

from audit.core.canonical import NotCanonical, check
from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.connector import CallContext, Connector, Outcome, SkillFailed, UsedConnection, all_connectors
from gateway.treasury.expanding import Expansion, expand
from governance.actions.outcomes import Performed, record_outcome
from governance.actions.work import Work, is_still_reserved
from governance.core.masking import redact, redact_text
from governance.core.schemas import compiled, schema_faults
from governance.models import Artifact, SkillInvocation
from governance.payloads import content_of

log = structlog.get_logger(__name__)

# A call that waited longer than this for a thread is looked at again before it is performed.
FRESH_S = 1.0
# What a connector says of a call that would always fail again.
HOPELESS = frozenset({Code.BAD_INPUT, Code.UNAUTHORIZED, Code.NOT_FOUND, Code.PAYLOAD_CHANGED, Code.TOO_LARGE})


def perform(work: Work) -> SkillInvocation:
    """Perform a reserved call with no transaction open, and return its row with the outcome on it."""
    if monotonic() - work.reserved_at > FRESH_S and not is_still_reserved(work):
        # It queued until somebody else decided about it, or its run ended: performing it now would be a deed too many.
        return record_outcome(work, Performed(error="it was not begun in time, and nothing was done", is_hopeless=True))
    return record_outcome(work, _perform(work))


def _perform(work: Work) -> Performed:
    connector, _, verb = work.skill.partition(".")
    found = all_connectors().get(connector)
    if found is None:
        return Performed(error=f"there is no connector {connector} here any more", effect="none")
    try:
        expansion = expand(work.connection, work.skill, work.workspace_id) if work.connection else None
    except Refused as refusal:
        return Performed(error=f"{refusal}. {refusal.recovery}".strip(), effect="none", is_hopeless=True)
    try:
        outcome = _call(found(), verb, work, expansion)
        check(outcome.output)
    except SkillFailed as failure:
        message = _masked(f"{failure} {failure.recovery}".strip(), expansion)
        hopeless = failure.code in HOPELESS
        return Performed(
            error=message, effect=failure.effect, is_hopeless=hopeless, retry_after_s=failure.retry_after_s
        )
    except NotCanonical as error:
        message = _masked(f"{work.skill} answered what has no canonical form: {error}", expansion)
        return Performed(error=message, effect="maybe")
    except Exception as error:  # noqa: BLE001
        # As text that is masked: what a library says of a request may quote what was in it.
        log.error(  # noqa: TRY400
            "connector_broke_its_contract",
            skill=work.skill,
            invocation=str(work.invocation_id),
            exception=_masked("".join(traceback.format_exception(error)), expansion),
        )
        return Performed(error=f"{work.skill} failed in a way it should not; the server's log has more", effect="maybe")
    if not compiled(work.output_schema).accepts(outcome.output):
        # Where, never what: the words of a fault would quote the output.
        faults = schema_faults(work.output_schema, outcome.output)
        places = ", ".join(fault.path or "/" for fault in faults[:3])
        message = _masked(f"{work.skill} answered something else than its schema says, at {places}", expansion)
        return Performed(error=message, effect="maybe")
    # Also the exact output, that goes to the agent: whatever the other side echoes, no secret comes in here.
    output = redact(outcome.output, (), expansion.secrets) if expansion else outcome.output
    return Performed(output=output, taint=outcome.taint)


def _call(connector: Connector, verb: str, work: Work, expansion: Expansion | None) -> Outcome:
    """Call a connector; while a secret is being rotated, once more with the older version if the newer is not known yet."""
    turns = expansion.turns if expansion else (None,)
    for turn in turns[:-1]:
        try:
            return connector.call(verb, dict(work.input), _context_of(work, turn))
        except SkillFailed as failure:
            if failure.code != Code.UNAUTHORIZED or failure.effect != "none":
                raise
    return connector.call(verb, dict(work.input), _context_of(work, turns[-1]))


def _masked(text: str, expansion: Expansion | None) -> str:
    return redact_text(text, (), expansion.secrets) if expansion else text


def _context_of(work: Work, connection: UsedConnection | None) -> CallContext:
    return CallContext(
        workspace_id=work.workspace_id,
        invocation_id=work.invocation_id,
        artifacts=_opener(work.run_id),
        deadline=work.deadline,
        settings=settings,
        taint=work.taint,
        connection=connection,
        egress=work.egress,
    )


def _opener(run_id: UUID) -> Callable[[str], bytes]:
    """Return what opens artifacts of one run, and of no other, by id."""

    def open_artifact(artifact_id: str) -> bytes:
        artifact = Artifact.objects.select_related("content").get(pk=artifact_id, run_id=run_id)
        return content_of(artifact.content)

    return open_artifact
