"""A world for each module; what a test does in it is rolled back."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import transaction

from tests import desk
from tests.gateway.api.world import World, furnish, more_people, the_robot
from tests.gateway.live import Stage, Stages, database_from, restored
from tests.journeys import Journey
from tests.people import build_house


@pytest.fixture(scope="session")
def world_stage(stages: Stages, django_db_blocker) -> World:
    """The data base of the world, made once."""
    house = stages.at_unblocked("house", django_db_blocker)
    with django_db_blocker.unblock(), stages.new(house.database) as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "WORKA_MAX_JOBS", 50)
        j = restored(house, patch)
        other = build_house("umbrella", policy=desk.POLICY, skills=desk.SKILLS)
        foreign = furnish(Journey(other, j.backend))
        people, robot = more_people(j.house), the_robot(j.house)
        own = furnish(j)
        stages.made["world"] = Stage(name, j.house, j.backend, own.run)
        return World(j.house, other, own, foreign, people, robot, j)


@pytest.fixture(scope="module")
def world_database(world_stage: World, stages: Stages, django_db_blocker) -> Iterator[str]:
    with django_db_blocker.unblock(), database_from(stages.cluster, stages.made["world"].database) as name:
        yield name


@pytest.fixture
def world(world_database: str, world_stage: World, stages: Stages, monkeypatch, django_db_blocker) -> Iterator[World]:
    """The world, in a transaction that is rolled back after the test."""
    with django_db_blocker.unblock(), transaction.atomic():
        monkeypatch.setattr(settings, "WORKA_MAX_JOBS", 50)
        j = restored(stages.made["world"], monkeypatch)
        made = world_stage
        yield World(made.house, made.other, made.own, made.foreign, made.people, made.robot, j)
        transaction.set_rollback(True)


@pytest.fixture
def living_world(world_stage: World, stages: Stages, monkeypatch, django_db_blocker) -> Iterator[World]:
    """The world on a data base of the test's own, committed: servers and threads see it."""
    monkeypatch.setattr(settings, "WORKA_MAX_JOBS", 50)
    with django_db_blocker.unblock(), stages.begin("world", monkeypatch) as j:
        made = world_stage
        yield World(made.house, made.other, made.own, made.foreign, made.people, made.robot, j)
