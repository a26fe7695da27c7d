"""The cage itself: what a program sees inside, and that it ends."""

import os
import socket
import time

import psutil
import pytest

from gateway.cage import Cage, run

pytestmark = pytest.mark.sandbox


def caged(*command, seconds=10.0, most=100_000, **cage):
    return run(command, Cage(**cage), deadline=time.monotonic() + seconds, most_bytes=most)


def shell(script, **more):
    return caged("/bin/sh", "-c", script, may_start_programs=True, **more)


def test_status_output_and_errors_come_back():
    ended = shell("echo out; echo err >&2; exit 3")

    assert (ended.status, ended.stdout, ended.stderr) == (3, b"out\n", b"err\n")
    assert (ended.truncated, ended.timed_out) == (False, False)


def test_input_reaches_the_program():
    ended = run(["/bin/cat"], Cage(), deadline=time.monotonic() + 10, most_bytes=10**6, stdin=b"x" * 200_000)

    assert ended.stdout == b"x" * 200_000


def test_a_program_cannot_start_another_unless_it_may():
    assert caged("/bin/sh", "-c", "/bin/true; echo started").stdout == b""
    assert shell("/bin/true; echo started").stdout == b"started\n"


def test_only_what_is_shown_is_there_and_nothing_can_be_written(tmp_path):
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "file").write_text("text")
    (tmp_path / "secret").write_text("secret")

    ended = shell(
        f"cat /place/file; cat {tmp_path}/secret; ls /proc /root /home /etc /var /work; "
        "for place in / /place /usr /dev; do echo x > $place/canary && echo wrote $place; done",
        shows={str(tmp_path / "shown"): "/place"},
    )

    assert ended.stdout.splitlines() == [b"text/etc:", b"ld.so.cache"]
    assert os.listdir(tmp_path / "shown") == ["file"]
    assert not os.path.exists("/dev/canary")


def test_a_writable_place_can_be_written(tmp_path):
    shell("echo x > /place/made", writable={str(tmp_path): "/place"})

    assert (tmp_path / "made").read_text() == "x\n"


def test_hidden_folders_are_empty_in_every_shown_place(tmp_path):
    (tmp_path / "a" / "home").mkdir(parents=True)
    (tmp_path / "a" / "home" / "key").write_text("secret")

    ended = shell(
        "ls -A /place/home /deep/a/home; echo x > /place/home/new && echo wrote",
        shows={str(tmp_path / "a"): "/place", str(tmp_path): "/deep"},
        hides=(tmp_path / "a" / "home", tmp_path / "elsewhere"),
    )

    assert ended.stdout.split() == [b"/deep/a/home:", b"/place/home:"]


def test_nothing_of_the_servers_environment_is_passed(monkeypatch):
    monkeypatch.setenv("WORKA_SECRET", "x")

    ended = shell("env", environment={"GIVEN": "yes"})

    assert {line.split(b"=")[0] for line in ended.stdout.splitlines()} == {b"PATH", b"GIVEN", b"PWD"}


def test_there_is_no_network_and_no_door_to_the_host(tmp_path):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "door"))
    listening.listen()
    script = (
        "import socket\n"
        "for family, place in ((socket.AF_INET, ('127.0.0.1', 22)), (socket.AF_UNIX, '/place/door')):\n"
        "    try:\n"
        "        socket.socket(family).connect(place); print('connected')\n"
        "    except OSError as error: print(type(error).__name__)\n"
    )

    ended = caged("/usr/bin/python3", "-S", "-c", script, shows={str(tmp_path): "/place"})
    listening.close()

    assert ended.stdout.split() == [b"PermissionError", b"PermissionError"], ended.stderr


def test_root_outside_has_no_powers_inside():
    ended = shell(
        "mount -t tmpfs none /dev; umount /dev; unshare -U true && echo unshared; chroot / true && echo rooted"
    )

    assert ended.stdout == b""


def test_it_ends_at_its_deadline_with_everything_it_started():
    started = time.monotonic()

    ended = shell("(sleep 61.775 & sleep 61.775) ; true", seconds=0.5)

    assert ended.timed_out
    assert time.monotonic() - started < 5
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _running("61.775"):
        time.sleep(0.05)
    assert _running("61.775") == []


def test_it_ends_at_its_deadline_after_closing_its_output():
    assert shell("exec >&- 2>&-; sleep 60", seconds=0.5).timed_out


def test_it_is_stopped_when_it_has_written_enough():
    ended = caged("/usr/bin/yes", most=10_000)

    assert (len(ended.stdout), ended.truncated, ended.timed_out) == (10_000, True, False)


def test_endless_errors_fill_no_memory():
    ended = shell("i=0; while [ $i -lt 20000 ]; do echo 0123456789 >&2; i=$((i+1)); done; echo done")

    assert (ended.stdout, len(ended.stderr)) == (b"done\n", 16 * 1024)


def test_memory_is_bounded():
    script = "x = bytearray(600 * 1024 * 1024)"

    ended = caged("/usr/bin/python3", "-S", "-c", script, memory_bytes=400 * 1024 * 1024)

    assert ended.status == 1
    assert b"MemoryError" in ended.stderr


def test_no_descriptor_of_the_server_is_left_open():
    with open("/etc/passwd", "rb") as secret:
        os.set_inheritable(secret.fileno(), True)
        ended = caged(
            "/usr/bin/python3",
            "-S",
            "-c",
            "import os\nfor n in range(3, 64):\n try: os.fstat(n); print(n)\n except OSError: pass",
        )

    assert ended.stdout == b"", "these descriptors are open inside"


def _running(argument):
    return [process for process in psutil.process_iter(["cmdline"]) if argument in (process.info["cmdline"] or [])]
