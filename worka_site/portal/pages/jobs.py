"""Jobs: what is wanted, what is seen, and what they print."""

from typing import Any

from django.http import HttpRequest
from django.utils.timezone import now as clock

from audit.ledger import subject_of
from governance import queries
from governance.people import asker_in_session
from runtime.core.jobs import OPEN_JOB, Limits
from runtime.models import AgentJob, Purpose
from runtime.queries import jobs_of
from worka_site.portal.links import to
from worka_site.portal.logs import log_lines_of
from worka_site.portal.paging import counted, page_of
from worka_site.portal.registry import page
from worka_site.portal.shapes import Crumb, Fact, Tab
from worka_site.portal.stories import entries_about, history_of
from worka_site.portal.times import span

ENDED_BADLY = ("failed", "timed_out", "lost")
MIB = 2**20


@page("runtime.agentjob.list")
def jobs_page(request: HttpRequest) -> dict[str, Any]:
    """Return a page of jobs: those at work, all, or those that ended badly."""
    asker = asker_in_session(request)
    need = request.GET.get("need", "")
    jobs = jobs_of(queries.runs_visible_to(asker))
    wanted = {"all": jobs, "bad": jobs.filter(state__in=ENDED_BADLY)}.get(need)
    live = jobs.filter(state__in=OPEN_JOB)
    found, pages = page_of(request, live if wanted is None else wanted)
    return {
        "title": "Jobs",
        "crumbs": [Crumb("Jobs")],
        "tabs": [
            Tab("At work", "?", str(counted(live) or ""), is_current=wanted is None),
            Tab("All", "?need=all", is_current=need == "all"),
            Tab("Ended badly", "?need=bad", is_current=need == "bad"),
        ],
        "jobs": found,
        "pages": pages,
        "now": clock(),
    }


@page("runtime.agentjob.row")
def job_page(request: HttpRequest, job: AgentJob) -> dict[str, Any]:
    """Return a job with its log (for whoever may read the payloads of its run), what it may use, and its history."""
    asker = asker_in_session(request)
    may_read = queries.may_read_payloads(asker, job.run)
    what = "Planning" if job.purpose == Purpose.PLAN else f"Step {job.step.sequence}" if job.step else "A step"
    return {
        "title": f"Job {job.name}",
        "crumbs": [Crumb("Jobs", to("runtime_agentjob_changelist")), Crumb(f"{what} of run {job.run.number}, attempt {job.attempt}")],
        "job": job,
        "run": job.run,
        "step": job.step,
        "headline": f"{what}, attempt {job.attempt}",
        "lines": log_lines_of(job) if may_read else [],
        "log_hidden": not may_read,
        "is_live": not job.is_final,
        "facts": _facts(job),
        "limits": _limits(job),
        "entries": entries_about(history_of(asker, subject_of(job))),
        "now": clock(),
    }  # fmt: skip


def _facts(job: AgentJob) -> list[Fact]:
    facts = [
        Fact("Job", job.name, "code"),
        Fact("Backend", job.backend),
        Fact("Wanted", "yes" if job.wanted else f"no: {job.unwanted_because}" if job.unwanted_because else "no"),
        Fact("Queued", job.created_at, "time"),
    ]
    for key, moment in (
        ("Submitted", job.submitted_at),
        ("Started", job.started_at),
        ("Last sign of life", job.last_sign_at),
        ("Ended", job.finished_at),
    ):
        if moment:
            facts.append(Fact(key, moment, "time"))
    if job.started_at and job.finished_at:
        facts.append(Fact("Took", span(job.finished_at - job.started_at)))
    elif not job.is_final:
        facts.append(Fact("Deadline", job.deadline_at, "time"))
    if job.exit_code is not None:
        facts.append(Fact("Exit code", job.exit_code))
    if job.node:
        facts.append(Fact("Node", job.node))
    if job.result_digest:
        facts.append(Fact("Result", job.result_digest, "cut"))
    return facts


def _limits(job: AgentJob) -> list[Fact]:
    limits = Limits.from_json(job.limits)
    return [
        Fact("Memory", f"{limits.memory_bytes // MIB:,} MiB"),
        Fact("Processes", f"{limits.pids:,}"),
        Fact("Disk", f"{limits.disk_bytes // MIB:,} MiB"),
        Fact("Time", span(limits.wall_s)),
        Fact("Open files", f"{limits.open_files:,}"),
        Fact("Log", f"{limits.log_bytes // 1024:,} KiB"),
    ]
