"""The agents of a run, at the door."""

from collections.abc import Callable, Iterator

import pytest

from tests.gateway.door.visitors import Visitor, visit


@pytest.fixture
def planner(planning, door_socket) -> Iterator[Visitor]:
    """Hari, at work on a plan."""
    found = visit(door_socket, planning)
    yield found
    found.http.close()


@pytest.fixture
def visitor_of(working, door_socket) -> Iterator[Callable[[str], Visitor]]:
    """Return a function that gives the agent of a step."""
    made: list[Visitor] = []

    def of(ref: str) -> Visitor:
        made.append(visit(door_socket, working, ref))
        return made[-1]

    yield of
    for each in made:
        each.http.close()


@pytest.fixture
def ernest(visitor_of) -> Visitor:
    """Ernest, at work on the step `look`."""
    return visitor_of("look")
