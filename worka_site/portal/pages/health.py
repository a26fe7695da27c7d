"""Health: every part with its last sign of life, what isolates agents here, and the operator's five questions."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.deliver import SinkHealth, sinks_health
from audit.keys import KINDS, KeysMissing, ring
from audit.present import actor_of, deed_of
from audit.queries import first_entry_at, last_rotations
from audit.sealing import SealerHealth, sealer_health
from gateway.health import Check, checks
from gateway.tracing.follow import tracing_health
from governance import queries
from governance.approvals import held_gates
from governance.core.permissions import Verb
from governance.core.states import OPEN_RUN, GateState, InvocationState
from governance.people import Asker, asker_in_session
from runtime.backend import Strength
from runtime.dispatch import configured_backend
from worka_site.portal.links import to, to_run
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb, Fact, Part
from worka_site.portal.stories import ROUTINE
from worka_site.portal.times import ago, since
from worka_site.portal.whys import told
from worka_site.portal.wording import deed, gate_deed, number_word

NAMES = {
    "database": ("Data base", "runs"), "broker": ("Broker", "allow"), "sealer": ("Sealing of the ledger", "seal"),
    "reconciler": ("The tick", "running"), "backend": ("Agents’ sandbox", "jobs"), "sinks": ("Sinks of the ledger", "document"),
    "playbooks": ("Playbooks", "document"),
    "tracing": ("Traces", "document"),
    "memory": ("Memories", "document"),
}  # fmt: skip
RECOVERY = {
    "database": "Check the server and DATABASE_URL.",
    "sealer": "Run manage.py verify_ledger to see what stops it.",
    "reconciler": "Nothing starts or ends without it: look at the server's log.",
    "backend": "Run make doctor; runs wait until this is mended.",
    "memory": "Nothing is lost: what succeeds meanwhile is remembered later.",
    "playbooks": "Runs that need one of these find no plan until the file is mended.",
}
_WELL = {"sealer": "nothing waits to be sealed", "backend": "every agent runs in a sandbox of its own"}
OLD_KEY = timedelta(days=90)
KEY_WORDS = {"encryption": "payloads", "seal": "the ledger", "token": "agents’ tokens"}
HOLDS = {Strength.HARD: "", Strength.SOFT: "softly: ", Strength.NONE: "NOT HELD: "}
LEVELS = {"bad": 0, "warn": 1, "ok": 2, "off": 3}


@page("health")
def health_page(request: HttpRequest) -> dict[str, Any]:
    """Return how every part does; what went wrong in detail is for those who run or audit the workspace."""
    asker, now = asker_in_session(request), clock()
    sees_details = asker.may(Verb.VERIFY_LEDGER)
    sealer = sealer_health()
    collectors = tracing_health()
    # What has lines of its own is not summed up; tracing that is off has none.
    summed_up = {"sinks", "tracing"} if collectors else {"sinks"}
    parts = [_part(check, sealer) for check in checks() if check.name not in summed_up]
    parts += [_sink(sink, now, sees_details=sees_details) for sink in (*sinks_health(), *collectors)]
    parts += [_heads(sealer), *_keys(now)]
    ill = [part for part in parts if part.level in ("bad", "warn")]
    well = sum(part.level == "ok" for part in parts)
    worst = f"{number_word(len(ill)).capitalize()} {'part needs' if len(ill) == 1 else 'parts need'} a look"
    return {
        "title": "Health",
        "crumbs": [Crumb("Health")],
        "headline": worst if ill else "All is well",
        "subline": f"{number_word(well).capitalize()} {'part is' if well == 1 else 'parts are'} well.",
        "parts": sorted(parts, key=lambda part: LEVELS[part.level]),
        "questions": _questions(asker, ill, now),
        "isolation": [
            # The path of a control group is for the doctor.
            Fact(limit.what.capitalize(), f"{HOLDS[limit.strength]}{limit.how.partition(' /')[0]}")
            for limit in configured_backend().limits_in_force()
        ],
        "facts": [
            Fact("Version", settings.WORKA_VERSION),
            Fact("Backend", settings.WORKA_BACKEND),
            Fact("Jobs at once", f"at most {settings.WORKA_MAX_JOBS}"),
            Fact("Data base", "this installation's own" if settings.WORKA_IS_EMBEDDED else "by DATABASE_URL"),
            Fact("Ledger", f"{sealer.tree_size:,} entries sealed"),
            Fact("Address", settings.WORKA_URL, "code"),
        ],
        "now": now,
    }  # fmt: skip


def _part(check: Check, sealer: SealerHealth) -> Part:
    name, icon = NAMES.get(check.name, (check.name.capitalize(), "health"))
    level = "ok" if check.healthy else "bad" if check.essential else "warn"
    if check.name in ("broker", "tracing") and check.healthy:
        level = "off"
    at = sealer.last_sealed_at if check.name == "sealer" else None
    detail = (
        _WELL.get(check.name, check.detail)
        if check.healthy and not (check.name == "sealer" and sealer.waiting)
        else check.detail
    )
    return Part(name, level, _sentence(detail), at, icon, "" if check.healthy else RECOVERY.get(check.name, ""))


def _sink(sink: SinkHealth, now: datetime, *, sees_details: bool) -> Part:
    kind, _, collector = sink.name.rpartition(":")
    name = f"Traces to {collector}" if kind == "trace" else f"Sink {sink.name}"
    if not sink.is_healthy:
        why = sink.last_error if sees_details else "it does not take what it is given"
        since_when = f" for {since(sink.failing_since, now)}" if sink.failing_since else ""
        return Part(
            name,
            "warn",
            _sentence(f"{sink.behind:,} entries wait{since_when}: {why}"),
            None,
            "document",
            "Nothing is lost: it goes on from its own position.",
        )
    behind = "has everything" if not sink.behind else f"{sink.behind:,} entries behind"
    return Part(name, "ok", _sentence(f"{behind}, up to entry {sink.position:,}"), None, "document")


def _heads(sealer: SealerHealth) -> Part:
    if sealer.stopped_because:
        return Part(
            "Heads kept outside",
            "bad",
            _sentence(sealer.stopped_because),
            None,
            "seal",
            "If a back-up was restored on purpose: manage.py accept_restore.",
        )
    if sealer.heads_behind > 1:
        return Part(
            "Heads kept outside",
            "warn",
            f"{sealer.heads_behind:,} heads are not written yet.",
            None,
            "seal",
            "Check that the file can be written.",
        )
    return Part("Heads kept outside", "ok", "The newest one agrees with the data base.", None, "seal")


def _keys(now: datetime) -> list[Part]:
    """Say how old each key is; one that was never replaced is as old as the ledger."""
    try:
        keys = ring()
    except KeysMissing as missing:
        return [Part("Keys", "bad", _sentence(str(missing)), None, "key", "Put the key file back from a copy.")]
    rotated, beginning = last_rotations(), first_entry_at()
    parts = []
    for kind in KINDS:
        made = rotated.get(kind) or beginning
        old = made is not None and now - made > OLD_KEY
        age = (
            f"replaced {ago(made, now)}"
            if kind in rotated and made
            else f"in use for {since(made, now)}"
            if made
            else "not used yet"
        )
        also = len(keys.kids(kind)) - 1
        older = f"; {number_word(also)} older {'is' if also == 1 else 'are'} still accepted" if also else ""
        parts.append(Part(
            f"Key for {KEY_WORDS[kind]}", "warn" if old else "ok", f"{keys.active_kid(kind)}, {age}{older}.", None, "key",
            f"Replace it: manage.py rotate_keys --kind {kind}." if old else "",
        ))  # fmt: skip
    return parts


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _questions(asker: Asker, ill: list[Part], now: datetime) -> list[Fact]:
    """Answer the five questions an operator has, each with the way to look further."""
    return [
        _longest(asker, now),
        _not_invoked(asker, now),
        _changed(asker, now),
        _blocks(asker, now),
        Fact("Which part is degraded?", "; ".join(part.name for part in ill) or "None."),
    ]


def _longest(asker: Asker, now: datetime) -> Fact:
    key = "Why is this still running?"
    run = queries.runs_visible_to(asker).filter(state__in=OPEN_RUN).order_by("created_at").first()
    if run is None:
        return Fact(key, "Nothing is running.")
    said = told([run], now)[run.pk].why.sentence
    return Fact(
        key, f"Run {run.number}, the oldest that is open, for {since(run.created_at, now)}: {said}", href=to_run(run.pk)
    )


def _not_invoked(asker: Asker, now: datetime) -> Fact:
    key = "Why did this fail to invoke?"
    stopped = (InvocationState.FAILED, InvocationState.DENIED, InvocationState.UNKNOWN)
    call = queries.calls_visible_to(asker).filter(state__in=stopped).order_by("-pk").first()
    if call is None:
        return Fact(key, "No call has failed or was denied.")
    why = str((call.error or {}).get("message") or "nobody knows whether it happened").rstrip(".")
    about = deed(call.skill_name, call.input_redacted)
    return Fact(
        key,
        f"{about}, {ago(call.state_changed_at, now)}: {why}.",
        href=to("governance_skillinvocation_change", call.pk),
    )


def _changed(asker: Asker, now: datetime) -> Fact:
    key = "What changed in this workspace?"
    found = queries.entries_visible_to(asker).exclude(type__in=ROUTINE).exclude(type="ledger.verify").first()
    if found is None:
        return Fact(key, "Nothing yet.")
    return Fact(
        key, f"{actor_of(found)} {deed_of(found)}, {ago(found.at, now)}.", href=to("audit_auditevent_changelist")
    )


def _blocks(asker: Asker, now: datetime) -> Fact:
    key = "Which approval blocks release?"
    gate = held_gates(asker).filter(state=GateState.WAITING).order_by("expires_at", "pk").first()
    if gate is None:
        return Fact(key, "None waits.")
    left = f", {since(now, gate.expires_at)} left" if gate.expires_at and gate.expires_at > now else ""
    return Fact(
        key,
        f"{gate_deed(gate)} of run {gate.run.number}, for {since(gate.created_at, now)}{left}.",
        href=to("governance_gate_change", gate.pk),
    )
