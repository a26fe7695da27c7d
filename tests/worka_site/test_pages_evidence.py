"""Jobs, burns, calls and artifacts in the console: who sees what of them, and what people do to them."""

import hashlib

import pytest

from audit.models import AuditEvent
from governance.actions.artifacts import store_artifact
from governance.models import Artifact, Burn, SkillInvocation
from runtime.core.jobs import Ended
from runtime.models import AgentJob
from tests.console import at, console_journey, hold, queries, visit, words
from tests.desk import Desk, step
from tests.people import build_house

pytestmark = pytest.mark.django_db

REPORT = b"# Report\n\nDone by *ernest*. [click](javascript:alert(1)) <script>alert(2)</script>\n"


@pytest.fixture
def j(monkeypatch):
    return console_journey(monkeypatch)


def everybody(j, href):
    return {
        name: visit(getattr(j.house, name)).get(href).status_code for name in ("ada", "bob", "carol", "dora", "eve")
    }


def working(j, who="ada"):
    run = j.ask("Please", who)
    j.propose(step("look", ("a", "read", "letters")))
    return run


def artifact(j):
    working(j)
    made, _ = store_artifact(
        j.caller(j.step("look")),
        name="report.md",
        media_type="text/markdown",
        content=REPORT,
        sha256=hashlib.sha256(REPORT).hexdigest(),
    )
    return made


def lose(j):
    """Bring a call to where nobody knows whether it happened."""
    run = j.ask()
    j.propose(step("send", ("s", "send", "the news")))
    j.call("send", "s")
    j.finish("send", "suspended", waits_for=["s"])
    Desk.fails.append(RuntimeError("the line went dead"))
    j.answer("approve")
    call = SkillInvocation.objects.get(run=run, call_id="s")
    assert call.state == "unknown"
    return call


# --- Jobs -----------------------------------------------------------------------------------------------------------


def test_jobs_are_listed_by_what_is_wanted_of_them(j):
    working(j)
    live = j.job(j.step("look"))
    dora = visit(j.house.dora)
    href = at("runtime_agentjob_changelist")

    at_work, everything = dora.get(href), dora.get(href, {"need": "all"})

    assert [job.pk for job in at_work.context["jobs"]] == [live.pk]
    assert [job.purpose for job in everything.context["jobs"]] == ["step", "plan"]
    assert dora.get(href, {"need": "bad"}).context["jobs"] == []
    assert visit(j.house.bob).get(href).context["jobs"] == []


def test_a_job_shows_what_it_prints_to_whom_may_read_it(j):
    working(j)
    job = j.job(j.step("look"))
    j.backend.printed[job.name] = "reads the letters of <i>ada</i>"
    href = at("runtime_agentjob_change", job.pk)

    assert everybody(j, href) == {"ada": 200, "bob": 404, "carol": 200, "dora": 200, "eve": 404}
    assert "reads the letters of &lt;i&gt;ada&lt;/i&gt;" in visit(j.house.ada).get(href).content.decode()
    hidden = visit(j.house.carol).get(href)
    assert "The log is not for your role" in words(hidden) and "reads the letters" not in hidden.content.decode()
    assert "512 MiB" in words(hidden)


def test_killing_a_job_spends_an_attempt_and_keeps_the_reason(j):
    working(j)
    job = j.job(j.step("look"))
    press = at("runtime_agentjob_press", job.pk, "cancel")
    assert visit(j.house.ada).post(press, {"because": "slow"}).status_code == 403

    answer = visit(j.house.dora).post(press, {"because": "it only waits"}, follow=True)
    j.tick()

    job.refresh_from_db()
    assert "Kill: done" in words(answer)
    assert (job.state, job.wanted) == ("cancelled", False)
    assert job.name in j.backend.killed
    assert j.step("look").retries == 1
    assert "it only waits" in Burn.objects.get(job_name=job.name).reason
    assert AuditEvent.objects.filter(actor="user:dora", because="it only waits").exists()
    assert visit(j.house.dora).get(at("runtime_agentjob_change", job.pk)).context["buttons"] == []


# --- Burns ----------------------------------------------------------------------------------------------------------


def burned(j, times=1):
    working(j)
    for _ in range(times):
        j.leave(j.job(j.step("look")), exit_code=137, ended=Ended.OOM)
        j.tick()
        j.step("look").__class__.objects.filter(ref="look").update(not_before=None)
        j.tick()
    return Burn.objects.order_by("created_at").first()


def test_burns_of_one_kind_and_reason_are_one_line_and_each_is_there(j):
    burned(j, 2)

    page = visit(j.house.dora).get(at("governance_burn_changelist"))

    assert [(group.kind, group.count) for group in page.context["groups"]] == [("oom", 2)]
    assert len(page.context["burns"]) == 2
    assert "Out of memory" in words(page)


def test_a_burn_is_acknowledged_once_by_an_admin_with_what_they_found(j):
    burn = burned(j)
    href, press = at("governance_burn_change", burn.pk), at("governance_burn_press", burn.pk, "acknowledge")
    assert everybody(j, href) == {"ada": 200, "bob": 404, "carol": 200, "dora": 200, "eve": 404}
    for name, status in (("ada", 403), ("carol", 403), ("bob", 404)):
        assert visit(getattr(j.house, name)).post(press, {"because": "saw it"}).status_code == status

    visit(j.house.dora).post(press, {"because": "the letters were too long"})

    burn.refresh_from_db()
    assert (burn.acknowledged_by, burn.acknowledged_because) == ("user:dora", "the letters were too long")
    assert AuditEvent.objects.get(type="burn.acknowledge").because == "the letters were too long"
    dora = visit(j.house.dora)
    assert dora.get(href).context["buttons"] == []
    assert burn not in dora.get(at("governance_burn_changelist")).context["burns"]
    assert burn in dora.get(at("governance_burn_changelist"), {"need": "all"}).context["burns"]
    assert visit(j.house.olga).post(press, {"because": "again"}).status_code == 403


# --- Calls ----------------------------------------------------------------------------------------------------------


def test_a_call_shows_its_input_and_outcome_redacted(j):
    hold(j)
    call = SkillInvocation.objects.get(call_id="a")
    href = at("governance_skillinvocation_change", call.pk)

    assert everybody(j, href) == {"ada": 200, "bob": 200, "carol": 200, "dora": 200, "eve": 404}
    said = words(visit(j.house.carol).get(href))
    assert "desk.read letters" in said and "LETTERS" in said


def test_calls_are_listed_for_one_run_and_for_all(j):
    hold(j, text="One")
    first = j.run.number
    hold(j, text="Two")
    dora, href = visit(j.house.dora), at("governance_skillinvocation_changelist")

    assert len(dora.get(href).context["calls"]) == 4
    assert {call.run.number for call in dora.get(href, {"run": first}).context["calls"]} == {first}
    assert dora.get(href, {"run": 999}).status_code == 404
    assert dora.get(href, {"run": "x"}).status_code == 200


def test_a_call_of_unknown_effect_is_settled_by_an_admin_who_did_not_ask(j):
    call = lose(j)
    press = at("governance_skillinvocation_press", call.pk, "settle_succeeded")
    assert "another admin or owner settles it" not in words(
        visit(j.house.dora).get(at("governance_skillinvocation_change", call.pk))
    )
    assert (
        "an admin or owner of the workspace settles it"
        in words(visit(j.house.ada).get(at("governance_skillinvocation_change", call.pk))).lower()
    )
    assert visit(j.house.ada).post(press, {"because": "saw it"}).status_code == 403
    assert "Did desk.send the news happen?" in words(visit(j.house.dora).get("/admin/"))

    visit(j.house.dora).post(press, {"because": "it is in the outbox"})

    call.refresh_from_db()
    assert call.state == "succeeded"
    entry = AuditEvent.objects.get(type="invocation.settle_succeeded")
    assert (entry.actor, entry.because) == ("user:dora", "it is in the outbox")


# --- Artifacts ------------------------------------------------------------------------------------------------------


def test_an_artifact_is_shown_as_a_document_that_can_do_nothing(j):
    made = artifact(j)

    page = visit(j.house.ada).get(at("governance_artifact_change", made.pk))

    html = page.content.decode()
    assert "<h3>Report</h3>" in html and "<em>ernest</em>" in html
    assert "<script>alert" not in html and 'href="javascript' not in html
    assert AuditEvent.objects.filter(type="artifact.open", actor="user:ada").count() == 1


def test_the_content_of_an_artifact_is_for_those_who_may_read_payloads(j):
    made = artifact(j)
    href = at("governance_artifact_change", made.pk)

    assert everybody(j, href) == {"ada": 200, "bob": 404, "carol": 200, "dora": 200, "eve": 404}
    hidden = visit(j.house.carol).get(href)
    assert "The content is not for your role" in words(hidden) and "ernest</em>" not in hidden.content.decode()
    assert hidden.context["href"] == ""
    assert not AuditEvent.objects.filter(type="artifact.open", actor="user:carol").exists()


def test_the_refresh_of_a_live_page_opens_nothing(j):
    made = artifact(j)

    visit(j.house.ada).get(at("governance_artifact_change", made.pk), headers={"Worka-Refresh": "1"})

    assert not AuditEvent.objects.filter(type="artifact.open").exists()


def test_an_artifact_is_downloaded_whole_and_never_opened_in_place(j):
    made = artifact(j)
    ada = visit(j.house.ada)

    answer = ada.get(ada.get(at("governance_artifact_change", made.pk)).context["href"])

    assert answer.content == REPORT
    assert answer["Content-Disposition"].startswith("attachment")
    assert visit(j.house.carol).get(answer.request["PATH_INFO"]).status_code == 403


# --- Walls ----------------------------------------------------------------------------------------------------------


def test_nothing_of_another_workspace_is_there(j, monkeypatch):
    made = artifact(j)
    call = j.call("look", "a") and SkillInvocation.objects.get(call_id="a")
    burn = burned(j)
    job = AgentJob.objects.first()
    stranger = build_house("zeta")

    for name, row in (
        ("governance_artifact", made),
        ("governance_skillinvocation", call),
        ("governance_burn", burn),
        ("runtime_agentjob", job),
    ):
        for who in ("ada", "dora", "olga", "eve"):
            assert visit(getattr(stranger, who)).get(at(f"{name}_change", row.pk)).status_code == 404
        assert visit(j.house.dora).get(at(f"{name}_change", "nonsense")).status_code == 404
    for name, deed, row in (("governance_burn", "acknowledge", burn), ("runtime_agentjob", "cancel", job)):
        assert visit(stranger.dora).post(at(f"{name}_press", row.pk, deed), {"because": "x"}).status_code == 404
    assert Artifact.objects.count() == 1


def test_lists_ask_the_data_base_as_often_for_many_rows_as_for_few(j):
    lists = [
        at(name) + "?need=all"
        for name in (
            "runtime_agentjob_changelist",
            "governance_burn_changelist",
            "governance_skillinvocation_changelist",
        )
    ]
    burned(j)
    j.call("look", "a")
    dora = visit(j.house.dora)
    counts = []
    for _ in range(2):
        counts.append([])
        for href in lists:
            dora.get(href)
            with queries() as asked:
                dora.get(href)
            counts[-1].append(len(asked))
        if len(counts) == 1:
            for _ in range(3):
                hold(j)
            burned(j)

    assert counts[0] == counts[1]
