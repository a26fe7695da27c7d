"""The frame: what waits where, in which workspace, as whom."""

from typing import Any

from django.http import HttpRequest

from audit.core.refusals import Refused
from governance import queries
from governance.core.permissions import Verb
from governance.core.states import OPEN_RUN
from governance.people import Asker, asker_in_session, workspaces_in_session
from runtime.core.jobs import OPEN_JOB
from runtime.queries import jobs_of
from worka_site.portal.paging import counted
from worka_site.portal.registry import page
from worka_site.portal.shapes import Choice

RUNS, GATES, JOBS, BURNS = (
    "governance_run_changelist", "governance_gate_changelist", "runtime_agentjob_changelist", "governance_burn_changelist",
)  # fmt: skip
# Places that are only for those whose role has the verb.
NEEDED = {
    "new_request": Verb.ASK_FOR_RUNS,
    "gateway_mcpserver_changelist": Verb.MANAGE_CONNECTIONS,
    "gateway_secret_changelist": Verb.MANAGE_CONNECTIONS,
    "gateway_memoryentry_changelist": Verb.FORGET_MEMORIES,
}

MODELS = "gateway_llmcall_changelist"
TREASURY = ("gateway_connection_changelist", "gateway_secret_changelist")


@page("summary")
def summary(request: HttpRequest) -> dict[str, Any]:
    """Return the counts of the navigation, the workspace with those to choose from, the role, and what is closed."""
    try:
        asker = asker_in_session(request)
    except Refused:
        return {"role": "in no workspace yet", "closed": {RUNS, GATES, JOBS, BURNS, MODELS, *TREASURY, *NEEDED}}
    return {
        "counts": counts(asker),
        "workspace": asker.workspace.slug,
        "workspaces": [
            Choice(each.slug, each.name, each.pk == asker.workspace_id) for each in workspaces_in_session(request)
        ],
        "role": ", ".join([*sorted(asker.roles), *sorted(queries.groups_of(asker))]),
        "closed": {name for name, verb in NEEDED.items() if not asker.may(verb)},
    }


def counts(asker: Asker) -> dict[str, int]:
    """Count what is open, by URL name; the approvals are those that wait for this person, calls to settle among them."""
    runs = queries.runs_visible_to(asker)
    waiting = counted(queries.approvals_for(asker).prefetch_related(None))
    return {
        RUNS: counted(runs.filter(state__in=OPEN_RUN)),
        GATES: waiting + counted(queries.calls_to_settle(asker)),
        JOBS: counted(jobs_of(runs).filter(state__in=OPEN_JOB)),
        BURNS: counted(queries.burns_visible_to(asker).filter(acknowledged_at=None)),
    }
