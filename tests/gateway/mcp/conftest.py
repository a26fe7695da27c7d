"""The people, a server on loopback, and what calls an accepted tool."""

import time
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest

from audit.principals import person
from gateway.connector import CallContext
from gateway.connectors.mcp import Mcp
from gateway.mcp.actions import accept_tool, add_server, discover
from gateway.models import McpTool
from tests.gateway.mcp.shelf import serving_shelf


@pytest.fixture(scope="session")
def one_shelf():
    with serving_shelf() as shelf:
        yield shelf


@pytest.fixture
def shelf(one_shelf, settings):
    """The tests' own server, fresh, and allowed."""
    settings.WORKA_MCP_HOSTS = ("127.0.0.1",)
    return one_shelf.fresh()


@pytest.fixture
def dora(enrol):
    """Dora runs the workspace."""
    return person(enrol("dora", "admin"))


@pytest.fixture
def known(shelf, dora):
    """The shelf as a server that was looked at."""
    server = add_server("shelf", "http", by=dora, because="we need it", url=shelf.url)
    discover(server.pk, by=dora, because="what is there")
    return server


@pytest.fixture
def accept(dora):
    """Return a function that accepts a tool as it is offered."""

    def accepting(server, name, **more):
        tool = McpTool.objects.exclude(state="withdrawn").get(server=server, name=name)
        return accept_tool(tool.pk, by=dora, because="read it", digest=tool.offered.digest, **more)

    return accepting


@pytest.fixture
def call(workspace):
    """Return a function that performs a skill of MCP, as the gateway does after it has asked."""

    def calling(verb, seconds=20.0, **arguments):
        context = CallContext(workspace.pk, uuid4(), lambda _: b"", time.monotonic() + seconds, SimpleNamespace())
        return Mcp().call(verb, arguments, context).output

    return calling


@pytest.fixture
def rogue(tmp_path, settings, dora):
    """Return a function that adds a stdio server which behaves as it is told."""
    (tmp_path / "rogue.py").write_text(Path(__file__).with_name("rogue.py").read_text())
    settings.WORKA_MCP_ROOTS = (tmp_path,)

    def adding(how, *arguments):
        command = ["/usr/bin/python3", "-I", "/server/rogue.py", how, *arguments]
        files = {str(tmp_path): "/server"}
        return add_server(f"rogue-{how}", "stdio", by=dora, because="a test", command=command, files=files)

    return adding
