"""An MCP server that wants credentials: each workspace connects it with its own, and nothing of them is stored or told."""

import json

import pytest
from django.core import serializers

from audit.core.refusals import Refused
from audit.models import AuditEvent
from gateway.connectors.mcp import Mcp
from gateway.mcp.actions import accept_tool, add_server, discover
from gateway.models import Connection, McpServer, McpTool
from gateway.treasury import connections, secrets
from gateway.treasury.impact import impact_of
from governance.models import Gate, SkillInvocation, Workspace
from governance.payloads import open_value, value_of
from tests import desk
from tests.gateway.mcp.shelf import tool
from tests.journeys import journey

pytestmark = pytest.mark.django_db

POLICY = desk.POLICY.replace('skills: ["desk.*"]', 'skills: ["desk.*", "mcp.shelf.*"]')
VALUE, NEWER = "shelf-token-of-acme-0815", "shelf-token-of-acme-0816"
SETTINGS = {"headers": {"Authorization": "Bearer {{secret:shelf-token}}"}}


@pytest.fixture
def j(monkeypatch, shelf):
    """A journey in a house that has added a shelf which wants a token."""
    j = journey(monkeypatch, policy=POLICY)
    monkeypatch.setattr("gateway.tools.all_connectors", lambda: {"desk": desk.Desk, "mcp": Mcp})
    shelf.wants = (f"Bearer {VALUE}",)
    add_server("shelf", "http", by=j.house.by("dora"), because="we need it", url=shelf.url, needs_connection=True)
    return j


def connect(j, account="acme", value=VALUE, name="shelf-token", **more):
    """Connect the shelf, and grant the connection its token."""
    because = {"by": j.house.by("dora"), "because": "we use the shelf"}
    settings = json.loads(json.dumps(SETTINGS).replace("shelf-token", name))
    made = connections.connect(
        j.house.workspace, "mcp.shelf", account, settings=settings, access="write", **because, **more
    )
    secret = secrets.put_secret(j.house.workspace, name, value, **because)
    secrets.give_grant(secret.pk, connection_id=made.pk, **because)
    return secret, made


def look(j, **more):
    return discover(McpServer.objects.get().pk, by=j.house.by("dora"), because="what is there", **more)


def accept(j, name="echo", **more):
    found = McpTool.objects.get(name=name)
    accept_tool(found.pk, by=j.house.by("dora"), because="read it", digest=found.digest, **more)


def begin(j, name="echo"):
    call = {"call_id": "a", "skill": f"mcp.shelf.{name}", "input": {"text": "hello"}}
    j.ask()
    asked = desk.step("say", ("x", "peek", "x"))
    j.propose({**asked, "instruction": {"kind": "direct", "calls": [call]}, "allowed_skills": [call["skill"]]})


def everything():
    rows = [*McpServer.objects.all(), *McpTool.objects.all(), *Connection.objects.all(), *SkillInvocation.objects.all()]
    entries = b"".join(bytes(each) for each in AuditEvent.objects.values_list("body", flat=True)).decode(
        "utf-8", "replace"
    )
    return serializers.serialize("json", rows) + entries


def test_a_call_goes_out_with_the_workspaces_credentials_and_people_see_through_which_connection(j, shelf):
    _, connection = connect(j)
    look(j)
    accept(j)
    begin(j)

    held = j.call("say", "a")

    payload = value_of(held.gate.payload)["payload"]
    assert payload["connection"]["service"] == "mcp.shelf" and payload["connection"]["account"] == "acme"
    j.finish("say", "suspended", waits_for=["a"])
    j.answer("approve")
    call = SkillInvocation.objects.get(run=j.run)
    assert (call.state, call.connection, shelf.called) == (
        "succeeded",
        str(connection.pk),
        [("echo", {"text": "hello"})],
    )
    assert shelf.turned_away == 0
    assert VALUE not in everything()


def test_without_a_connection_a_call_waits_for_one_and_a_look_says_what_to_do(j, shelf):
    with pytest.raises(Refused, match=r"mcp\.shelf is not connected") as refused:
        look(j)
    assert (refused.value.code, refused.value.recovery) == ("no_connection", "Connect it in a workspace first.")
    _, connection = connect(j)
    look(j)
    accept(j, side_effect="read_only", labels=())
    connections.disable(connection.pk, by=j.house.by("dora"), because="odd calls")
    begin(j)

    answer = j.call("say", "a")

    assert (answer.code, answer.reason) == ("no_connection", "mcp.shelf is connected, and disabled: odd calls")
    j.finish("say", "suspended", waits_for=["a"])
    connections.enable(connection.pk, by=j.house.by("dora"), because="explained")
    j.tick()
    j.call("say", "a")
    assert SkillInvocation.objects.get(run=j.run).state == "succeeded"


def test_where_several_have_connected_it_somebody_says_through_which_to_look(j, shelf):
    _, first = connect(j)
    shelf.wants = (f"Bearer {VALUE}", f"Bearer {NEWER}")
    _, second = connect(j, "second", NEWER, "other-token")

    with pytest.raises(Refused, match="more than once") as refused:
        look(j)
    assert refused.value.recovery == "Say through which connection to look."
    assert look(j, connection_id=second.pk) and shelf.turned_away == 0
    accept(j, side_effect="read_only", labels=())
    begin(j)
    # Nothing in the input of somebody else's tool says as whom a call goes out; people have to leave one.
    assert (
        j.call("say", "a").reason
        == "mcp.shelf is connected more than once (acme, second): disable all of these but one"
    )
    connections.disable(first.pk, by=j.house.by("dora"), because="the second is enough")
    j.call("say", "a")
    assert SkillInvocation.objects.get(run=j.run).connection == str(second.pk)


def test_credentials_that_are_not_accepted_fail_by_name_and_are_not_repeated_to_anybody(j, shelf):
    secret, _ = connect(j)
    look(j)
    accept(j, side_effect="read_only", labels=())
    begin(j)
    shelf.wants = ("Bearer another",)

    with pytest.raises(Refused, match="does not accept who asks"):
        look(j)
    j.call("say", "a")

    call = SkillInvocation.objects.get(run=j.run)
    assert (call.state, call.error["effect"], shelf.called) == ("failed", "none", [])
    assert "the MCP server shelf failed: it does not accept who asks (status 401)" in call.error["message"]
    assert McpTool.objects.get(name="echo").state == "accepted"
    assert VALUE not in everything()
    assert "mcp.shelf.echo" in impact_of(secret).skills


def test_while_a_token_is_rotated_the_older_one_is_tried_too(j, shelf):
    secret, _ = connect(j)
    look(j)
    accept(j, side_effect="read_only", labels=())
    secrets.rotate_secret(secret.pk, NEWER, by=j.house.by("dora"), because="yearly")
    begin(j)

    j.call("say", "a")

    assert SkillInvocation.objects.get(run=j.run).state == "succeeded"
    assert shelf.turned_away > 0 and shelf.called == [("echo", {"text": "hello"})]


@pytest.mark.parametrize("where", ["name", "description", "field"])
def test_a_server_that_repeats_its_credentials_in_what_it_serves_is_not_listened_to(j, shelf, where):
    connect(j)
    odd = {
        "name": tool(VALUE), "description": tool("leak", f"Give it {VALUE}."),
        "field": tool("leak", annotations={"title": f"x{VALUE}"}),
    }[where]  # fmt: skip
    look(j)
    accept(j, side_effect="read_only", labels=())
    shelf.tools.append(odd)

    with pytest.raises(Refused, match="repeats the credentials"):
        look(j)
    begin(j)
    j.call("say", "a")

    assert "repeats the credentials" in SkillInvocation.objects.get(run=j.run).error["message"]
    assert shelf.called == [] and VALUE not in everything()


def test_what_a_tool_echoes_is_masked(j, shelf):
    connect(j)
    look(j)
    accept(j, side_effect="read_only", labels=())
    j.ask()
    call = {"call_id": "a", "skill": "mcp.shelf.echo", "input": {"text": f"say {VALUE}"}}
    asked = desk.step("say", ("x", "peek", "x"))
    j.propose({**asked, "instruction": {"kind": "direct", "calls": [call]}, "allowed_skills": [call["skill"]]})

    j.call("say", "a")

    found = SkillInvocation.objects.get(run=j.run)
    assert found.state == "succeeded" and VALUE not in str(found.output_redacted)
    assert VALUE not in str(open_value(j.run.pk, found, "output"))


WRONG = {
    "another place": ({"base_url": "http://127.0.0.1:9/mcp"}, "/base_url", "and nowhere else"),
    "no headers": ({"settings": {"headers": {}}}, "/settings/headers", ""),
    "a header that says how long it is": (
        {"settings": {"headers": {"Content-Length": "5"}}},
        "/settings/headers",
        "Content-Length",
    ),
    "to whom it goes": ({"settings": {"headers": {"Host": "elsewhere.example"}}}, "/settings/headers", "Host"),
    "of the protocol": ({"settings": {"headers": {"Mcp-Session-Id": "x"}}}, "/settings/headers", "Mcp-Session-Id"),
    "in clear": (
        {"settings": {"headers": {"Authorization": "Bearer sk-ant-api03-abcdefgh12345678"}}},
        "/settings/headers/Authorization",
        "in clear",
    ),
}


@pytest.mark.parametrize(("more", "path", "said"), WRONG.values(), ids=WRONG)
def test_what_is_no_set_of_credentials_for_this_server_is_refused(j, more, path, said):
    given = {"settings": SETTINGS, "access": "write", **more}

    with pytest.raises(Refused) as refused:
        connections.connect(j.house.workspace, "mcp.shelf", "acme", by=j.house.by("dora"), because="x", **given)

    assert refused.value.code == "invalid"
    (fault,) = refused.value.faults
    assert (fault.path, said in fault.message) == (path, True)
    assert not Connection.objects.exists()


def test_a_secret_that_can_be_no_header_fails_before_anything_goes_out_and_is_not_quoted(j, shelf):
    connect(j, value="first-line\r\nX-Admin: yes")

    with pytest.raises(Refused, match="the header Authorization can be no header") as refused:
        look(j)

    assert "X-Admin" not in str(refused.value) and shelf.turned_away == 0


def test_only_a_server_that_is_spoken_to_by_an_address_takes_credentials(j, settings, tmp_path):
    because = {"by": j.house.by("dora"), "because": "x", "needs_connection": True}
    for more in (
        {"transport": "stdio", "command": ["/usr/bin/python3"]},
        {"transport": "http", "url": "http://127.0.0.1:1/mcp?a=1"},
    ):
        with pytest.raises(Refused, match="credentials cannot be sent"):
            add_server("other", **more, **because)
    assert "mcp.shelf" in connections.all_services()
    with pytest.raises(Refused, match=r"there is no service 'mcp\.other'"):
        connections.connect(
            Workspace.objects.first(), "mcp.other", "x", by=j.house.by("dora"), because="x", settings=SETTINGS
        )


def test_a_gate_names_the_service_that_is_missing(j, shelf):
    secret, connection = connect(j)
    look(j)
    accept(j, side_effect="read_only", labels=())
    secrets.revoke_secret(secret.pk, by=j.house.by("dora"), because="it leaked")
    begin(j)

    j.call("say", "a")

    denied = Gate.objects.get(run=j.run, action="skill.invoke")
    assert (denied.code, denied.reason) == ("no_connection", f"the secret shelf-token of {connection} is revoked")
