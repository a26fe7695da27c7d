"""Servers in this process, and data bases that begin where a test needs them to."""

import asyncio
import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from socket import socket
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from starlette.types import ASGIApp

from governance.models import Run
from runtime import tasks
from tests import desk
from tests.database import Cluster
from tests.fakes import FakeBackend
from tests.journeys import Journey, journey
from tests.people import House
from tests.settings import TEST_HOME
from worka_site.embedded import Server, server_for

_lent = count()


@contextmanager
def serving(app: ASGIApp, listener: socket) -> Iterator[Server]:
    """Serve an application as the laptop does, in a thread, until the block ends."""
    server = server_for(app)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server has not started"
        yield server
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@contextmanager
def database_from(cluster: Cluster, template: str) -> Iterator[str]:
    """Work on a data base like this one, and give it back."""
    before, heads = connections.settings["default"]["NAME"], settings.WORKA_TREE_HEADS
    name = cluster.lend_like(template)
    settings.WORKA_TREE_HEADS = TEST_HOME / f"{name}-{next(_lent)}.jsonl"
    cluster.point_at(name)
    try:
        yield name
    finally:
        cluster.point_at(before)
        settings.WORKA_TREE_HEADS = heads
        cluster.take_back(name)


@dataclass
class Stage:
    """A data base with a journey on the way in it, and what of it is in memory."""

    database: str
    house: House
    backend: FakeBackend
    run_id: Any = None


@dataclass
class Stages:
    """The stages that tests begin from, each made once by the real actions: `house`, `planning`, `working`."""

    cluster: Cluster
    template: str
    made: dict[str, Stage] = field(default_factory=dict)

    def at(self, name: str) -> Stage:
        """Return a stage, made now if nobody needed it before."""
        if name not in self.made:
            self.made[name] = MAKERS[name](self)
        return self.made[name]

    def at_unblocked(self, name: str, blocker: Any) -> Stage:
        """Return a stage for a fixture that may not use the data base otherwise."""
        with blocker.unblock():
            return self.at(name)

    def drop(self) -> None:
        """Remove the data bases of all stages."""
        connections.close_all()
        for stage in self.made.values():
            self.cluster.drop(stage.database)

    @contextmanager
    def begin(self, name: str, patch: pytest.MonkeyPatch) -> Iterator[Journey]:
        """Go on from a stage, on a data base of its own."""
        stage = self.at(name)
        with database_from(self.cluster, stage.database):
            yield restored(stage, patch)

    @contextmanager
    def new(self, template: str) -> Iterator[str]:
        """Work on a clone that stays; what is sealed in it is told outside at a place of its own."""
        name = self.cluster.clone(template)
        before, heads = connections.settings["default"]["NAME"], settings.WORKA_TREE_HEADS
        settings.WORKA_TREE_HEADS = TEST_HOME / f"{name}-{next(_lent)}.jsonl"
        self.cluster.point_at(name)
        try:
            yield name
        finally:
            self.cluster.point_at(before)
            settings.WORKA_TREE_HEADS = heads


def restored(stage: Stage, patch: pytest.MonkeyPatch) -> Journey:
    """Return the journey of a stage as it was, on a backend of its own, with the desk as the only connector."""
    backend = copy.deepcopy(stage.backend)
    patch.setattr(tasks, "configured_backend", lambda: backend)
    patch.setattr("gateway.tools.all_connectors", lambda: {"desk": desk.Desk})
    patch.setattr(desk.Desk, "done", [])
    patch.setattr(desk.Desk, "fails", [])
    found = Journey(stage.house, backend)
    if stage.run_id:
        found.run = Run.objects.get(pk=stage.run_id)
    return found


def _house(stages: Stages) -> Stage:
    with stages.new(stages.template) as name, pytest.MonkeyPatch.context() as patch:
        j = journey(patch)
        return Stage(name, j.house, j.backend)


def _planning(stages: Stages) -> Stage:
    """A run that waits for its planner, whose job runs."""
    house = stages.at("house")
    with stages.new(house.database) as name, pytest.MonkeyPatch.context() as patch:
        j = restored(house, patch)
        j.ask("Look at the letters")
        return Stage(name, j.house, j.backend, j.run.pk)


def _working(stages: Stages) -> Stage:
    """A run with three steps at work: `look` (a reads, b peeks), `send` (c sends, which is held) and `tell` (a courier's)."""
    planning = stages.at("planning")
    with stages.new(planning.database) as name, pytest.MonkeyPatch.context() as patch:
        j = restored(planning, patch)
        j.propose(
            desk.step("look", ("a", "read", "letters"), ("b", "peek", "more"), ("w", "write", "forbidden")),
            desk.step("send", ("c", "send", "a letter"), ("s", "stamp", "a letter")),
            desk.step("tell", agent="daneel"),
        )
        return Stage(name, j.house, j.backend, j.run.pk)


MAKERS = {"house": _house, "planning": _planning, "working": _working}
