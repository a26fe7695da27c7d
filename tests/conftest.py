"""What every test stands on: its data base, no network, and the people."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from tests.database import Cluster
from tests.settings import TEST_HOME

_lent = count()
IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}


# --- What may be missing --------------------------------------------------------------------------------------------


def _sandbox_missing() -> str:
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed"
    command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"bubblewrap does not work here: {done.stderr.strip()}" if done.returncode else ""


def _browser_missing() -> str:
    found = any(map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser")))
    return "" if found else "chromium is not installed"


def _node_missing() -> str:
    if not shutil.which("node", path="/usr/local/bin:/usr/bin:/bin"):
        return "node is not installed where a cage sees it"
    stamp = Path(__file__).parent / "npm" / "node_modules" / ".installed"
    return "" if stamp.exists() else "tests/npm is not installed; run scripts/npm-packages"


NEEDED: dict[str, Callable[[], str]] = {
    "sandbox": _sandbox_missing,
    "browser": _browser_missing,
    "node": _node_missing,
}
_missing: dict[str, str] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Stop where a service is missing: skipped on a laptop, failed in CI."""
    for name, why in NEEDED.items():
        if item.get_closest_marker(name):
            if name not in _missing:
                _missing[name] = why()
            if _missing[name]:
                (pytest.fail if IN_CI else pytest.skip)(_missing[name])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Turn a skipped test into a failed one in CI: what is skipped proves nothing."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse pytest-django's way of committing: it empties tables, and the ledger's refuse that. Begin with what takes long.

    A worker that has nothing left takes over what another would do last; a file that takes a minute cannot be shared.
    """
    items.sort(key=lambda item: not any(map(item.get_closest_marker, ("crash", "browser", "timeout"))))
    for item in items:
        marker = item.get_closest_marker("django_db")
        if marker and (marker.kwargs.get("transaction") or (marker.args and marker.args[0])):
            raise pytest.UsageError(f"{item.nodeid}: use the fixture `committed_db` instead of transaction=True")


# --- The data base --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The server of the suite: the embedded one, or that of DATABASE_URL."""
    found = Cluster()
    found.open()
    yield found
    found.close()


@pytest.fixture(scope="session")
def template_database(cluster: Cluster, django_db_blocker: DjangoDbBlocker) -> str:
    """The name of the migrated data base that all others are clones of."""
    with django_db_blocker.unblock():
        return cluster.template()


@pytest.fixture(scope="session")
def django_db_setup(cluster: Cluster, template_database: str, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """One clone for this worker: tests that only use `db` are rolled back on it."""
    name = cluster.clone(template_database)
    with django_db_blocker.unblock():
        cluster.point_at(name)
    yield
    with django_db_blocker.unblock():
        connections.close_all()
    cluster.drop(name)


@pytest.fixture
def committed_db(
    django_db_setup: None, cluster: Cluster, template_database: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """A clone for one test that really commits: threads and other processes see it. Yields its DATABASE_URL."""
    before = connections.settings["default"]["NAME"]
    name = cluster.lend(template_database)
    heads = settings.WORKA_TREE_HEADS
    # A clone begins with an empty log; under heads of another test it would be one that was cut.
    settings.WORKA_TREE_HEADS = TEST_HOME / f"{name}-{next(_lent)}.jsonl"
    with django_db_blocker.unblock():
        cluster.point_at(name)
        yield cluster.url_of(name)
        cluster.point_at(before)
    settings.WORKA_TREE_HEADS = heads
    cluster.take_back(name)


@pytest.fixture
def transactional_db(committed_db: str) -> str:
    """pytest-django's name for it."""
    return committed_db


@pytest.fixture
def database_url(committed_db: str) -> str:
    """What a server in another process gets as DATABASE_URL to work on the test's own data base."""
    return committed_db


# --- No network -----------------------------------------------------------------------------------------------------


class NetworkRefused(Exception):
    """A test tried to reach another machine."""


def _is_near(family: int, address: Any) -> bool:
    if family == socket.AF_UNIX or not isinstance(address, tuple):
        return True
    try:
        return ip_address(str(address[0]).split("%")[0]).is_loopback
    except ValueError:
        return address[0] in {"localhost", ""}


@pytest.fixture(scope="session", autouse=True)
def _network_is_refused() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    for verb in ("connect", "connect_ex"):
        real = getattr(socket.socket, verb)

        def guarded(self: socket.socket, address: Any, _real: Callable[..., Any] = real) -> Any:
            if not _is_near(self.family, address):
                raise NetworkRefused(f"a test tried to reach {address}")
            return _real(self, address)

        patch.setattr(socket.socket, verb, guarded)
    resolve = socket.getaddrinfo

    def near_names(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host is not None and not _is_near(socket.AF_INET, (host if isinstance(host, str) else host.decode(), 0)):
            raise NetworkRefused(f"a test tried to find the address of {host}")
        return resolve(host, *args, **kwargs)

    patch.setattr(socket, "getaddrinfo", near_names)
    yield
    patch.undo()


# --- The home -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def _home() -> Iterator[None]:
    """A key ring for the session, and nothing left behind."""
    from audit.keys import generate_key_file

    generate_key_file(TEST_HOME / "keys.json")
    yield
    shutil.rmtree(TEST_HOME, ignore_errors=True)


# --- The people -----------------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(request: pytest.FixtureRequest) -> Any:
    """The workspace `acme`, empty; on the data base that the test has asked for."""
    from audit.principals import SYSTEM
    from governance.actions.people import create_workspace

    if "committed_db" not in request.fixturenames and "transactional_db" not in request.fixturenames:
        request.getfixturevalue("db")
    return create_workspace("acme", "Acme", by=SYSTEM, because="a test")


@pytest.fixture
def enrol(workspace: Any) -> Callable[..., Any]:
    """Return a function that makes a person: `enrol("dan", "admin", asked=True)`, in `acme` or in another workspace."""
    from django.contrib.auth import get_user_model

    from audit.principals import SYSTEM
    from governance.actions.people import add_approvers, add_member

    def make(username: str, role: str = "", *, asked: bool = False, at: Any = None, **fields: Any) -> Any:
        user = get_user_model().objects.create_user(username, password=username, is_staff=True, **fields)
        if role:
            add_member(at or workspace, user, role, by=SYSTEM, because="a test")
        if asked:
            add_approvers(at or workspace, "operators", [user], by=SYSTEM, because="a test")
        return user

    return make


@pytest.fixture
def ada(enrol: Callable[..., Any]) -> Any:
    """Ada asks: a member."""
    return enrol("ada", "member")


@pytest.fixture
def bob(enrol: Callable[..., Any]) -> Any:
    """Bob decides: a member of the group `operators`."""
    return enrol("bob", "member", asked=True)


@pytest.fixture
def carol(enrol: Callable[..., Any]) -> Any:
    """Carol audits: she sees every workspace, with payloads redacted, and does nothing."""
    from django.contrib.auth.models import Group

    from governance.people import AUDITORS

    user = enrol("carol")
    user.groups.add(Group.objects.get_or_create(name=AUDITORS)[0])
    return user


@pytest.fixture
def eve(enrol: Callable[..., Any]) -> Any:
    """Eve may see nothing: she signs in, and belongs nowhere."""
    return enrol("eve")


@pytest.fixture
def installed(workspace: Any, bob: Any) -> Any:
    """The workspace with the shipped agents, skills and policy in force, as after the first start."""
    from worka_site.seed import install

    install(workspace)
    return workspace
