"""What the tests of the SDK and of the agents share: a door, an agent that speaks to it, and a clock that only jumps."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.door_double import TOKEN, DoorDouble, DoorServer
from worka.agent import Agent
from worka.wire import Wire


class FastTime:
    """A clock that moves only when somebody sleeps, and says for how long they did."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


@pytest.fixture
def fast_time() -> FastTime:
    return FastTime()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: the path of a Unix socket has room for 107 bytes only, and tmp_path may be longer."""
    with tempfile.TemporaryDirectory(prefix="door-") as made:
        yield Path(made)


@pytest.fixture(scope="session")
def shared_door() -> Iterator[DoorServer]:
    with tempfile.TemporaryDirectory(prefix="door-") as made:
        server = DoorServer(Path(made) / "door.sock")
        server.open()
        yield server
        server.close()


@pytest.fixture
def door(shared_door: DoorServer) -> Iterator[DoorDouble]:
    double = shared_door.double = DoorDouble(shared_door.double.socket_path)
    yield double
    assert double.violations == []


@pytest.fixture
def environ(door: DoorDouble, tmp_path: Path) -> dict[str, str]:
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o400)
    return {
        "WORKA_GATEWAY_URL": door.url,
        "WORKA_TOKEN_FILE": str(token),
        "WORKA_RUN_ID": "run-1",
        "WORKA_STEP_ID": "step-1",
        "WORKA_JOB": "worka-step-1-1",
        "TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }


@pytest.fixture
def agent(door: DoorDouble, fast_time: FastTime) -> Iterator[Agent]:
    wire = Wire(door.url, TOKEN, sleep=fast_time.sleep, clock=fast_time.clock)
    with Agent(wire, heartbeat_s=3600) as speaking:
        yield speaking
