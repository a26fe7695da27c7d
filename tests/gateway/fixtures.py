"""What tests of the doors stand on: stages, a live agents' door and a live web server."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database import Cluster
from tests.gateway.live import Stages, serving
from tests.journeys import Journey
from worka_site.embedded import listen_on_port, listen_on_socket


@pytest.fixture(scope="session")
def stages(django_db_setup: None, cluster: Cluster, template_database: str, django_db_blocker) -> Iterator[Stages]:
    """The data bases that tests begin from."""
    found = Stages(cluster, template_database)
    yield found
    with django_db_blocker.unblock():
        found.drop()


@pytest.fixture
def housed(stages: Stages, monkeypatch, django_db_blocker) -> Iterator[Journey]:
    """A house of people, and nothing asked yet; committed."""
    with django_db_blocker.unblock(), stages.begin("house", monkeypatch) as j:
        yield j


@pytest.fixture
def planning(stages: Stages, monkeypatch, django_db_blocker) -> Iterator[Journey]:
    """A run whose planner is at work; committed."""
    with django_db_blocker.unblock(), stages.begin("planning", monkeypatch) as j:
        yield j


@pytest.fixture
def working(stages: Stages, monkeypatch, django_db_blocker) -> Iterator[Journey]:
    """A run whose steps are at work; committed."""
    with django_db_blocker.unblock(), stages.begin("working", monkeypatch) as j:
        yield j


@pytest.fixture(scope="session")
def door_socket() -> Iterator[Path]:
    """The agents' door, listening."""
    from gateway.door.app import app

    with tempfile.TemporaryDirectory(prefix="door-") as folder:
        path = Path(folder) / "d" / "door.sock"
        with serving(app, listen_on_socket(path)):
            yield path


@pytest.fixture(scope="session")
def web() -> Iterator[str]:
    """The whole site, listening on a port of this machine; its URL."""
    from worka_site.asgi import application

    listener = listen_on_port("127.0.0.1", 0)
    with serving(application, listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
