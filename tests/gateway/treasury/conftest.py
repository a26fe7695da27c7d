"""A house for the module; what a test does in it is rolled back."""

from collections.abc import Iterator

import pytest
from django.db import transaction

from tests.gateway.live import Stages, database_from
from tests.gateway.treasury.bank import GITHUB_POLICY
from tests.people import House, use_policy
from tests.wire.github import GitHubStub, github_stub


@pytest.fixture(scope="module")
def treasury_database(stages: Stages, django_db_blocker) -> Iterator[House]:
    made = stages.at_unblocked("house", django_db_blocker)
    with django_db_blocker.unblock(), database_from(stages.cluster, made.database):
        use_policy(made.house.workspace, GITHUB_POLICY)
        yield made.house


@pytest.fixture
def house(treasury_database: House, django_db_blocker) -> Iterator[House]:
    """The people of acme; nothing is connected yet."""
    with django_db_blocker.unblock(), transaction.atomic():
        for name in ("dora", "olga"):
            getattr(treasury_database, name).refresh_from_db()
        yield treasury_database
        transaction.set_rollback(True)


@pytest.fixture
def github() -> Iterator[GitHubStub]:
    with github_stub() as stub:
        yield stub
