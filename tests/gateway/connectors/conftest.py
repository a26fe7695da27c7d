import time
from types import SimpleNamespace
from uuid import uuid4

import jsonschema
import pytest

from audit.core.canonical import canonical
from gateway.connector import CallContext
from gateway.connectors.git import Git
from tests.gateway.connectors.repositories import Repo


@pytest.fixture
def roots(tmp_path):
    folder = tmp_path / "roots"
    folder.mkdir()
    return folder


@pytest.fixture
def repo(roots):
    return Repo(roots / "repo")


@pytest.fixture
def site(tmp_path, roots):
    """The settings a connector is given."""
    return SimpleNamespace(WORKA_REPOSITORY_ROOTS=[str(roots)], WORKA_HOME=str(tmp_path / "home"))


@pytest.fixture
def git(repo, site):
    """Call a git skill on `repo`; the answer must be of the skill's schema and have a canonical form."""
    specs = {spec.verb: spec for spec in Git.skills}

    def call(verb, *, seconds=30, **arguments):
        arguments = {"repository": str(repo.path), **arguments}
        context = CallContext(uuid4(), uuid4(), lambda _: b"", time.monotonic() + seconds, site)
        outcome = Git().call(verb, arguments, context)
        canonical(outcome.output)
        jsonschema.validate(outcome.output, specs[verb].output_schema)
        assert outcome.taint == frozenset()
        return outcome.output

    return call
