"""The promises of runtime/backend.py, kept by every file in runtime/backends/ that can run here, and by the fake."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.backend import Backend, BackendSettings, all_backends
from runtime.core.jobs import Ended, JobSpec, Phase, Seen
from tests.fakes import FakeBackend

ECHO = JobSpec("worka-echo-1", ("sh", "-c", "echo hello; echo there >&2; exit 3"), token="t")
SLEEP = JobSpec("worka-sleep-1", ("sleep", "60"), token="t")
PATIENCE_S = 20

pytestmark = pytest.mark.sandbox


@pytest.fixture(params=[*all_backends().values(), FakeBackend], ids=lambda plugin: plugin.__name__)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    (tmp_path / "door").mkdir()
    settings = BackendSettings(tmp_path / "jobs", tmp_path / "runtime", tmp_path / "door" / "door.sock")
    made = request.param.from_settings(settings)
    assert made.unavailable() == ""
    yield made
    for name in made.names():
        made.forget(name)


def ended(backend: Backend, spec: JobSpec) -> Seen:
    """Wait for the end; the fake's agent is played here."""
    if isinstance(backend, FakeBackend) and spec is ECHO and backend.observe(spec.name).phase is Phase.RUNNING:
        backend.finish(spec.name, 3, "hello\nthere\n")
    until = time.monotonic() + PATIENCE_S
    while (seen := backend.observe(spec.name)).phase is not Phase.ENDED:
        assert time.monotonic() < until, f"{spec.name} never ended"
        time.sleep(0.01)
    return seen


def test_a_job_never_submitted_is_unknown(backend: Backend):
    assert backend.observe("nobody") == Seen(Phase.UNKNOWN)
    assert backend.logs("nobody") == ""
    assert list(backend.names()) == []


def test_a_submitted_job_is_seen_as_soon_as_submit_returns(backend: Backend):
    backend.submit(SLEEP)

    assert backend.observe(SLEEP.name).phase is Phase.RUNNING
    assert list(backend.names()) == [SLEEP.name]


def test_the_exit_code_and_what_was_printed_come_back(backend: Backend):
    backend.submit(ECHO)

    seen = ended(backend, ECHO)

    assert (seen.ended, seen.exit_code, seen.detail) == (Ended.EXITED, 3, "it exited with code 3")
    assert backend.logs(ECHO.name) == "hello\nthere\n"
    assert seen.started_at and seen.ended_at and seen.started_at <= seen.ended_at


def test_submitting_twice_starts_one_job(backend: Backend):
    backend.submit(ECHO)
    before = ended(backend, ECHO)

    backend.submit(ECHO)

    assert backend.observe(ECHO.name) == before
    assert backend.logs(ECHO.name) == "hello\nthere\n"


def test_submitting_at_once_from_many_threads_starts_one_job(backend: Backend):
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(backend.submit, [ECHO] * 6))

    ended(backend, ECHO)
    assert backend.logs(ECHO.name) == "hello\nthere\n"
    assert list(backend.names()) == [ECHO.name]


def test_a_killed_job_stops_and_may_be_killed_again(backend: Backend):
    backend.submit(SLEEP)
    backend.kill(SLEEP.name)
    backend.kill(SLEEP.name)

    assert ended(backend, SLEEP).ended is Ended.KILLED
    backend.kill(SLEEP.name)
    assert backend.observe(SLEEP.name).ended is Ended.KILLED


def test_killing_what_has_ended_or_never_was_changes_nothing(backend: Backend):
    backend.submit(ECHO)
    before = ended(backend, ECHO)

    backend.kill(ECHO.name)
    backend.kill("nobody")

    assert backend.observe(ECHO.name) == before
    assert backend.observe("nobody").phase is Phase.UNKNOWN


def test_a_forgotten_job_is_unknown_and_may_be_forgotten_again(backend: Backend):
    backend.submit(ECHO)
    ended(backend, ECHO)
    backend.forget(ECHO.name)
    backend.forget(ECHO.name)

    assert backend.observe(ECHO.name).phase is Phase.UNKNOWN
    assert backend.logs(ECHO.name) == ""
    assert list(backend.names()) == []


def test_a_running_job_that_is_forgotten_is_gone(backend: Backend):
    backend.submit(SLEEP)
    backend.forget(SLEEP.name)

    assert backend.observe(SLEEP.name).phase is Phase.UNKNOWN
    assert list(backend.names()) == []


def test_a_start_and_an_end_ring_the_bell_and_silence_means_nothing_new(backend: Backend):
    backend.submit(ECHO)
    assert backend.changed()
    ended(backend, ECHO)
    assert backend.changed()

    assert not backend.changed()


@pytest.mark.parametrize("name", ["../door", "", "a/b", "."])
def test_a_name_that_is_none_is_refused_by_every_verb(backend: Backend, name: str):
    for verb in (backend.observe, backend.kill, backend.logs, backend.forget):
        with pytest.raises(ValueError, match="is no name"):
            verb(name)


def test_every_limit_says_how_it_is_held(backend: Backend):
    for limit in backend.limits_in_force():
        assert limit.what
        assert limit.how
