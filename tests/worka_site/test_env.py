"""The environment: what is wrong in it is said at once, with help; secrets are not repeated."""

import os
import socket

import pytest

from audit.core.addresses import is_loopback
from worka_site.env import (
    LONGEST_SOCKET_PATH,
    BadEnvironment,
    database_settings,
    own_folder,
    own_socket_folder,
    read_environment,
)


def test_an_empty_environment_gives_the_defaults():
    env = read_environment({"PORT": "", "WORKA_HOME": ""})

    assert (env.port, env.host, env.is_embedded, env.allow_unsandboxed) == (8000, "127.0.0.1", True, False)
    assert env.url == "http://127.0.0.1:8000"
    assert env.home.name == ".worka"


def test_everything_that_is_wrong_is_said_at_once_with_what_it_is_and_what_to_do():
    with pytest.raises(BadEnvironment) as refused:
        read_environment({"PORT": "abc", "WORKA_TICK_INTERVAL_S": "0", "WORKA_REPOSITORY_ROOTS": "/nowhere/at/all"})

    text = str(refused.value)
    assert "PORT = 'abc'" in text
    assert "WORKA_TICK_INTERVAL_S" in text
    assert "no such folder: /nowhere/at/all" in text
    assert text.count("What is wrong:") == 3
    assert "Unset it to use the default: 8000." in text


def test_a_secret_that_is_wrong_is_not_repeated():
    with pytest.raises(BadEnvironment) as refused:
        read_environment({"DATABASE_URL": "mysql://root:hunter2@db/worka"})

    assert "hunter2" not in str(refused.value)
    assert "postgresql://" in str(refused.value)


def test_a_value_may_stand_in_a_file(tmp_path):
    (tmp_path / "key").write_text("  a key from a mounted secret \n")

    env = read_environment({"WORKA_SECRET_KEY_FILE": str(tmp_path / "key")})

    assert env.secret_key == "a key from a mounted secret"


def test_a_value_and_its_file_together_are_refused(tmp_path):
    (tmp_path / "key").write_text("one")

    with pytest.raises(BadEnvironment, match="Both WORKA_SECRET_KEY and WORKA_SECRET_KEY_FILE"):
        read_environment({"WORKA_SECRET_KEY_FILE": str(tmp_path / "key"), "WORKA_SECRET_KEY": "two"})


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BadEnvironment, match="cannot be read"):
        read_environment({"DATABASE_URL_FILE": str(tmp_path / "missing")})


def test_lists_are_split_and_folders_resolved(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")

    env = read_environment(
        {
            "WORKA_REPOSITORY_ROOTS": f"{tmp_path / 'a'}{os.pathsep}{tmp_path / 'b'}",
            "WORKA_ALLOWED_HOSTS": "a.example.com, b.example.com,",
            "WORKA_BACKEND_OPTIONS": "slots=2, quiet=yes",
        }
    )

    assert env.repository_roots == ((tmp_path / "a").resolve(),) * 2
    assert env.allowed_hosts == ("a.example.com", "b.example.com")
    assert env.backend_options == {"slots": "2", "quiet": "yes"}


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (
            "postgresql://ada:p%40ss@db.example.com:6543/wor%20ka",
            ("db.example.com", "6543", "ada", "p@ss", "wor ka", {}),
        ),
        ("postgres://ada@db/worka?sslmode=require", ("db", "", "ada", "", "worka", {"sslmode": "require"})),
        ("postgresql://ada@/worka?host=/run/pg", ("/run/pg", "", "ada", "", "worka", {})),
    ],
)
def test_a_data_base_url_is_taken_apart(url, wanted):
    found = database_settings(url)

    assert (found["HOST"], found["PORT"], found["USER"], found["PASSWORD"], found["NAME"], found["OPTIONS"]) == wanted


@pytest.mark.parametrize("url", ["sqlite:///x", "postgresql://db", "postgresql://db/", "nonsense"])
def test_what_is_no_postgresql_url_is_refused(url):
    with pytest.raises(BadEnvironment, match="DATABASE_URL"):
        read_environment({"DATABASE_URL": url})


@pytest.mark.parametrize(("host", "near"), [
    ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True),
    ("0.0.0.0", False), ("10.0.0.1", False), ("worka.example.com", False), ("localhost.example.com", False),
])  # fmt: skip
def test_loopback_is_told_from_what_others_reach(host, near):
    assert is_loopback(host) is near


def test_sockets_of_a_home_with_a_long_path_lie_where_they_can_be_bound(tmp_path):
    home = tmp_path / ("long-" * 20) / "home"
    env = read_environment({"WORKA_HOME": str(home), "XDG_RUNTIME_DIR": str(tmp_path)})

    folder = own_socket_folder(env.socket_folder("door"), 0o711)

    assert not folder.is_relative_to(home)
    assert len(os.fsencode(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH
    assert (folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777) == (0o711, 0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "door.sock"))


def test_two_homes_with_long_paths_do_not_share_sockets(tmp_path):
    homes = [tmp_path / ("long-" * 20) / name for name in ("one", "two")]

    folders = {read_environment({"WORKA_HOME": str(home)}).socket_folder("pg") for home in homes}

    assert len(folders) == 2


def test_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BadEnvironment, match="not a folder of this user"):
        own_folder(tmp_path / "link")


def test_a_folder_of_ours_is_closed_to_others(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)

    own_folder(tmp_path / "open")

    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("name", "value"), [
    ("WORKA_WEBHOOK_URL", "http://hooks.example.com/?key=canary"),
    ("WORKA_OTLP_ENDPOINT", "https://me:canary@otel.example.com"),
    ("WORKA_OTLP_HEADERS", "canary"),
])  # fmt: skip
def test_an_address_that_nothing_may_be_sent_to_is_refused_and_not_repeated(name, value):
    with pytest.raises(BadEnvironment) as refused:
        read_environment({name: value})

    assert name in str(refused.value)
    assert "canary" not in str(refused.value)


def test_what_is_sent_elsewhere_is_read_with_its_secrets_from_files(tmp_path):
    (tmp_path / "secret").write_text("whsec_abc\n")

    env = read_environment({
        "WORKA_WEBHOOK_SECRET_FILE": str(tmp_path / "secret"),
        "WORKA_OTLP_HEADERS": "api-key=a=b, tenant = 7",
        "WORKA_LANGFUSE_HOST": "https://langfuse.example.com/",
        "WORKA_SINK_CA_FILE": "/etc/worka/ca.pem",
    })  # fmt: skip

    assert (env.webhook_secret, env.otlp_headers) == ("whsec_abc", {"api-key": "a=b", "tenant": "7"})
    assert (env.langfuse_host, str(env.sink_ca_file)) == ("https://langfuse.example.com", "/etc/worka/ca.pem")
