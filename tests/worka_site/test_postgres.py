"""The private PostgreSQL: started, adopted, killed and stopped for real."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest

from worka_site.postgres import Postgres, PostgresUnavailable, programs


@pytest.fixture
def tmp_path():
    """A folder with a short name: pytest's own are too long for a socket in them."""
    folder = Path(tempfile.mkdtemp(prefix="wpg-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def made_before():
    """A data folder as initdb leaves it, made once."""
    home = Path(tempfile.mkdtemp(prefix="wpg-"))
    server = Postgres(home / "pg", home / "run" / "pg", home / "postgres.log")
    server.start()
    server.stop()
    yield server.data
    shutil.rmtree(home)


@pytest.fixture
def server(tmp_path, made_before):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    shutil.copytree(made_before, home / "pg")
    found = Postgres(home / "pg", home / "run" / "pg", home / "logs" / "postgres.log")
    yield found
    found.stop()


def test_it_starts_once_and_is_adopted_afterwards(server):
    assert server.start() is True
    pid = server.process().pid

    assert server.start() is False
    assert server.process().pid == pid
    assert server.create_database() is True
    assert server.create_database() is False


def test_it_is_durable_closed_to_others_and_listens_on_no_port(server):
    server.start()

    with server.connect() as connection:
        shown = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in (
            "fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "data_directory_mode",
        )}  # fmt: skip
    assert shown == {
        "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "listen_addresses": "", "data_directory_mode": "0700",
    }  # fmt: skip
    assert stat.S_IMODE(server.sockets.stat().st_mode) == 0o700
    assert [each for each in server.process().net_connections() if each.family != 1] == []


def test_the_first_start_changes_the_mode_of_no_folder_above_the_data(server, tmp_path):
    shutil.rmtree(server.data)
    tmp_path.chmod(0o700)

    server.start()

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.data.parent.stat().st_mode) == 0o700
    assert {path.stat().st_uid for path in server.data.iterdir()} == {os.geteuid()}


def test_what_was_committed_survives_a_kill_of_everything(server):
    server.start()
    with server.connect() as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('still here')")
    whole = [*server.process().children(recursive=True), server.process()]

    for process in whole:
        # The others end by themselves when one of them is killed.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    started = server.start()

    assert started is True
    with server.connect() as connection:
        assert connection.execute("SELECT word FROM kept").fetchone() == ("still here",)


def test_it_starts_where_the_number_of_a_killed_server_belongs_to_somebody_else(server):
    server.start()
    server.stop()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (server.data / "postmaster.pid").write_text(
            f"{stranger.pid}\n{server.data}\n1\n5432\n{server.sockets}\n\n0 0\nready\n"
        )

        assert server.process() is None
        assert server.stop() is False
        assert stranger.poll() is None
        assert server.start() is True
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_first_start_that_was_killed_half_way_is_made_again(server):
    server.start()
    server.stop()
    fresh = server.data.with_name("pg.new")
    server.data.rename(fresh)
    (fresh / "PG_VERSION").unlink()

    assert server.start() is True

    assert not fresh.exists()


def test_stopping_ends_open_sessions_and_loses_nothing(server):
    server.start()
    session = server.connect()
    session.execute("CREATE TABLE kept (word text)")

    assert server.stop() is True

    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    session.close()
    assert server.process() is None
    server.start()
    with server.connect() as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_it_outlives_the_process_that_started_it(server):
    code = (
        "import sys; from pathlib import Path; from worka_site.postgres import Postgres\n"
        "Postgres(*map(Path, sys.argv[1:])).start()\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(server.data), str(server.sockets), str(server.log_file)]

    died = subprocess.run(command, check=False, cwd=Path(__file__).parents[2]).returncode

    assert died == -signal.SIGKILL
    assert server.start() is False
    assert psutil.Process(server.process().pid).ppid() != os.getpid()


def test_data_of_another_version_is_not_touched(server):
    server.start()
    server.stop()
    (server.data / "PG_VERSION").write_text("12\n")

    with pytest.raises(PostgresUnavailable, match="made by PostgreSQL 12"):
        server.start()


def test_the_end_of_the_log_is_shown_when_it_does_not_start(server):
    broken = Postgres(server.data, server.sockets, server.log_file, {"shared_buffers": "a lot"})

    with pytest.raises(PostgresUnavailable, match="shared_buffers"):
        broken.start()


def test_the_programs_for_backup_are_there():
    assert {"postgres", "initdb", "psql", "pg_dump", "pg_restore"} <= {path.name for path in programs().iterdir()}
