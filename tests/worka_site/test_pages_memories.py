"""Memories in the console: seen and erased by who runs the workspace, with where each comes from."""

import pytest

from audit.models import AuditEvent
from gateway.models import MemoryEntry
from gateway.remembering import writing
from tests import desk
from tests.console import at, console_journey, queries, run_href, visit, words
from tests.journeys import Journey
from tests.people import build_house

pytestmark = pytest.mark.django_db
PAGE = "/admin/gateway/memoryentry/"


@pytest.fixture
def j(monkeypatch):
    return console_journey(monkeypatch)


def finished(j, text, who="ada", verb="read"):
    run = j.ask(text, who)
    j.propose(desk.step("look", ("a", verb, "letters")))
    j.call("look", "a")
    j.finish("look")
    return run


def press(client, memory, event, because="they asked"):
    return client.post(at("gateway_memoryentry_press", memory.pk, event), {"because": because}, follow=True)


def told(page):
    return " ".join(str(message) for message in page.context["messages"])


def test_admins_see_filter_and_erase_with_a_reason(j):
    first, second = finished(j, "Sort <b>the</b> letters\u202e"), finished(j, "Plant roses", "bob", "peek")
    writing.remember_runs()
    dora = visit(j.house.dora)

    page = dora.get(PAGE)
    shown = words(page)
    assert (
        f'href="{run_href(first)}"' in page.content.decode() and "Run 1 remembered by hari, asked for by ada" in shown
    )
    assert "untrusted_output" in shown and "<b>the</b>" not in page.content.decode() and "\u202e" not in shown
    lines = [
        (each["memory"].run_id, each["memory"].agent_name)
        for each in dora.get(PAGE, {"agent": "agent:ernest"}).context["memories"]
    ]
    assert lines == [(second.pk, "ernest"), (first.pk, "ernest")]
    assert len(dora.get(PAGE, {"person": str(j.house.bob.pk)}).context["memories"]) == 2
    assert len(dora.get(PAGE, {"q": "roses"}).context["memories"]) == 2
    memory = MemoryEntry.objects.get(run=first, agent_name="hari")
    assert "say why" in told(press(dora, memory, "forget_run", " "))
    assert "Run 1 is forgotten: 2 memories erased" in told(press(dora, memory, "forget_run"))
    assert press(dora, memory, "forget_run").status_code == 404
    memory = MemoryEntry.objects.get(run=second, agent_name="hari")
    assert "hari has forgotten everything: 1 memory erased" in told(press(dora, memory, "forget_namespace"))
    memory = MemoryEntry.objects.get()
    gone = press(dora, memory, "forget_person")
    assert "bob asked for is forgotten: 1 memory erased" in told(gone) and "Nothing is remembered" in words(gone)
    assert [each.facts["memories"] for each in AuditEvent.objects.filter(type="memory.forget", via="session")] == [
        2,
        1,
        1,
    ]


def test_nobody_else_and_no_other_workspace_comes_near_them(j):
    finished(j, "Sort the letters")
    other = Journey(build_house("umbrella", policy=desk.POLICY, skills=desk.SKILLS), j.backend)
    finished(other, "Their secret plans")
    writing.remember_runs()
    own, foreign = MemoryEntry.objects.filter(workspace=j.house.workspace).first(), MemoryEntry.objects.filter(
        workspace=other.house.workspace).first()  # fmt: skip

    seen = {}
    for name in ("ada", "bob", "carol", "eve", "dora", "olga"):
        client = visit(getattr(j.house, name))
        menu = f'href="{PAGE}"' in client.get("/admin/").content.decode()
        seen[name] = (client.get(PAGE).status_code, press(client, foreign, "forget_run").status_code, menu)
        if name in ("ada", "bob", "carol", "eve"):
            assert press(client, own, "forget_run").status_code in (403, 404)

    assert seen == {
        **dict.fromkeys(("ada", "bob", "carol"), (403, 403, False)), "eve": (404, 404, False),
        **dict.fromkeys(("dora", "olga"), (200, 404, True)),
    }  # fmt: skip
    assert "Their secret plans" not in words(visit(j.house.dora).get(PAGE)) and MemoryEntry.objects.count() == 4


def test_it_asks_the_data_base_as_often_with_many_memories(j):
    finished(j, "Sort the letters")
    writing.remember_runs()
    dora = visit(j.house.dora)
    dora.get(PAGE)
    with queries() as few:
        dora.get(PAGE)
    for number in range(3):
        finished(j, f"Sort the letters {number}")
    writing.remember_runs()

    with queries() as many:
        page = dora.get(PAGE)

    assert len(page.context["memories"]) == 8 and len(many) == len(few)
