"""Agents that look around: they see what they were given, reach the door, and nothing else."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.runtime.conftest import Listener, Workbench, processes_of

pytestmark = pytest.mark.sandbox


def test_an_agent_that_opens_sockets_is_refused(bench: Workbench):
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen, log = bench.run(f"""
            import errno, socket
            for family in range(2, 46):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
                    try:
                        socket.socket(family, kind)
                    except OSError as error:
                        if error.errno != errno.EAFNOSUPPORT: print("other", family, error)
                    else:
                        print("opened", family)
            try:
                socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), timeout=2)
            except OSError as error:
                print(errno.errorcode[error.errno])
        """)

    assert (seen.exit_code, log) == (0, "EAFNOSUPPORT\n")


def test_an_agent_reaches_the_door_and_is_known_there_as_its_own_user(
    bench: Workbench, listen: Callable[[str], Listener]
):
    door = listen(str(bench.door))

    seen, log = bench.run("""
        import os, socket
        url = os.environ["WORKA_GATEWAY_URL"]
        door = socket.socket(socket.AF_UNIX)
        door.connect(url.removeprefix("http+unix://"))
        print(url, door.recv(5).decode())
    """)

    assert (seen.exit_code, log) == (0, "http+unix:///run/worka/door/door.sock hello\n")
    assert len(door.peers) == 1
    assert door.peers[0] == os.getuid() or 62000 <= door.peers[0] < 62256
    assert door.peers[0] != 0


def test_a_door_that_is_opened_again_is_reached_by_the_same_job(bench: Workbench, listen: Callable[[str], Listener]):
    listen(str(bench.door))
    name = bench.start("""
        import os, socket, time
        path = os.environ["WORKA_GATEWAY_URL"].removeprefix("http+unix://")
        def knock():
            with socket.socket(socket.AF_UNIX) as door:
                door.connect(path)
                return door.recv(5).decode()
        print("first", knock(), flush=True)
        while not os.path.exists("/run/worka/door/again"): time.sleep(0.01)
        print("second", knock())
    """)
    bench.printed(name, "first hello")

    bench.door.unlink()
    listen(str(bench.door))
    (bench.door.parent / "again").touch()

    assert bench.ended(name).exit_code == 0
    assert "second hello" in bench.backend.logs(name)


def test_an_agent_cannot_take_the_doors_place(bench: Workbench, listen: Callable[[str], Listener]):
    listen(str(bench.door))

    _, log = bench.run("""
        import os
        for attempt in (lambda: os.unlink("/run/worka/door/door.sock"), lambda: os.rename("/run/worka/door", "/run/worka/x"),
                        lambda: os.chmod("/run/worka/door/door.sock", 0o777), lambda: os.unlink("/run/worka/token")):
            try: attempt(); print("done")
            except OSError as error: print(type(error).__name__)
    """)

    assert "done" not in log
    assert len(log.splitlines()) == 4
    assert bench.door.exists()


def test_an_agent_cannot_talk_to_the_data_base(bench: Workbench, listen: Callable[[str], Listener]):
    (bench.home / "pg").mkdir()
    on_disk, abstract = (
        listen(str(bench.home / "pg" / ".s.PGSQL.5432")),
        listen(f"\0worka-test-{os.getpid()}-{time.time_ns()}"),
    )

    seen, log = bench.run(f"""
        import socket
        for path in ({on_disk.path!r}, {abstract.path!r}, "/var/run/postgresql/.s.PGSQL.5432", "/run/postgresql/.s.PGSQL.5432"):
            with socket.socket(socket.AF_UNIX) as attempt:
                try: attempt.connect(path); print("connected")
                except OSError as error: print(type(error).__name__)
    """)

    assert seen.exit_code == 0
    assert log.split() == ["FileNotFoundError", "ConnectionRefusedError", "FileNotFoundError", "FileNotFoundError"]
    assert on_disk.peers == abstract.peers == []


def test_an_agent_that_reads_the_hosts_files_finds_none(bench: Workbench):
    secret = bench.home / "secret"
    secret.write_text("the server's own")
    secret.chmod(0o644)
    open_to_all = Path("/var/tmp") / f"worka-test-{os.getpid()}"
    open_to_all.write_text("anybody's")

    try:
        seen, log = bench.run(f"""
            import os
            for path in ({str(secret)!r}, {str(open_to_all)!r}, "/etc/passwd", "/etc/shadow", "/etc/hostname", "/root", "/var", "/sys",
                         {str(bench.backend.jobs)!r}, {str(Path(__file__).resolve())!r}, "/proc/1/root/etc/passwd", "/dev/sda", "/dev/kmsg",
                         "/dev/mem", "/boot", "/srv", "/mnt", "/media", "/lost+found"):
                if os.path.exists(path): print("found", path)
            print(sorted(os.listdir("/etc")), sorted(os.listdir("/run")), sorted(os.listdir("/home")), os.listdir("/usr/local"))
            print(os.readlink("/proc/1/exe") if os.access("/proc/1/exe", os.R_OK) else "", os.uname().nodename)
        """)
    finally:
        open_to_all.unlink()

    assert seen.exit_code == 0
    assert "found" not in log
    assert log.splitlines()[0] == "['ld.so.cache'] ['worka'] ['agent'] []"
    assert log.split()[-1] == "agent"


def test_an_agent_sees_only_what_it_was_given(bench: Workbench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key of the server")

    seen, log = bench.run(
        """
        import os, pathlib
        print(*sorted(os.environ))
        print(os.environ["WORKA_JOB"], os.environ["HOME"], os.listdir(os.environ["HOME"]), os.listdir(os.environ["TMPDIR"]))
        token = pathlib.Path(os.environ["WORKA_TOKEN_FILE"])
        print(token.read_text(), oct(token.stat().st_mode), token.stat().st_uid == os.getuid())
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        print(sorted(set(pids) - {1, os.getpid()}))
        descriptors = set(os.listdir("/proc/self/fd")) - {"0", "1", "2"}
        print([os.readlink(f"/proc/self/fd/{each}") for each in descriptors if os.path.exists(f"/proc/self/fd/{each}")])
        print(any("the-token" in pathlib.Path(f"/proc/{pid}/{what}").read_text() for pid in ("self", 1) for what in ("environ", "cmdline")
              if os.access(f"/proc/{pid}/{what}", os.R_OK) ))
    """,
        token="the-token",
    )

    lines = log.splitlines()
    assert seen.exit_code == 0, log
    assert set(lines[0].split()) <= {
        "HOME",
        "LANG",
        "PATH",
        "PWD",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONNOUSERSITE",
        "PYTHONPATH",
        "PYTHONSAFEPATH",
        "PYTHONUNBUFFERED",
        "PYTHONUTF8",
        "TMPDIR",
        "TZ",
        "WORKA_GATEWAY_URL",
        "WORKA_JOB",
        "WORKA_TOKEN_FILE",
        "LC_CTYPE",
    }
    assert lines[1] == "worka-test-0 /home/agent ['tmp'] []"
    assert lines[2] == "the-token 0o100400 True"
    assert lines[3:5] == ["[]", "[]"]


def test_a_running_jobs_token_is_nowhere_on_the_host(bench: Workbench):
    name = bench.start("import time; print('up'); time.sleep(600)", token="a-token-to-look-for")
    bench.printed(name, "up")

    for file in (bench.backend.jobs / name).iterdir():
        assert b"a-token-to-look-for" not in file.read_bytes(), file
    for process in psutil.process_iter():
        try:
            assert "a-token-to-look-for" not in " ".join(process.cmdline())
        except psutil.Error:
            continue


FORBIDDEN = {
    "unshare": "libc.unshare(0x10000000)",
    "mount": "libc.mount(b'none', b'/home/agent', b'tmpfs', 0, None)",
    "ptrace": "libc.ptrace(0, 0, 0, 0)",
    "setns": "libc.setns(0, 0)",
    "chroot": "libc.chroot(b'/')",
    "clone a user namespace": "libc.syscall(56 if machine == 'x86_64' else 220, 0x10000000 | 17, 0, 0, 0, 0)",
    "clone3": "libc.syscall(435, 0, 0)",
    "keyctl": "libc.syscall(250 if machine == 'x86_64' else 219, 0, -3, 1)",
    "bpf": "libc.syscall(321 if machine == 'x86_64' else 280, 0, 0, 0)",
    "io_uring_setup": "libc.syscall(425, 8, 0)",
    "perf_event_open": "libc.syscall(298 if machine == 'x86_64' else 241, 0, 0, -1, -1, 0)",
    "memfd_create": "libc.memfd_create(b'x', 0)",
    "shmget": "libc.shmget(0, 4096, 0o1600)",
    "a call that nobody knows yet": "libc.syscall(470, 0)",
    "personality": "libc.personality(0x0040000)",
    "process_vm_readv": "libc.process_vm_readv(1, 0, 0, 0, 0, 0)",
}


def test_an_agent_has_no_privilege_and_no_way_to_more(bench: Workbench):
    seen, log = bench.run(f"""
        import ctypes, errno, os, platform
        libc, machine = ctypes.CDLL(None, use_errno=True), platform.machine()
        for name, call in {FORBIDDEN!r}.items():
            ctypes.set_errno(0)
            if eval(call) != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS): print("may", name, os.strerror(ctypes.get_errno()))
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        print(*(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")))
        print(status["NoNewPrivs"].strip(), status["Seccomp"].strip(), os.getuid(), os.getgroups() in ([], [65534], [1000]))
    """)

    assert seen.exit_code == 0, log
    assert log == "0 0 0 0 0\n1 2 1000 True\n"


def test_jobs_do_not_see_each_other(bench: Workbench):
    first = bench.start(
        """
        import os, time
        open(os.path.expanduser("~/mine"), "w").write("x"); open("/dev/shm/mine", "w").write("x")
        print("up", flush=True); time.sleep(600)
    """,
        token="of-the-first",
    )
    bench.printed(first, "up")

    seen, log = bench.run(
        """
        import os
        print(os.listdir(os.path.expanduser("~")), os.listdir("/dev/shm"), len([p for p in os.listdir("/proc") if p.isdigit()]))
    """,
        token="of-the-second",
    )

    assert (seen.exit_code, log) == (0, "['tmp'] [] 2\n")


def test_jobs_at_once_have_users_of_their_own_where_the_server_can_give_them(bench: Workbench):
    names = [bench.start("import time; print('up'); time.sleep(600)") for _ in range(3)]
    for name in names:
        bench.printed(name, "up")

    users = {process.uids().real for name in names for process in processes_of(name)}
    assert 0 not in users
    assert len(users) == 3 if os.geteuid() == 0 else users == {os.getuid()}
