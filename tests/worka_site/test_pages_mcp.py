"""MCP servers in the console and from the shell: who may, what is shown of a difference, and what a decision writes."""

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from audit.models import AuditEvent
from gateway.core.mcp import Definition
from gateway.mcp.actions import store_discovery
from gateway.models import McpServer, McpTool
from gateway.treasury.connections import connect
from governance.models import Skill
from tests.console import at, console_journey, visit, words

pytestmark = pytest.mark.django_db

PAGE, ADD = "/admin/gateway/mcpserver/", "/admin/mcp/add/"
ECHO = Definition("echo", "Says <b>it</b>\u202e again.", {"type": "object"}, None, {"readOnlyHint": True})
SENT = {"name": "shelf", "transport": "http", "url": "http://127.0.0.1:1/mcp", "because": "we need it"}


@pytest.fixture
def j(monkeypatch, settings):
    settings.WORKA_MCP_HOSTS = ("127.0.0.1",)
    return console_journey(monkeypatch)


@pytest.fixture
def shelf(j):
    """A server that dora has added, and of which one tool is known."""
    visit(j.house.dora).post(ADD, SENT)
    server = McpServer.objects.get()
    store_discovery(server.pk, "2026-07-28", [ECHO], {}, by=j.house.by("dora"), because="what is there")
    return server


def told(page):
    return [str(message) for message in page.context["messages"]]


def press(client, thing, event, **more):
    kind = type(thing).__name__.lower()
    sent = {"because": "read it", **more}
    return client.post(at(f"gateway_{kind}_press", thing.pk, event), sent, follow=True)


def test_only_admins_and_owners_of_every_workspace_come_in(j, shelf):
    row, tool = at("gateway_mcpserver_change", shelf.pk), McpTool.objects.get()
    seen = {}
    for name in ("ada", "bob", "carol", "eve", "dora", "olga"):
        client = visit(getattr(j.house, name))
        pages = {client.get(address).status_code for address in (PAGE, row, ADD)}
        deeds = (
            {press(client, shelf, "disable").status_code, press(client, tool, "refuse").status_code}
            if name not in ("dora", "olga")
            else set()
        )
        added = client.post(ADD, {**SENT, "name": f"of-{name}"}).status_code if name != "dora" else 302
        seen[name] = (pages, deeds, added, f'href="{PAGE}"' in client.get("/admin/").content.decode())

    assert seen == {
        **dict.fromkeys(("ada", "bob", "carol", "eve"), ({403}, {403}, 403, False)),
        **dict.fromkeys(("dora", "olga"), ({200}, set(), 302, True)),
    }  # fmt: skip
    shelf.refresh_from_db()
    tool.refresh_from_db()
    assert (shelf.enabled, tool.state) == (True, "discovered")
    assert set(McpServer.objects.values_list("name", flat=True)) == {"shelf", "of-olga"}


def test_a_tool_is_accepted_as_it_is_shown_and_as_the_operator_says(j, shelf):
    dora, tool = visit(j.house.dora), McpTool.objects.get()

    page = dora.get(at("gateway_mcpserver_change", shelf.pk))
    assert "Says &lt;b&gt;it&lt;/b&gt;" in page.content.decode() and "\u202e" not in page.content.decode()
    assert "readOnlyHint: true" in words(page).replace("&quot;", '"') and "The server claims" in words(page)
    assert "say why" in told(press(dora, tool, "accept", because=""))[0]
    assert "not what you have seen" in told(press(dora, tool, "accept", digest="0" * 64, side_effect="external"))[0]
    done = press(dora, tool, "accept", digest=ECHO.digest, side_effect="read_only", untrusted_output="on")

    skill = Skill.objects.get(name="mcp.shelf.echo")
    assert "the skill mcp.shelf.echo now" in told(done)[0]
    assert (skill.enabled, skill.side_effect, skill.labels) == (True, "read_only", ["untrusted_output"])
    entry = AuditEvent.objects.get(type="mcp_tool.accept")
    assert (entry.actor, entry.because, entry.facts["labels"]) == ("user:dora", "read it", ["untrusted_output"])


def test_what_changed_is_shown_as_a_difference_and_decided_with_a_reason(j, shelf):
    dora, tool = visit(j.house.dora), McpTool.objects.get()
    press(dora, tool, "accept", digest=ECHO.digest, side_effect="external", reads_private="on")
    changed = Definition("echo", "Mails it.", {"type": "object"}, None, {"readOnlyHint": True})
    store_discovery(shelf.pk, "2026-07-28", [changed], {}, by=j.house.by("dora"), because="again")

    page = dora.get(at("gateway_mcpserver_change", shelf.pk))

    assert [line["changed"].added for line in page.context["tools"]] == [1]
    assert "Served otherwise now" in words(page) and "The server changed its description" in words(page)
    assert not Skill.objects.get(name="mcp.shelf.echo").enabled
    assert [entry.type for entry in page.context["entries"]][:2] == ["mcp_server.discover", "mcp_tool.suspend"]
    press(dora, tool, "refuse", because="no mails")
    tool.refresh_from_db()
    assert (tool.state, tool.reason) == ("refused", "no mails")
    assert "1 tool" not in words(dora.get(PAGE)) and "0 tools accepted" in words(dora.get(PAGE))


def test_a_tool_that_nobody_relies_on_is_known_as_it_is_served_now_and_a_refused_one_stays_so(j, shelf):
    dora, tool, by = visit(j.house.dora), McpTool.objects.get(), j.house.by("dora")
    changed = Definition("echo", "Mails it.", {"type": "object"}, None, {})

    store_discovery(shelf.pk, "2026-07-28", [changed], {}, by=by, because="again")
    tool.refresh_from_db()
    assert (tool.state, tool.digest, tool.served, tool.reason) == (
        "discovered", changed.digest, None, "the server changed its description, annotations",
    )  # fmt: skip
    press(dora, tool, "refuse", because="no mails")
    store_discovery(shelf.pk, "2026-07-28", [ECHO], {}, by=by, because="again")
    tool.refresh_from_db()
    assert (tool.state, tool.digest, tool.served_digest) == ("refused", changed.digest, ECHO.digest)

    assert [(e.facts.get("digest"), e.facts.get("served_digest")) for e in AuditEvent.objects.filter(type="mcp_tool.change")] == [
        (changed.digest, None), (None, ECHO.digest),
    ]  # fmt: skip
    for event in ("disable", "disable", "enable", "enable"):
        press(dora, shelf, event)
    assert [e.type for e in AuditEvent.objects.filter(type__in=("mcp_server.disable", "mcp_server.enable"))] == [
        "mcp_server.disable", "mcp_server.enable",
    ]  # fmt: skip


def test_a_server_that_is_not_allowed_is_said_beside_what_was_sent(j):
    dora = visit(j.house.dora)

    page = dora.post(ADD, {**SENT, "url": "https://elsewhere.example/mcp", "files": "/a = /b"})

    assert page.status_code == 409 and "WORKA_MCP_HOSTS" in told(page)[0]
    assert page.context["sent"]["url"] == "https://elsewhere.example/mcp" and page.context["sent"]["files"] == "/a = /b"
    assert dora.post(ADD, {**SENT, "transport": "stdio", "command": "a 'b"}).status_code == 409
    assert not McpServer.objects.exists()
    assert "There are no MCP servers" in words(dora.get(PAGE))


def test_a_discovery_that_fails_is_said_and_kept(j, shelf):
    page = press(visit(j.house.dora), shelf, "discover")

    assert "could not be used" in told(page)[0] and "It could not be used" in words(page)
    assert AuditEvent.objects.filter(type="mcp_server.fail").count() == 1


def test_a_server_that_wants_credentials_is_looked_at_through_a_connection(j):
    dora, more = visit(j.house.dora), {"by": j.house.by("dora"), "because": "we use it"}
    page = dora.post(ADD, {**SENT, "needs_connection": "on"}, follow=True)
    server = McpServer.objects.get()
    assert server.needs_connection and "connect mcp.shelf, then discover" in told(page)[0]
    assert "Through" not in words(page)
    assert "mcp.shelf is not connected" in told(press(dora, server, "discover"))[0]
    settings = {"headers": {"Authorization": "Bearer {{secret:shelf-token}}"}}
    made = [connect(j.house.workspace, "mcp.shelf", name, settings=settings, **more) for name in ("one", "two")]

    page = dora.get(at("gateway_mcpserver_change", server.pk))

    options = re.findall(r'<option value="([0-9a-f-]{36})">([^<]+)</option>', page.content.decode())
    assert options == [(str(each.pk), f"{each.account} in acme") for each in made]
    assert "more than once" in told(press(dora, server, "discover"))[0]
    said = told(press(dora, server, "discover", connection=str(made[1].pk)))[0]
    assert "names a secret shelf-token that does not exist" in said
    assert "mcp.shelf" in words(dora.get("/admin/connections/new/"))
    out = StringIO()
    with pytest.raises(CommandError, match="does not exist"):
        call_command(
            "mcp", "discover", "shelf", "--connection", "acme/two", "--by", "dora", "--because", "x", stdout=out
        )
    with pytest.raises(CommandError, match="is not connected as 'three'"):
        call_command("mcp", "discover", "shelf", "--connection", "acme/three", "--by", "dora", "--because", "x")
    call_command(
        "mcp",
        "add",
        "other",
        "--url",
        "http://127.0.0.1:1/mcp",
        "--needs-connection",
        "--by",
        "dora",
        "--because",
        "x",
        stdout=out,
    )
    assert McpServer.objects.get(name="other").needs_connection


def test_the_same_deeds_from_the_shell(j, shelf):
    def run(*words):
        out = StringIO()
        call_command("mcp", *words, stdout=out)
        return out.getvalue()

    by = ("--by", "dora", "--because", "read it")
    assert ECHO.digest in run("list") and "\u202e" not in run("list")
    with pytest.raises(CommandError, match="not what you have seen"):
        run("accept", "shelf", "echo", "--digest", "0" * 64, *by)
    assert "is a skill now" in run("accept", "shelf", "echo", "--digest", ECHO.digest, "--side-effect", "write", *by)
    assert Skill.objects.get(name="mcp.shelf.echo").labels == ["reads_private", "sends_outside", "untrusted_output"]
    assert "is suspended" in run("suspend", "shelf", "echo", *by)
    assert "is refused" in run("refuse", "shelf", "echo", *by)
    assert "is added" in run("add", "other", "--url", "http://127.0.0.1:1/mcp", *by)
    with pytest.raises(CommandError, match="could not be used"):
        run("discover", "other", *by)
    assert "disabled" in run("disable", "other", *by)
    for wrong in (("suspend", "shelf", "none"), ("discover", "nowhere")):
        with pytest.raises(CommandError, match="called"):
            run(*wrong, *by)
    entry = AuditEvent.objects.get(type="mcp_tool.suspend")
    assert (entry.actor, entry.via, entry.because) == ("user:dora", "command", "read it")
