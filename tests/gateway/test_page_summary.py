"""A page is fetched and summed up by the playbook, the shipped policy and the real connectors; only the processes are not there."""

import hashlib

import pytest

from audit.models import AuditEvent
from gateway.connector import all_connectors
from gateway.models import DocumentVersion
from gateway.playbooks import playbooks
from governance.actions.artifacts import store_artifact
from governance.actions.plans import propose_plan
from governance.context import context_for
from governance.models import Gate, SkillInvocation
from runtime import actions as runtime_actions
from runtime.agents.hari import Planned, planned
from runtime.agents.rendering import render
from tests.gateway.site import answer, serving_site
from tests.journeys import journey
from tests.people import POLICIES, use_policy
from worka.contract import Context

pytestmark = pytest.mark.django_db

PAGE = "<title>Orders of June</title><h1>Orders</h1><p>There were <b>two</b>. <a href='/more'>Read more</a>."


@pytest.fixture
def site():
    with serving_site() as found:
        found.pages["/orders"] = answer(PAGE)
        yield found


@pytest.fixture
def j(monkeypatch, site):
    """A house under the shipped policy, in which both layers let calls reach the test's own server."""
    line = f"egress: [{{host: 127.0.0.1, http: true, private: true, ports: {site.port}}}]\n"
    found = journey(monkeypatch, policy=(POLICIES / "default.yaml").read_text() + line)
    use_policy(None, (POLICIES / "platform.yaml").read_text().replace('egress: ["*"]', line.strip()))
    monkeypatch.setattr("gateway.tools.all_connectors", all_connectors)
    return found


def plan(j, request: str) -> None:
    """Plan as Hari does, from the context that the gateway gives."""
    j.ask(request)
    job, caller = j.job(), j.caller()
    found = planned(Context.from_json(context_for(caller, playbooks=playbooks)))
    assert isinstance(found, Planned)
    served = {each["name"]: each["digest"] for each in playbooks()}
    assert propose_plan(caller, found.plan, playbooks=served).state == "accepted"
    runtime_actions.accept_answer(job.pk, digest="0" * 64, status=201, answer={"state": "accepted"})
    j.leave(job)
    j.tick()


def held(j, ref: str, call_id: str) -> Gate:
    assert j.call(ref, call_id).state == "held"
    j.finish(ref, "suspended", waits_for=[call_id])
    return j.gate()


def performed(j, call_id: str) -> SkillInvocation:
    return SkillInvocation.objects.get(run=j.run, call_id=call_id)


def rendered(j, ref: str) -> str:
    instruction = context_for(j.caller(j.step(ref)), playbooks=playbooks)["step"]["instruction"]
    return render(instruction["template"], instruction["data"])


def test_a_page_is_fetched_after_a_yes_and_its_summary_is_filed_after_another(j, site):
    plan(j, f"Fetch {site.url('/orders')} and file a summary.")

    gate = held(j, "page", "get")
    assert "it sends an address outside the house" in gate.reason
    assert site.asked == []
    j.answer("approve", gate=gate)

    assert performed(j, "get").state == "succeeded"
    assert site.paths == ["/orders"]
    page = context_for(j.caller(j.step("page")), playbooks=playbooks)["step"]["calls"][0]["output"]
    j.finish("page", output={"get": page})
    text = rendered(j, "summary").encode()
    stored, _ = store_artifact(
        j.caller(j.step("summary")), name="summary.md", media_type="text/markdown", content=text,
        sha256=hashlib.sha256(text).hexdigest(),
    )  # fmt: skip
    assert stored.taint == ["untrusted_output"]
    j.finish("summary", output={"artifact": {"id": str(stored.pk)}}, artifacts=[str(stored.pk)])

    gate = held(j, "file", "write")
    assert "strangers wrote" in gate.reason
    assert not DocumentVersion.objects.exists()
    j.answer("approve", gate=gate)

    document = DocumentVersion.objects.get()
    assert document.document.path == f"pages/127.0.0.1-{site.port}-orders.md"
    assert bytes(document.content) == text and document.taint == ["untrusted_output"]
    assert text.decode().startswith(f"# Orders of June\n\n- Fetched from `{site.url('/orders')}`")
    assert f"- Read more: `{site.url('/more')}`" in text.decode()
    j.finish("file", output={"write": {"path": document.document.path}})
    said = rendered(j, "answer")
    j.finish("answer", output={"text": said})
    j.tick()
    assert j.run.state == "succeeded"
    assert "Orders of June has 6 words, 1 heading and 1 link" in said
    assert len(site.asked) == 1
    assert AuditEvent.objects.filter(run=j.run.pk, type="gate.vote").count() == 2


def test_after_a_no_nothing_was_asked_outside(j, site):
    plan(j, f"Summarise {site.url('/orders')}")

    j.answer("reject", because="not that host", gate=held(j, "page", "get"))

    assert (j.run.state, performed(j, "get").state, site.asked) == ("refused", "denied", [])


def test_a_list_that_was_shortened_after_the_yes_holds(j, site):
    """What may be reached is what the manifests list when the call begins, not when it was agreed to."""
    plan(j, f"Summarise {site.url('/orders')}")
    gate = held(j, "page", "get")
    use_policy(j.house.workspace, (POLICIES / "default.yaml").read_text())

    j.answer("approve", gate=gate)

    call = performed(j, "get")
    assert (call.state, site.asked) == ("failed", [])
    assert "127.0.0.1 may not be reached: the workspace's policy does not list it" in call.error["message"]


def test_nobody_is_asked_about_a_page_that_policy_lets_nobody_reach(j, site):
    plan(j, "Summarise https://elsewhere.example/orders")

    answered = j.call("page", "get")

    assert (answered.state, str(answered.code)) == ("denied", "policy_denied")
    assert answered.reason == (
        "elsewhere.example may not be reached: the platform's policy does not list it. "
        "Whoever writes policy can list the host under `egress`, in the workspace's manifest and the platform's."
    )
    gate = Gate.objects.get(run=j.run, action="skill.invoke")
    assert (gate.effect, gate.state, gate.code, gate.reason) == ("deny", "denied", "policy_denied", answered.reason)
    assert performed(j, "get").state == "denied" and site.asked == []
    assert j.call("page", "get").state == "denied"  # the same answer, however often
    assert not Gate.objects.filter(run=j.run, state="waiting").exists()
    j.finish("page", "failed")
    j.tick()
    assert j.run.state == "refused"


def test_what_is_no_address_is_not_called_a_matter_of_policy(j):
    plan(j, "Summarise http://127.1/orders")
    assert j.call("page", "get").state == "held"
