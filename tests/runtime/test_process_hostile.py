"""Agents that mean harm: each is stopped or refused, and what it did is told apart."""

import time

import pytest

from runtime.core.jobs import Ended
from tests.runtime.conftest import MIB, Workbench, processes_of

pytestmark = pytest.mark.sandbox


def test_an_agent_that_hangs_is_ended_by_the_clock(bench: Workbench):
    seen, _ = bench.run("import time; time.sleep(600)", wall_s=1)

    assert (seen.ended, seen.detail) == (Ended.TIMED_OUT, "it ran longer than the 1 seconds that it may")
    assert processes_of("worka-test-0") == []


def test_an_agent_that_ignores_every_signal_is_ended_by_the_clock(bench: Workbench):
    seen, _ = bench.run(
        """
        import signal, time
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        time.sleep(600)
    """,
        wall_s=1,
    )

    assert seen.ended is Ended.TIMED_OUT


def test_an_agent_that_ends_with_the_clocks_own_code_has_only_exited(bench: Workbench):
    seen, _ = bench.run("raise SystemExit(124)")

    assert (seen.ended, seen.exit_code) == (Ended.EXITED, 124)


def test_an_agent_that_forks_without_end_is_refused_and_leaves_nothing(each_way: Workbench):
    name = each_way.start(
        """
        import os, time
        children = 0
        try:
            while True:
                if os.fork() == 0:
                    time.sleep(600)
                    os._exit(0)
                children += 1
        except OSError as error:
            print(f"refused after {children}", flush=True)
        time.sleep(600)
    """,
        pids=24,
    )

    log = each_way.printed(name, "\n")
    assert 10 < int(log.split()[2]) < 24
    running = processes_of(name)
    assert len(running) > 10

    each_way.backend.kill(name)
    assert each_way.ended(name).ended is Ended.KILLED
    assert not any(process.is_running() for process in running)


def test_a_fork_bomb_cannot_outrun_a_kill(each_way: Workbench):
    name = each_way.start(
        """
        import os
        print("boom", flush=True)
        while True:
            try: os.fork()
            except OSError: pass
    """,
        pids=40,
    )
    each_way.printed(name, "boom")
    time.sleep(0.3)

    each_way.backend.kill(name)

    assert each_way.ended(name).ended is Ended.KILLED
    assert processes_of(name) == []


def test_a_child_that_leaves_session_and_parent_ends_with_the_agent(bench: Workbench):
    seen, log = bench.run("""
        import os, time
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(writer, b"x")
                time.sleep(600)
            os._exit(0)
        os.read(reader, 1)
        print("left behind")
    """)

    assert (seen.ended, seen.exit_code, log) == (Ended.EXITED, 0, "left behind\n")
    assert processes_of("worka-test-0") == []


def test_an_agent_that_eats_memory_is_told_apart_as_such(each_way: Workbench):
    seen, log = each_way.run(
        """
        kept = []
        while True:
            kept.append(bytearray(8 * 2**20))
    """,
        memory_bytes=96 * MIB,
    )

    assert seen.ended is Ended.OOM, (seen, log)
    assert seen.detail == "it used more than the 96 MiB of memory that it may"
    assert seen.peak_memory_bytes and seen.peak_memory_bytes > 48 * MIB


def test_children_that_eat_memory_together_are_counted_together(each_way: Workbench):
    seen, log = each_way.run(
        """
        import os, time
        for _ in range(6):
            if os.fork() == 0:
                kept = bytearray(b"x") * (24 * 2**20)
                time.sleep(600)
        time.sleep(600)
    """,
        memory_bytes=100 * MIB,
    )

    assert seen.ended is Ended.OOM, (seen, log)


def test_memory_that_children_only_share_is_counted_once(each_way: Workbench):
    seen, log = each_way.run(
        """
        import os, time
        kept = bytearray(b"x") * (40 * 2**20)
        children = []
        for _ in range(6):
            pid = os.fork()
            if pid == 0:
                time.sleep(0.5)
                os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        print("shared")
    """,
        memory_bytes=140 * MIB,
    )

    assert (seen.ended, seen.exit_code, log) == (Ended.EXITED, 0, "shared\n"), seen


def test_an_agent_that_writes_a_gigabyte_is_refused_everywhere(bench: Workbench):
    seen, log = bench.run(
        """
        import os
        block = bytes(2**20)
        for folder in ("~", "/tmp", "/dev/shm", "/", "/dev", "/opt/worka/code", "/run", "/run/worka/door", "/usr", "/etc", "/proc", "/home"):
            written = 0
            try:
                for number in range(64):
                    with open(os.path.expanduser(f"{folder}/big-{number}"), "wb") as file:
                        for _ in range(16):
                            written += file.write(block)
            except OSError as error:
                print(folder, written >> 20, type(error).__name__)
            else:
                print(folder, "a gigabyte fits")
    """,
        disk_bytes=12 * MIB,
    )

    assert seen.exit_code == 0
    assert "fits" not in log
    written = {line.split()[0]: int(line.split()[1]) for line in log.splitlines()}
    assert len(written) == 12
    assert all(amount <= 12 for amount in written.values())
    assert [folder for folder, amount in written.items() if amount] == ["~", "/dev/shm"]


def test_an_agent_that_prints_without_end_fills_no_disk_and_its_first_and_last_words_are_kept(bench: Workbench):
    name = bench.start(
        """
        import sys
        print("the first words")
        for _ in range(300):
            sys.stdout.write("x" * 2**20 + "\\n")
        print("the last words")
    """,
        log_bytes=100_000,
    )
    seen = bench.ended(name)

    log = bench.backend.logs(name)
    folder = bench.backend.jobs / name
    assert (seen.ended, seen.exit_code) == (Ended.EXITED, 0)
    assert log.startswith("the first words\n")
    assert log.endswith("x\nthe last words\n")
    assert " bytes were left out ...]" in log
    assert len(log) < 101_000
    assert sum(file.stat().st_size for file in folder.iterdir()) < 120_000


def test_a_log_can_be_read_while_the_agent_runs(bench: Workbench):
    name = bench.start("import time; print('so far'); time.sleep(600)")

    assert bench.printed(name, "so far\n") == "so far\n"


def test_a_program_that_is_not_there_is_an_exit_with_a_word(bench: Workbench):
    seen, log = bench.run("import os; os.execvp('no-such-program', ['no-such-program'])")

    assert (seen.ended, seen.exit_code) == (Ended.EXITED, 1)
    assert "FileNotFoundError" in log


def test_a_crash_is_told_apart_from_an_exit(bench: Workbench):
    seen, _ = bench.run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")

    assert (seen.ended, seen.exit_code, seen.detail) == (Ended.SIGNALLED, 139, "it was ended by SIGSEGV")
