"""Servers over stdio, in the cage: real ones from the package index, and one that behaves badly in every way it can."""

import json
import os
import socket
import sys
import sysconfig
import time
from pathlib import Path

import psutil
import pytest

from audit.core.refusals import Refused
from audit.models import AuditEvent
from gateway.connector import SkillFailed
from gateway.mcp.actions import add_server, discover
from gateway.models import McpServer, McpTool
from tests.gateway.connectors.repositories import Repo

pytestmark = [pytest.mark.django_db, pytest.mark.sandbox]

SCRIPTS = Path(sysconfig.get_path("scripts"))
NODE = Path(__file__).parents[2] / "npm" / "node_modules"
PYTHON = {path: path for path in {str(SCRIPTS.parent), sys.base_prefix} if not path.startswith("/usr")}

SLOW_S = 55.0  # real servers import for seconds, on a busy machine for many


def failure_of(deed, *arguments, **more):
    with pytest.raises((SkillFailed, Refused)) as failed:
        deed(*arguments, **more)
    return failed.value


def nothing_is_left(server):
    """Say whether all processes of a server end; the kernel takes a moment to clear a process space away."""
    until = time.monotonic() + 10
    while any(server.command[-1] in (each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])):
        if time.monotonic() > until:
            return False
    return True


def test_the_time_server_is_asked_in_its_cage(settings, dora, accept, call):
    settings.WORKA_MCP_ROOTS = tuple(Path(path) for path in PYTHON)
    command = [str(SCRIPTS / "mcp-server-time"), "--local-timezone", "UTC"]
    server = add_server("time", "stdio", by=dora, because="a test", command=command, files=PYTHON)

    discover(server.pk, by=dora, because="what is there", seconds=SLOW_S)
    accept(server, "convert_time", side_effect="read_only", labels=[])
    answer = call(
        "time.convert_time", seconds=SLOW_S, source_timezone="UTC", time="12:00", target_timezone="Asia/Tokyo"
    )

    assert set(server.tools.values_list("name", "state")) == {
        ("convert_time", "accepted"),
        ("get_current_time", "discovered"),
    }
    assert answer["structured"]["target"]["datetime"].endswith("T21:00:00+09:00")


def test_the_git_server_works_on_the_repository_that_it_is_shown_and_cannot_write_it(
    settings, dora, accept, call, tmp_path
):
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a.txt": "text\n"})
    settings.WORKA_MCP_ROOTS = (*(Path(path) for path in PYTHON), tmp_path)
    files = {**PYTHON, str(repo.path): "/repository"}
    command = [str(SCRIPTS / "mcp-server-git"), "--repository", "/repository"]
    server = add_server("git", "stdio", by=dora, because="a test", command=command, files=files)
    discover(server.pk, by=dora, because="what is there", seconds=SLOW_S)
    accept(server, "git_create_branch")

    failed = failure_of(call, "git.git_create_branch", seconds=SLOW_S, repo_path="/repository", branch_name="new")

    assert server.tools.count() == 12
    assert (failed.effect, "the tool says that it failed" in str(failed)) == ("maybe", True)
    assert "read-only" in str(failed).lower().replace(" ", "-") or "lock" in str(failed)
    assert os.listdir(repo.path / ".git" / "refs" / "heads") == ["main"]


@pytest.mark.node
def test_the_servers_of_the_npm_registry_speak_the_earlier_era_and_see_no_more(
    settings, dora, accept, call, monkeypatch, tmp_path
):
    monkeypatch.setenv("WORKA_SECRET", "x")
    (tmp_path / "a.txt").write_text("text")
    settings.WORKA_MCP_ROOTS = (NODE, tmp_path)
    servers = {}
    for name, argument, more in (("everything", "stdio", {}), ("filesystem", "/shown", {str(tmp_path): "/shown"})):
        command = ["node", f"/node_modules/@modelcontextprotocol/server-{name}/dist/index.js", argument]
        files = {str(NODE): "/node_modules", **more}
        servers[name] = add_server(name, "stdio", by=dora, because="a test", command=command, files=files)
        discover(servers[name].pk, by=dora, because="what is there", seconds=SLOW_S)
    accept(servers["everything"], "get-env")
    accept(servers["filesystem"], "read_text_file", side_effect="read_only", labels=["reads_private"])

    environment = json.loads(call("everything.get-env", seconds=SLOW_S)["content"][0]["text"])
    read = call("filesystem.read_text_file", seconds=SLOW_S, path="/shown/a.txt")
    failed = failure_of(call, "filesystem.read_text_file", seconds=SLOW_S, path="/etc/passwd")

    assert {each.protocol for each in McpServer.objects.all()} == {"2025-11-25"}
    assert [each.tools.count() for each in servers.values()] == [13, 14]
    assert not any("WORKA" in name or "SECRET" in name for name in environment)
    assert read["structured"] == {"content": "text"}
    assert failed.effect == "none" and "the tool says that it failed" in str(failed)


def test_a_server_sees_what_its_row_names_and_nothing_else(rogue, dora, accept, call, monkeypatch, tmp_path, settings):
    monkeypatch.setenv("WORKA_SECRET", "x")
    settings.WORKA_HOME = tmp_path / "home"
    (tmp_path / "home" / "keys").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = rogue("spy", str(listener.getsockname()[1]))
        discover(server.pk, by=dora, because="what is there")
        accept(server, "do")

        seen = json.loads(call("rogue-spy.do")["content"][0]["text"])

    server.refresh_from_db()
    assert server.protocol == "2025-11-25"  # the earlier era, found out by itself
    assert not any("WORKA" in name for name in seen["environment"])
    assert not {"root", "home", "proc", "var", "work"} & set(seen["root"]) and seen["etc"] == ["ld.so.cache"]
    assert (seen["out"], seen["write"], seen["scratch"]) == ("ConnectionRefusedError", "OSError", "done")
    assert seen["hidden"] == "FileNotFoundError"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("hang", "did not answer in time"),
        ("babble", "no message of the protocol"),
        ("flood", "more than 500 messages"),
        ("heavy", "more than 16 MiB"),
        ("swarm", "more than 64 processes"),
        ("quit", "it wrote: Traceback: no such table"),
    ],
)
def test_a_server_that_behaves_badly_in_a_call_is_ended_with_a_reason(
    rogue, dora, accept, call, monkeypatch, tmp_path, how, reason
):
    monkeypatch.setattr("gateway.mcp.meter.MOST_MESSAGES", 500)
    server = rogue(how, f"{tmp_path.name}-{os.getpid()}")
    discover(server.pk, by=dora, because="what is there")
    accept(server, "do")

    failed = failure_of(call, f"rogue-{how}.do", seconds=3 if how == "hang" else 30)

    assert (failed.effect, reason in str(failed)) == ("maybe", True), str(failed)
    assert "\x1b" not in str(failed)
    assert nothing_is_left(server)


@pytest.mark.parametrize(("how", "reason"), [("mute", "did not answer in time"), ("twins", "two tools called do")])
def test_a_server_that_behaves_badly_when_it_is_looked_at_is_a_reason_and_no_tool(rogue, dora, tmp_path, how, reason):
    server = rogue(how, f"{tmp_path.name}-{os.getpid()}")

    refused = failure_of(discover, server.pk, by=dora, because="what is there", seconds=1.5 if how == "mute" else 20)

    server.refresh_from_db()
    assert str(refused.code) == "unavailable" and reason in str(refused) and reason in server.error
    assert not McpTool.objects.exists()
    assert AuditEvent.objects.get(type="mcp_server.fail").facts["error"] == server.error
    assert nothing_is_left(server)
