"""Ask for a run: say it, see what would come of it, and send it once."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.core.refusals import Refused
from audit.principals import Principal
from gateway.idempotency import once
from governance import queries
from governance.actions.runs import LONGEST_REQUEST, request_run
from governance.core.permissions import Verb
from governance.gather import active_manifests
from governance.models import Source
from governance.people import Asker, asker_in_session, workspace_for, workspaces_in_session
from worka_site.portal.links import to_run
from worka_site.portal.registry import page
from worka_site.portal.rehearsal import books, rehearse
from worka_site.portal.shapes import Choice, Crumb
from worka_site.portal.wording import approvals_of

ENDPOINT = "POST /admin/new/"


@page("new_request")
def new_request(request: HttpRequest) -> dict[str, Any]:
    """Return the form with what may be asked, what was typed so far, and who is asked before something is done."""
    asker = _asker(request)
    asker.must(Verb.ASK_FOR_RUNS)
    text = request.POST.get("request", "") or _asked_before(asker, request.GET.get("again", ""))
    workspaces = workspaces_in_session(request)
    return {
        "title": "New request",
        "crumbs": [Crumb("New request")],
        # The same again when the form comes back, so that sending it twice makes one run.
        "idempotency_key": request.POST.get("idempotency_key") or uuid4().hex,
        "request_text": text,
        "faults": [],
        "workspaces": [Choice(each.slug, each.name, each.pk == asker.workspace_id) for each in workspaces],
        "frozen_because": asker.workspace.frozen_because if asker.workspace.frozen_at else "",
        "playbooks": [
            SimpleNamespace(name=book.name, description=book.description, example=_example(book.sentences[0].pattern))
            for book in books()
        ],
        "holds": _holds(asker),
        "roots": [str(root) for root in settings.WORKA_REPOSITORY_ROOTS],
        "longest": LONGEST_REQUEST,
        "now": clock(),
    }


@page("new_request.do")
def ask(request: HttpRequest, by: Principal) -> dict[str, Any]:
    """Make the run and go to its page; with `deed=look` only say what would come of it. Refuses as `request_run`."""
    asker = _asker(request)
    asker.must(Verb.ASK_FOR_RUNS)
    text = request.POST.get("request", "").replace("\r\n", "\n").strip()
    if request.POST.get("deed") == "look":
        return {"rehearsal": rehearse(asker, text), "people": _people(asker)} if text else {}
    _, answer = once(
        request.POST.get("idempotency_key", ""),
        workspace_id=asker.workspace_id,
        by=by,
        endpoint=ENDPOINT,
        payload={"request": text},
        create=lambda: _create(asker, by, text),
    )
    messages.success(request, f"Run {answer['number']} is received.")
    return {"redirect": to_run(answer["id"])}


def _create(asker: Asker, by: Principal, text: str) -> tuple[int, Mapping[str, Any]]:
    run = request_run(asker.workspace_id, by=by, user=asker.user, text=text, source=Source.WEB)
    return 202, {"id": str(run.pk), "number": run.number}


def _asker(request: HttpRequest) -> Asker:
    """Return who asks, in the workspace that the form names: the session may have gone on to another one since."""
    named = request.POST.get("workspace", "")
    return workspace_for(request.user, named) if named else asker_in_session(request)


def _asked_before(asker: Asker, number: str) -> str:
    if not number:
        return ""
    try:
        return queries.run_of(asker, number).request_text
    except Refused:
        return ""


def _example(pattern: str) -> str:
    return pattern.replace("{", "<").replace("}", ">")


def _holds(asker: Asker) -> list[Any]:
    """Return the rules that ask people, as sentences, each once."""
    found = {}
    for manifest in active_manifests(asker.workspace_id):
        for compiled in manifest.rules:
            for threshold in compiled.rule.asks:
                found[threshold.group, compiled.rule.because] = SimpleNamespace(
                    asks=approvals_of(threshold.approve, threshold.group).capitalize(),
                    because=f"when {compiled.rule.because}",
                )
    return list(found.values())


def _people(asker: Asker) -> Mapping[str, str]:
    """Return who could answer for each group: its members but for whoever asks."""
    return {
        name: ", ".join(sorted(members)) or "nobody but you, so it could not be answered"
        for name, members in queries.groups_without(asker).items()
    }
