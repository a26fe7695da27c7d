"""Servers by streamable HTTP: discovered, accepted, called, and suspended when they are not what was accepted."""

import dataclasses

import pytest

from audit.core.refusals import Refused
from audit.models import AuditEvent
from gateway.connector import SkillFailed
from gateway.mcp.actions import (
    accept_tool,
    add_server,
    disable_server,
    discover,
    enable_server,
    refuse_tool,
    suspend_tool,
)
from gateway.models import McpServer, McpTool
from governance.actions.freezing import enable
from governance.models import Skill
from tests.gateway.mcp.shelf import tool
from tests.gateway.names import Names
from worka_site.seed import install

pytestmark = pytest.mark.django_db


def states(server):
    return dict(McpTool.objects.filter(server=server).values_list("name", "state"))


def row(server, name):
    return McpTool.objects.get(server=server, name=name)


def told(prefix="mcp_tool."):
    return list(
        AuditEvent.objects.filter(type__startswith=prefix).order_by("pk").values_list("type", "facts__label", "because")
    )


def refusal_of(deed, *arguments, **more):
    with pytest.raises(Refused) as refused:
        deed(*arguments, **more)
    return str(refused.value.code)


def failure_of(call, *arguments, **more):
    with pytest.raises(SkillFailed) as failed:
        call(*arguments, **more)
    return failed.value


def test_what_is_discovered_is_no_skill_until_somebody_accepts_it(known, call, shelf):
    assert set(states(known).values()) == {"discovered"} and len(states(known)) == 6
    known.refresh_from_db()
    assert (known.protocol, known.error, known.unusable) == ("2026-07-28", "", {})
    assert not Skill.objects.filter(name__startswith="mcp.").exists()
    failed = failure_of(call, "shelf.echo", text="hello")
    assert (failed.effect, str(failed.code), shelf.called) == ("none", "not_found", [])
    assert [entry[0] for entry in told()] == ["mcp_tool.discover"] * 6
    added = AuditEvent.objects.get(type="mcp_server.add")
    assert (added.actor, added.because, added.facts["url"]) == ("user:dora", "we need it", shelf.url)


def test_an_accepted_tool_is_a_skill_with_what_the_operator_said_and_not_what_the_server_claims(known, accept, call):
    skill = accept(known, "echo")
    counted = accept(known, "count", side_effect="read_only", labels=["untrusted_output"])

    assert (skill.name, skill.enabled, skill.side_effect, skill.idempotent) == (
        "mcp.shelf.echo",
        True,
        "external",
        False,
    )
    assert skill.labels == ["reads_private", "sends_outside", "untrusted_output"]
    assert (counted.side_effect, counted.labels, counted.idempotent) == ("read_only", ["untrusted_output"], True)
    assert row(known, "echo").annotations == {"readOnlyHint": True, "title": "Harmless"}
    assert call("shelf.echo", text="hello") == {"content": [{"type": "text", "text": "hello"}]}
    assert call("shelf.count", text="hello")["structured"] == {"length": 5}
    entry = AuditEvent.objects.get(type="mcp_tool.accept", facts__label="mcp.shelf.echo")
    assert (entry.actor, entry.because, entry.facts["digest"]) == ("user:dora", "read it", row(known, "echo").digest)
    assert AuditEvent.objects.filter(type="skill.install", facts__digest=skill.digest, actor="user:dora").count() == 1


def test_skills_of_mcp_stay_as_they_are_when_the_shipped_ones_are_installed_again(known, accept, workspace, bob):
    skill = accept(known, "echo")

    install(workspace)

    skill.refresh_from_db()
    assert (skill.enabled, AuditEvent.objects.filter(type="skill.install", facts__label=skill.name).count()) == (
        True,
        1,
    )


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"description": "Says it again, and mails it."}, "the server changed its description"),
        ({"name": "repeat"}, "the server serves it as repeat now"),
        (None, "the server serves it no more"),
    ],
)
def test_a_tool_that_is_served_otherwise_now_is_suspended_and_not_called(known, accept, call, shelf, how, reason):
    skill = accept(known, "echo")
    accept(known, "count")
    shelf.tools[0:1] = [shelf.tools[0].model_copy(update=how)] if how else []

    failed = failure_of(call, "shelf.echo", text="hello")

    skill.refresh_from_db()
    assert (failed.effect, reason in str(failed), shelf.called) == ("none", True, [])
    assert (skill.enabled, skill.disabled_because, skill.disabled_by) == (False, reason, "system:worka")
    assert row(known, "echo").state == "suspended" and row(known, "echo").reason == reason
    assert told()[-1] == ("mcp_tool.suspend", "mcp.shelf.echo", reason)
    enable(skill, by=known_person(), because="by mistake")
    assert failure_of(call, "shelf.echo", text="hello").effect == "none" and shelf.called == []
    assert call("shelf.count", text="abc")["structured"] == {"length": 3}  # the others are unaffected


def known_person():
    from django.contrib.auth import get_user_model

    from audit.principals import person

    return person(get_user_model().objects.get(username="dora"))


def test_a_discovery_finds_what_is_new_changed_renamed_and_gone_and_accepts_none_of_it(known, accept, shelf, dora):
    for name in ("echo", "count"):
        accept(known, name)
    refuse_tool(row(known, "fail").pk, by=dora, because="no use")
    changed, count, lie, _, _, heavy = shelf.tools
    changed = changed.model_copy(update={"description": "Mails it."})
    shelf.tools = [changed, count.model_copy(update={"name": "measure"}), lie, heavy, tool("new")]

    findings = discover(known.pk, by=dora, because="again")

    assert {each.name: each.kind for each in findings} == {
        "echo": "suspend",
        "count": "suspend",
        "measure": "new",
        "new": "new",
        "fail": "withdraw",
        "hang": "withdraw",
    }
    assert states(known) == {
        "echo": "suspended", "count": "suspended", "measure": "discovered", "new": "discovered",
        "fail": "withdrawn", "hang": "withdrawn", "lie": "discovered", "heavy": "discovered",
    }  # fmt: skip
    assert not Skill.objects.filter(name__startswith="mcp.", enabled=True).exists()
    assert row(known, "echo").served["description"] == "Mails it." and row(known, "count").served_digest == ""
    assert discover(known.pk, by=dora, because="once more") == []
    assert refusal_of(accept, known, "count") == "not_found"  # it is not served


def test_a_changed_tool_is_accepted_only_as_it_is_served_now(known, accept, call, shelf, dora):
    first = accept(known, "echo")
    seen = row(known, "echo").digest
    shelf.tools[0] = shelf.tools[0].model_copy(update={"description": "Says it twice."})
    discover(known.pk, by=dora, because="again")

    assert refusal_of(accept_tool, row(known, "echo").pk, by=dora, because="x", digest=seen) == "skill_changed"
    second = accept(known, "echo", side_effect="write", idempotent=True)

    assert (second.pk, second.description, second.side_effect) == (first.pk, "Says it twice.", "write")
    assert second.digest != first.digest and second.enabled
    assert row(known, "echo").served is None
    assert call("shelf.echo", text="hello")["content"][0]["text"] == "hello"


def test_decisions_need_a_reason_and_lead_only_where_the_table_says(known, accept, dora, shelf, call):
    echo = row(known, "echo")
    assert refusal_of(accept_tool, echo.pk, by=dora, because=" ", digest=echo.digest) == "invalid"
    assert refusal_of(suspend_tool, echo.pk, by=dora, because="x") == "transition_refused"
    assert refusal_of(accept, known, "echo", side_effect="harmless") == "invalid"
    assert refusal_of(accept, known, "echo", labels=["safe"]) == "invalid"
    assert row(known, "echo").state == "discovered"
    skill = accept(known, "echo")

    suspend_tool(echo.pk, by=dora, because="under review")

    skill.refresh_from_db()
    assert (skill.enabled, row(known, "echo").served_digest) == (False, echo.digest)
    refuse_tool(echo.pk, by=dora, because="no")
    assert failure_of(call, "shelf.echo", text="x").effect == "none"
    accept(known, "echo")
    assert call("shelf.echo", text="x")


def test_a_disabled_server_takes_its_tools_with_it_and_gives_none_of_them_back(known, accept, call, dora, shelf):
    skill = accept(known, "echo")

    disable_server(known.pk, by=dora, because="odd traffic")

    skill.refresh_from_db()
    assert (skill.enabled, row(known, "echo").state) == (False, "suspended")
    assert refusal_of(discover, known.pk, by=dora, because="x") == "frozen"
    assert refusal_of(accept, known, "echo") == "frozen"
    enable_server(known.pk, by=dora, because="explained")
    assert failure_of(call, "shelf.echo", text="x").effect == "none" and shelf.called == []
    accept(known, "echo")
    assert call("shelf.echo", text="x")
    assert [entry[0] for entry in told("mcp_server.")][-2:] == ["mcp_server.disable", "mcp_server.enable"]


def test_a_failing_lying_hanging_or_heavy_tool_fails_alone_and_says_whether_it_may_have_happened(
    known, accept, call, monkeypatch
):
    monkeypatch.setattr("gateway.mcp.meter.MOST_BYTES", 1024**2)
    for name in ("lie", "fail", "hang", "heavy"):
        accept(known, name)
    accept(known, "echo")

    failures = {name: failure_of(call, f"shelf.{name}", text="x") for name in ("lie", "fail", "heavy")}
    failures["hang"] = failure_of(call, "shelf.hang", text="x", seconds=1.5)

    assert {name: failed.effect for name, failed in failures.items()} == dict.fromkeys(failures, "maybe")
    assert "does not fit the schema" in str(failures["lie"])
    assert "the disk" in str(failures["fail"]) and "\x1b" not in str(failures["fail"])
    assert "more than 1 MiB" in str(failures["heavy"])
    assert "did not answer in time" in str(failures["hang"])
    assert call("shelf.echo", text="still here")["content"][0]["text"] == "still here"
    McpTool.objects.filter(name="fail").update(side_effect="read_only")
    assert failure_of(call, "shelf.fail", text="x").effect == "none"


def test_what_cannot_be_a_skill_is_said_and_not_accepted(known, accept, shelf, dora):
    backtracking = {"type": "object", "properties": {"text": {"pattern": "(?=a)b"}}}
    deep = {"type": "object", "default": 1e300}
    shelf.tools = [
        tool("two words"),
        tool("odd").model_copy(update={"input_schema": backtracking}),
        tool("big", "x" * 200_000),
        tool("inexact").model_copy(update={"input_schema": deep}),
    ]

    discover(known.pk, by=dora, because="again")

    known.refresh_from_db()
    assert set(known.unusable) == {"big", "inexact"}
    assert refusal_of(accept, known, "two words") == "invalid"
    assert refusal_of(accept, known, "odd") == "invalid"
    assert not Skill.objects.filter(name__startswith="mcp.").exists()


def test_a_server_that_cannot_be_reached_is_a_reason_and_changes_no_tool(known, accept, dora, shelf, settings, call):
    accept(known, "echo")
    McpServer.objects.filter(pk=known.pk).update(url=shelf.url.replace("/mcp", "/other"))

    assert refusal_of(discover, known.pk, by=dora, because="again") == "unavailable"

    known.refresh_from_db()
    assert known.error and known.failed_at and states(known)["echo"] == "accepted"
    assert told("mcp_server.fail")[-1][2] == "again"
    settings.WORKA_MCP_HOSTS = ()
    failed = failure_of(call, "shelf.echo", text="x")
    assert (failed.effect, str(failed.code)) == ("none", "unavailable") and "WORKA_MCP_HOSTS" in failed.recovery


def test_a_named_host_that_leads_to_a_metadata_service_is_not_connected_to(known, accept, dora, settings, monkeypatch):
    names = Names(monkeypatch)
    names.lead("tools.example", ["169.254.169.254"])
    settings.WORKA_MCP_HOSTS = ("tools.example",)
    McpServer.objects.filter(pk=known.pk).update(url="https://tools.example/mcp")

    assert refusal_of(discover, known.pk, by=dora, because="again") == "unavailable"

    known.refresh_from_db()
    assert "not reached" in known.error and "metadata" in known.error
    assert names.connected == []


FORBIDDEN = [
    ("Shelf", {"url": "http://127.0.0.1/mcp"}, "invalid"),
    ("shelf", {"url": "http://127.0.0.1/mcp"}, "invalid"),  # there is one already
    ("other\n", {"url": "http://127.0.0.1/mcp"}, "invalid"),
    ("other", {"url": "ftp://127.0.0.1/mcp"}, "invalid"),
    ("other", {"url": "http://127.0.0.1:x/mcp"}, "invalid"),
    ("other", {"url": "http://ada:secret@127.0.0.1/mcp"}, "invalid"),
    ("other", {"url": "http://10.0.0.1/mcp"}, "forbidden"),
    ("other", {"url": "http://127.0.0.1@evil.example/mcp"}, "invalid"),
    ("other", {"url": "http://named.example/mcp"}, "https_required"),
    ("other", {"transport": "carrier-pigeon"}, "invalid"),
    ("other", {"transport": "stdio", "command": []}, "invalid"),
    ("other", {"transport": "stdio", "command": ["/opt/own/server"]}, "invalid"),
    ("other", {"transport": "stdio", "command": ["cat"], "files": {"/etc": "/server"}}, "forbidden"),
    ("other", {"transport": "stdio", "command": ["cat"], "files": {"/var/../etc": "/server"}}, "invalid"),
    ("other", {"transport": "stdio", "command": ["cat"], "files": {"HOME": "/server"}}, "forbidden"),
    ("other", {"transport": "stdio", "command": ["cat"], "files": {"ROOT": "/usr/lib"}}, "invalid"),
    ("other", {"transport": "stdio", "command": ["cat"], "files": {"LINK": "/server"}}, "forbidden"),
    ("other", {"transport": "stdio", "command": ["cat"], "files": {"GONE": "/server"}}, "invalid"),
]


def test_what_the_installation_does_not_allow_is_not_added(dora, settings, tmp_path):
    settings.WORKA_MCP_HOSTS = ("127.0.0.1", "named.example")
    settings.WORKA_MCP_ROOTS = (tmp_path,)
    settings.WORKA_HOME = tmp_path / "home"
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to("/etc")
    places = {"HOME": tmp_path / "home", "ROOT": tmp_path, "LINK": tmp_path / "link", "GONE": tmp_path / "gone"}
    add_server("shelf", "http", by=dora, because="x", url="http://127.0.0.1/mcp")

    codes = []
    for name, more, _ in FORBIDDEN:
        files = {str(places.get(outside, outside)): inside for outside, inside in more.get("files", {}).items()}
        given = {"transport": "http", **more, "files": files}
        codes.append(refusal_of(add_server, name, **given, by=dora, because="x"))

    assert codes == [code for *_, code in FORBIDDEN]
    assert McpServer.objects.count() == AuditEvent.objects.filter(type="mcp_server.add").count() == 1


def test_the_same_words_of_a_tool_are_bound_to_its_digest_even_where_only_a_hint_differs(known, accept, shelf, dora):
    first = accept(known, "echo")
    before = dataclasses.replace(row(known, "echo").definition)
    shelf.tools[0] = shelf.tools[0].model_copy(update={"annotations": None})
    discover(known.pk, by=dora, because="again")

    second = accept(known, "echo")

    assert row(known, "echo").definition == dataclasses.replace(before, annotations={})
    assert second.digest != first.digest
