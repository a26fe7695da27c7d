"""How long a sandboxed agent takes to start: from `submit` to the first line of its program, and to its end."""

import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from runtime.backend import BackendSettings  # noqa: E402
from runtime.backends.process import Process  # noqa: E402
from runtime.core.jobs import JobSpec, Phase  # noqa: E402

JOBS = 20


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "door").mkdir()
        backend = Process.from_settings(BackendSettings(home / "jobs", home / "runtime", home / "door" / "door.sock"))
        if fault := backend.unavailable():
            sys.exit(fault)
        backend.prepare()
        for limit in backend.limits_in_force():
            print(f"{limit.what:24} {limit.strength:5} {limit.how}")
        times: dict[str, list[float]] = {"submit returns": [], "the program runs": [], "the end is seen": []}
        for number in range(JOBS):
            name = f"bench-{number}"
            began = time.time()
            backend.submit(JobSpec(name, ("python", "-c", "import time; print(time.time())"), token="t"))
            times["submit returns"].append(time.time() - began)
            while backend.observe(name).phase is not Phase.ENDED:
                time.sleep(0.001)
            times["the end is seen"].append(time.time() - began)
            times["the program runs"].append(float(backend.logs(name)) - began)
            backend.forget(name)
    print(f"\n{JOBS} jobs, one after the other")
    for what, taken in times.items():
        print(f"{what:24} p50 {statistics.median(taken) * 1000:6.1f} ms   max {max(taken) * 1000:6.1f} ms")


if __name__ == "__main__":
    main()
