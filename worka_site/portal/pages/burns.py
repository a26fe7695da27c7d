"""Burns: failures by kind and reason, and one by one."""

from typing import Any

from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.ledger import subject_of
from governance import queries
from governance.models import Burn
from governance.people import asker_in_session
from runtime.queries import jobs_of
from worka_site.portal.burning import burn_groups
from worka_site.portal.links import to
from worka_site.portal.logs import log_lines_of
from worka_site.portal.looks import BURN
from worka_site.portal.paging import counted, page_of
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb, Fact, Tab
from worka_site.portal.stories import entries_about, history_of

LOG_LINES = 200


@page("governance.burn.list")
def burns_page(request: HttpRequest) -> dict[str, Any]:
    """Return a page of burns: those nobody has acknowledged, grouped too, or all."""
    asker = asker_in_session(request)
    is_all = request.GET.get("need") == "all"
    burns = queries.burns_visible_to(asker)
    unseen = burns.filter(acknowledged_at=None)
    found, pages = page_of(request, burns if is_all else unseen)
    is_first = not {"before", "after"} & request.GET.keys()
    return {
        "title": "Burns",
        "crumbs": [Crumb("Burns")],
        "tabs": [
            Tab("Not acknowledged", "?", str(counted(unseen) or ""), is_current=not is_all),
            Tab("All", "?need=all", is_current=is_all),
        ],
        "groups": burn_groups(asker) if is_first and not is_all else [],
        "burns": found,
        "pages": pages,
        "now": clock(),
    }


@page("governance.burn.row")
def burn_page(request: HttpRequest, burn: Burn) -> dict[str, Any]:
    """Return a failure with the end of the log it comes from."""
    asker = asker_in_session(request)
    job = jobs_of([burn.run]).filter(name=burn.job_name).first() if burn.job_name else None
    may_read = queries.may_read_payloads(asker, burn.run)
    facts = [Fact("Run", f"Run {burn.run.number}", href=to("governance_run_change", burn.run_id))]
    if burn.step:
        facts.append(Fact("Step", f"{burn.step.sequence}, {burn.step.objective}"))
    if job:
        facts.append(Fact("Job", job.name, "code", href=to("runtime_agentjob_change", job.pk)))
        facts.append(Fact("Attempt", job.attempt))
    if burn.agent_name:
        facts.append(Fact("Agent", burn.agent_name))
    facts += [Fact("At", burn.created_at, "time"), Fact("Burn id", burn.pk, "digest")]
    return {
        "title": f"{BURN[burn.kind].word} in run {burn.run.number}",
        "crumbs": [Crumb("Burns", to("governance_burn_changelist")), Crumb(f"{BURN[burn.kind].word} in run {burn.run.number}")],
        "burn": burn,
        "run": burn.run,
        "step": burn.step,
        "job_href": to("runtime_agentjob_change", job.pk) if job else "",
        "lines": log_lines_of(job, most=LOG_LINES) if job and may_read else [],
        "log_hidden": job is not None and not may_read,
        "facts": facts,
        "entries": entries_about(history_of(asker, subject_of(burn))),
        "now": clock(),
    }  # fmt: skip
